"""What a DICOM header says of one frame, whether it stands at the top (classic) or in functional groups (enhanced)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from client.records.flows import MriTiming


@dataclass(frozen=True)
class FrameFacts:
    """Of one frame; None where the header does not say."""

    slope: float | None
    intercept: float | None
    rescale_type: str
    centre: float | None
    width: float | None
    function: str
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float]
    """Height and width of a pixel, mm; (1, 1) where it is not said."""
    spacing_said: bool


def frame_facts(header: Any, frame: int) -> FrameFacts:
    """The facts of one frame, counted from 0."""
    transform, window = "PixelValueTransformationSequence", "FrameVOILUTSequence"
    spacing = numbers(_said(header, frame, "PixelMeasuresSequence", "PixelSpacing"))
    spacing = spacing or numbers(header.get("ImagerPixelSpacing"))
    said = len(spacing) == 2 and min(spacing) > 0.0
    orientation = numbers(_said(header, frame, "PlaneOrientationSequence", "ImageOrientationPatient"))
    return FrameFacts(
        slope=number(_said(header, frame, transform, "RescaleSlope")),
        intercept=number(_said(header, frame, transform, "RescaleIntercept")),
        rescale_type=str(_said(header, frame, transform, "RescaleType") or "").strip().upper(),
        centre=number(_said(header, frame, window, "WindowCenter")),
        width=number(_said(header, frame, window, "WindowWidth")),
        function=str(_said(header, frame, window, "VOILUTFunction") or "LINEAR").strip().upper(),
        orientation=tuple(orientation) if len(orientation) == 6 else None,
        spacing=(spacing[0], spacing[1]) if said else (1.0, 1.0),
        spacing_said=said,
    )


def image_types(header: Any) -> list[str]:
    """Every word of ImageType and of the enhanced frame types."""
    words = [str(word).strip().upper() for word in _many(header.get("ImageType"))]
    for name in ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence"):
        words += [str(word).strip().upper() for word in _many(_said(header, 0, name, "FrameType"))]
    return words


def timing(header: Any) -> MriTiming:
    """TR, TE, TI in ms and the kind of scanning, classic or enhanced."""
    scanning = {str(word).strip().upper() for word in _many(header.get("ScanningSequence"))}
    pulse = str(header.get("EchoPulseSequence") or "").upper()
    scanning |= {"SE"} if "SPIN" in pulse or pulse == "BOTH" else {"GR"} if "GRADIENT" in pulse else set()
    modifier = "MRModifierSequence"
    if str(_said(header, 0, modifier, "InversionRecovery") or "").upper() == "YES":
        scanning |= {"IR"}
    inversions = numbers(header.get("InversionTime")) or numbers(_said(header, 0, modifier, "InversionTimes"))
    echo = number(header.get("EchoTime"))
    return MriTiming(
        scanning=frozenset(scanning),
        repetition=number(_said(header, 0, "MRTimingAndRelatedParametersSequence", "RepetitionTime")),
        echo=number(_said(header, 0, "MREchoSequence", "EffectiveEchoTime")) if echo is None else echo,
        inversion=inversions[0] if inversions else None,
    )


def acquisition_contrast(header: Any) -> str:
    """The enhanced MR word for what the contrast is, or nothing."""
    return str(
        header.get("AcquisitionContrast") or _said(header, 0, "MRImageFrameTypeSequence", "AcquisitionContrast") or ""
    ).strip()


def region_said(header: Any) -> str:
    """The anatomic region of an enhanced object in words, or nothing."""
    for code in _many(_said(header, 0, "FrameAnatomySequence", "AnatomicRegionSequence")):
        return str(code.get("CodeMeaning") or "")
    return ""


def number(value: Any) -> float | None:
    """The first number of a DICOM value, or None."""
    found = numbers(value)
    return found[0] if found else None


def numbers(value: Any) -> list[float]:
    """All numbers of a DICOM value; none where one of them is not a finite number."""
    try:
        found = [float(part) for part in _many(value)]
    except (TypeError, ValueError):
        return []
    return found if all(abs(part) < float("inf") for part in found) else []


def _said(header: Any, frame: int, group: str, name: str) -> Any:
    """An attribute at the top, else of this frame's functional group, else of the shared one."""
    value = header.get(name)
    if value is not None and value != "":
        return value
    for groups in _functional_groups(header, frame):
        for item in _many(groups.get(group)):
            value = item.get(name)
            if value is not None and value != "":
                return value
    return None


def _functional_groups(header: Any, frame: int) -> Iterator[Any]:
    of_frames = _many(header.get("PerFrameFunctionalGroupsSequence"))
    if frame < len(of_frames):
        yield of_frames[frame]
    yield from _many(header.get("SharedFunctionalGroupsSequence"))[:1]


def _many(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return (
        [value]
        if isinstance(value, (str, bytes, int, float))
        else list(value)
        if hasattr(value, "__iter__")
        else [value]
    )

"""What may stand in a de-identified copy of a DICOM image: a closed list of elements, and of the values of each.

A number is copied if it is a finite number. A word is copied if it is one of the standard's own words for that element;
free text is never copied. So an identifier has no element to stand in, even where a scanner wrote it into the wrong
one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NUMBER = "number"
ORIENTATION = "orientation"
BINARY = "binary"
"""A lookup table."""

Allowed = str | frozenset[str] | Mapping[str, Any]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MEASURES: Mapping[str, Allowed] = {
    "PixelSpacing": NUMBER, "SliceThickness": NUMBER, "SpacingBetweenSlices": NUMBER,
}  # fmt: skip
_RESCALE: Mapping[str, Allowed] = {
    "RescaleIntercept": NUMBER, "RescaleSlope": NUMBER, "RescaleType": _words("HU HU_MOD US"),
}  # fmt: skip
_WINDOW: Mapping[str, Allowed] = {
    "WindowCenter": NUMBER, "WindowWidth": NUMBER, "VOILUTFunction": _words("LINEAR LINEAR_EXACT SIGMOID"),
}  # fmt: skip
_TABLE: Mapping[str, Allowed] = {"LUTDescriptor": NUMBER, "LUTData": BINARY}
_FRAME_TYPE: Mapping[str, Allowed] = {
    "FrameType": _words("ORIGINAL DERIVED MIXED PRIMARY VOLUME AXIAL LOCALIZER NONE"),
    "AcquisitionContrast": _words("T1 T2 FLUID_ATTENUATED T2_STAR DIFFUSION PERFUSION PROTON_DENSITY STIR UNKNOWN"),
}
_GROUPS: Mapping[str, Allowed] = {
    "PixelMeasuresSequence": _MEASURES,
    "PlaneOrientationSequence": {"ImageOrientationPatient": NUMBER},
    "PlanePositionSequence": {"ImagePositionPatient": NUMBER},
    "PixelValueTransformationSequence": _RESCALE,
    "FrameVOILUTSequence": _WINDOW,
    "CTImageFrameTypeSequence": _FRAME_TYPE,
    "MRImageFrameTypeSequence": _FRAME_TYPE,
    "MRTimingAndRelatedParametersSequence": {"RepetitionTime": NUMBER, "FlipAngle": NUMBER},
    "MREchoSequence": {"EffectiveEchoTime": NUMBER},
    "MRModifierSequence": {"InversionRecovery": _words("YES NO"), "InversionTimes": NUMBER},
}
COPIED: Mapping[str, Allowed] = {
    "Modality": _words("CR DX RF CT MR"),
    "ImageType": _words("ORIGINAL DERIVED PRIMARY SECONDARY AXIAL OTHER VOLUME MIXED NONE"),
    "ImagerPixelSpacing": NUMBER, "PixelAspectRatio": NUMBER, **_MEASURES, **_RESCALE, **_WINDOW,
    "PixelPaddingValue": NUMBER, "PixelPaddingRangeLimit": NUMBER,
    "ModalityLUTSequence": _TABLE, "VOILUTSequence": _TABLE,
    "PatientOrientation": ORIENTATION, "ImageOrientationPatient": NUMBER, "ImagePositionPatient": NUMBER,
    "PatientPosition": _words("HFS HFP HFDR HFDL FFS FFP FFDR FFDL"),
    "Laterality": _words("R L"), "ImageLaterality": _words("R L U B"),
    "ScanningSequence": _words("SE IR GR EP RM"), "SequenceVariant": _words("SK MTC SS TRSS SP MP OSP NONE"),
    "RepetitionTime": NUMBER, "EchoTime": NUMBER, "InversionTime": NUMBER, "FlipAngle": NUMBER,
    "MagneticFieldStrength": NUMBER, "KVP": NUMBER, "InstanceNumber": NUMBER, "SeriesNumber": NUMBER,
    "SharedFunctionalGroupsSequence": _GROUPS, "PerFrameFunctionalGroupsSequence": _GROUPS,
}  # fmt: skip
"""Element by element; of sequences, item by item. Pixels, UIDs and pseudonyms are written by whoever makes the copy."""


def allowed_part(header: Any, allowed: Mapping[str, Allowed] = COPIED) -> Any:
    """A new pydicom data set with the allowed elements and values of another, and nothing else."""
    from pydicom.dataset import Dataset

    part = Dataset()
    for name, rule in allowed.items():
        value = _said(header, name)
        if value is None or value == "":
            continue
        copied = _copied(value, rule)
        if copied is not None and copied != []:
            setattr(part, name, copied)
    return part


def _said(header: Any, name: str) -> Any:
    try:
        return header.get(name)
    except Exception:  # a value that cannot be decoded is not copied
        return None


def _copied(value: Any, rule: Allowed) -> Any:
    """The value in the form of its rule, or None."""
    if isinstance(rule, Mapping):
        items = [allowed_part(item, rule) for item in value] if hasattr(value, "__iter__") else []
        return [item for item in items if len(item)] or None
    if rule == BINARY:
        return value if isinstance(value, bytes) else [int(one) for one in value]
    many = [value] if isinstance(value, (str, int, float)) or not hasattr(value, "__iter__") else list(value)
    if rule == NUMBER:
        return _numbers(many)
    if rule == ORIENTATION:
        words = [str(one).strip().upper() for one in many]
        return words if words and all(re.fullmatch(r"[LRAPHF]{1,3}", word) for word in words) else None
    assert isinstance(rule, frozenset)
    words = [str(one).strip().upper() for one in many]
    known = [word for word in words if word in rule]
    return (known if len(many) > 1 else known[0]) if known else None


def _numbers(many: list[Any]) -> Any:
    try:
        numbers = [float(one) for one in many]
    except (TypeError, ValueError):
        return None
    if not numbers or not all(abs(number) < 1e15 for number in numbers):
        return None
    plain = [int(number) if number.is_integer() else float(f"{number:.9g}") for number in numbers]
    return plain if len(plain) > 1 else plain[0]

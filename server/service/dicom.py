"""DICOM uploads: pixels, rescale and window, and no other element is ever parsed.

CT becomes Hounsfield units. Radiographs and MRI are shown through the file's own window, else between two percentiles
of the image, onto the flow's stored range. The plane is taken as it lies: nothing is turned.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from protocol.study import FlowSpec
from server.service.decoding import Refused
from server.service.squaring import Plane

#: All that is parsed; none of it says who the patient is.
TAGS = (
    "Modality", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing",
    "ImagerPixelSpacing", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PixelPaddingValue", "PixelData", "FloatPixelData",
    "DoubleFloatPixelData", "SmallestImagePixelValue", "LargestImagePixelValue", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)  # fmt: skip
AIR = -1024.0
"""HU; what lies below is padding."""
_PERCENTILES = (0.5, 99.5)
_PREAMBLE = 128
_GREY_TOLERANCE = 8
#: Deflated Explicit VR: pydicom unfolds the whole of it before anybody may ask how large it is.
_DEFLATED, _META_BYTES = b"1.2.840.10008.1.2.1.99", 4096


@dataclass(frozen=True)
class DicomPlane:
    """One slice in the stored units of its flow."""

    values: Plane
    """(rows, columns)."""
    least: float
    """What surrounds an image that is not square."""
    spacing: tuple[float, float]
    """Height and width of a pixel."""


def is_one(content: bytes) -> bool:
    """Whether it carries DICOM's own mark."""
    return content[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def read(content: bytes, flow: FlowSpec, *, max_pixels: int) -> DicomPlane:
    """Raises Refused; the size is held against the limit before a pixel is decoded."""
    import pydicom
    from pydicom.datadict import tag_for_keyword

    if _DEFLATED in content[:_META_BYTES]:
        raise Refused("damaged")
    tags = [tag for tag in map(tag_for_keyword, TAGS) if tag is not None]
    header = pydicom.dcmread(BytesIO(content), specific_tags=list(tags))
    _check(header, flow, max_pixels)
    stored = _own_bits(header, _grey(header.pixel_array))
    low, high = flow.intensity[0][0], flow.intensity[-1][0]
    if "CT" in flow.modalities:
        return DicomPlane(_hounsfield(header, stored), AIR, _spacing(header))
    shown = _shown(header, _rescaled(header, stored), _padding(header, stored))
    if str(header.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
        shown = 1.0 - shown
    return DicomPlane((low + shown * (high - low)).astype(np.float32), low, _spacing(header))


def _check(header: Any, flow: FlowSpec, max_pixels: int) -> None:
    if not any(name in header for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise Refused("no-pixels")
    said = str(header.get("Modality", "")).strip().upper()
    if flow.modalities and said not in flow.modalities:  # a flow that names none takes any
        raise Refused("wrong-modality")
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise Refused("several-frames")
    if int(header.Rows) * int(header.Columns) * int(header.get("SamplesPerPixel") or 1) > max_pixels:
        raise Refused("too-large")
    if str(header.get("PhotometricInterpretation", "")).strip() == "PALETTE COLOR":
        raise Refused("colour")


def _grey(decoded: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(rows, columns), of a plane or of three equal ones."""
    if decoded.ndim == 2:
        return decoded
    values = decoded[..., :3].astype(np.int32)
    if decoded.ndim != 3 or int((values.max(-1) - values.min(-1)).max()) > _GREY_TOLERANCE:
        raise Refused("colour")
    return np.rint(values.mean(-1)).astype(decoded.dtype)


def _own_bits(header: Any, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Old files keep overlays in the bits above BitsStored: they are cleared."""
    bits = int(header.get("BitsStored") or 0)
    if stored.dtype.kind == "u" and 0 < bits < 8 * stored.dtype.itemsize:
        return stored & stored.dtype.type((1 << bits) - 1)
    return stored


def _rescaled(header: Any, stored: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    from pydicom.pixels import apply_modality_lut

    return np.asarray(apply_modality_lut(stored, header), dtype=np.float64)


def _hounsfield(header: Any, stored: npt.NDArray[Any]) -> Plane:
    kind = str(header.get("RescaleType") or "").strip().upper()
    rescaled = header.get("RescaleSlope") is not None or bool(header.get("ModalityLUTSequence"))
    if kind not in ("", "HU", "HU_MOD") or not rescaled:
        raise Refused("not-hounsfield")
    values = _rescaled(header, stored)
    padding = _padding(header, stored)
    values = values if padding is None else np.where(padding, AIR, values)
    _check_spread(values)
    return np.clip(values, AIR, 32767.0).astype(np.float32)


def _shown(
    header: Any, values: npt.NDArray[np.float64], padding: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.float64]:
    """0..1 through the file's window, else between percentiles of the image itself."""
    if padding is not None:
        values = np.where(padding, values[~padding].min(), values)
    _check_spread(values)
    if header.get("VOILUTSequence"):
        from pydicom.pixels import apply_voi

        top = float((1 << int(header.VOILUTSequence[0].LUTDescriptor[2])) - 1)
        return np.clip(np.asarray(apply_voi(np.rint(values).astype(np.int64), header), dtype=np.float64) / top, 0, 1)
    centre, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    if centre is not None and width is not None and width > 0:
        return _windowed(values, centre, width, str(header.get("VOILUTFunction") or "LINEAR").strip().upper())
    low, high = (float(edge) for edge in np.percentile(values, _PERCENTILES))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _windowed(values: npt.NDArray[np.float64], centre: float, width: float, function: str) -> npt.NDArray[np.float64]:
    """PS3.3 C.11.2.1.2: LINEAR, LINEAR_EXACT or SIGMOID, onto 0..1."""
    if function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -80.0, 80.0))))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    return np.clip((values - (centre - 0.5)) / max(width - 1.0, 1e-6) + 0.5, 0.0, 1.0)


def _check_spread(values: npt.NDArray[np.float64]) -> None:
    if not np.isfinite(values).all():
        raise Refused("damaged")
    if float(values.max()) <= float(values.min()):
        raise Refused("blank")


def _padding(header: Any, stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Where the pixels are declared to be no image; None where nowhere or everywhere."""
    value = header.get("PixelPaddingValue")
    padding = None if value is None else stored == int(value)
    return padding if padding is not None and padding.any() and not padding.all() else None


def _spacing(header: Any) -> tuple[float, float]:
    said = header.get("PixelSpacing") or header.get("ImagerPixelSpacing") or (1.0, 1.0)
    height, width = (float(part) for part in said)
    return (height, width) if min(height, width) > 0 else (1.0, 1.0)


def _first(value: Any) -> float | None:
    """The first of a DICOM value's numbers."""
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__iter__") else value)

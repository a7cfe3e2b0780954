"""DICOM pixels: exactly what pydicom and its plug-ins decode, frame by frame, then modality and VOI transforms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from client.records.dicom_frames import FrameFacts, number, numbers
from client.records.errors import Refused
from client.records.intensity import AIR, TOP, by_percentiles, hounsfield, windowed
from client.records.reading import Plane, check_size
from client.records.reasons import Reason

Decoded = npt.NDArray[Any]
_GREY_TOLERANCE = 8  # lossy colour codecs do not keep three equal planes exactly equal
_LEAST_INSIDE = 0.01  # a window that shows less than this share of the pixels as grey is not meant for this image


def frame_count(header: Any) -> int:
    """At least 1."""
    return max(1, int(number(header.get("NumberOfFrames")) or 1))


def decoded_frames(header: Any) -> Iterator[Decoded]:
    """Every frame (rows, columns) in stored values, as pydicom decodes it. Raises Refused."""
    from pydicom.pixels import get_decoder, iter_pixels

    check_size(int(header.get("Rows") or 0), int(header.get("Columns") or 0))
    try:
        available = get_decoder(header.file_meta.TransferSyntaxUID).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise Refused(Reason.UNSUPPORTED_COMPRESSION)
    try:
        frames = iter([header.pixel_array]) if frame_count(header) == 1 else iter_pixels(header)
        for frame in frames:
            plane = frame[0] if frame.ndim == 3 and frame.shape[0] == 1 else frame
            yield _grey(plane) if plane.ndim == 3 else plane
    except (MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit, Refused):
        raise
    except BaseException:  # decoders written in other languages raise what they like
        raise Refused(Reason.PIXELS_UNREADABLE) from None


def canonical(header: Any, stored: Decoded, facts: FrameFacts, *, ct: bool) -> Plane:
    """Stored values (rows, columns) to canonical intensities. Raises Refused."""
    stored = own_bits(header, stored)
    if ct:
        return _hounsfield(header, stored, facts)
    values = _modality(header, stored, facts)
    padding = _padding(header, stored)
    if padding is not None:
        values = np.where(padding, values[~padding].min(), values)
    image = _voi(header, values, facts)
    inverted = str(header.get("PhotometricInterpretation") or "").strip() == "MONOCHROME1"
    return TOP - image if inverted else image


def _grey(planes: Decoded) -> Decoded:
    values = planes[..., :3].astype(np.int32)
    if int((values.max(-1) - values.min(-1)).max()) > _GREY_TOLERANCE:
        raise Refused(Reason.COLOUR)
    return np.rint(values.mean(-1)).astype(planes.dtype)


def own_bits(header: Any, stored: Decoded) -> Decoded:
    """Old files keep overlays, often with text, in the bits above BitsStored: they are cleared."""
    bits = int(number(header.get("BitsStored")) or 0)
    if stored.dtype.kind == "u" and 0 < bits < 8 * stored.dtype.itemsize and int(stored.max()) >> bits:
        return stored & stored.dtype.type((1 << bits) - 1)
    return stored


def _hounsfield(header: Any, stored: Decoded, facts: FrameFacts) -> Plane:
    if facts.rescale_type not in ("", "HU", "HU_MOD"):
        raise Refused(Reason.NOT_HOUNSFIELD)
    rescaled = facts.slope is not None or bool(header.get("ModalityLUTSequence"))
    if not rescaled and stored.dtype.kind == "u":  # unsigned values without an intercept cannot reach air
        raise Refused(Reason.NOT_HOUNSFIELD)
    values = hounsfield(_modality(header, stored, facts))
    padding = _padding(header, stored)
    return values if padding is None else np.where(padding, np.float32(AIR), values)


def _modality(header: Any, stored: Decoded, facts: FrameFacts) -> npt.NDArray[np.floating]:
    if header.get("ModalityLUTSequence"):
        return _looked_up(header.ModalityLUTSequence[0], stored)[0]
    slope = 1.0 if facts.slope is None else facts.slope
    return stored.astype(np.float64) * slope + (facts.intercept or 0.0)


def _voi(header: Any, values: npt.NDArray[np.floating], facts: FrameFacts) -> npt.NDArray[np.float32]:
    if header.get("VOILUTSequence"):
        looked_up, top = _looked_up(header.VOILUTSequence[0], np.rint(values).astype(np.int64))
        return _shown(looked_up * (TOP / top), values)
    if facts.centre is not None and facts.width is not None and facts.width > 0.0:
        return _shown(windowed(values, facts.centre, facts.width, facts.function), values)
    return by_percentiles(values)


def _shown(image: npt.NDArray[np.floating], values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """The windowed image, unless its window misses the image: then a window of the image's own."""
    inside = np.count_nonzero((image > 0.0) & (image < TOP)) / image.size
    return image.astype(np.float32) if inside >= _LEAST_INSIDE else by_percentiles(values)


def _looked_up(table: Any, stored: Decoded) -> tuple[npt.NDArray[np.floating], float]:
    """Values through a DICOM lookup table (PS3.3 C.11.1.1), and the greatest value that it can hold."""
    count, first, bits = (int(part) for part in numbers(table.get("LUTDescriptor")))
    data = table.LUTData
    entries = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    entries = entries[: count or 1 << 16]
    index = np.clip(stored.astype(np.int64) - first, 0, len(entries) - 1)
    return entries[index].astype(np.float64), float((1 << bits) - 1)


def _padding(header: Any, stored: Decoded) -> npt.NDArray[np.bool_] | None:
    """Where the pixels are declared to be no image; None where nowhere or everywhere."""
    value = number(header.get("PixelPaddingValue"))
    if value is None:
        return None
    limit = number(header.get("PixelPaddingRangeLimit"))
    low, high = sorted((value, value if limit is None else limit))
    padding = (stored >= low) & (stored <= high)
    return padding if padding.any() and not padding.all() else None

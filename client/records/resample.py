"""Any plane onto the store's square: aspect kept, area-averaged, centred, padded with the least intensity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from client.records.reading import Plane, Stored


def to_store(plane: Plane, *, size: int, least: float, spacing: tuple[float, float] = (1.0, 1.0)) -> Stored:
    """(rows, columns) to (size, size) int16. `spacing` is the pixels' height and width, in any one unit.

    An image that has the size already is only rounded, so that Hounsfield units come out as they went in.
    """
    height, width = _fitted(plane.shape, spacing, size)
    if plane.shape != (height, width):
        plane = _resized(plane, height, width)
    if (height, width) == (size, size):
        return np.rint(plane).astype(np.int16)
    square = np.full((size, size), least, dtype=np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = plane
    return np.rint(square).astype(np.int16)


def _fitted(shape: tuple[int, ...], spacing: tuple[float, float], size: int) -> tuple[int, int]:
    extent = (shape[0] * spacing[0], shape[1] * spacing[1])
    scale = size / max(extent)
    return max(1, min(size, round(extent[0] * scale))), max(1, min(size, round(extent[1] * scale)))


def _resized(plane: npt.NDArray[np.float32], height: int, width: int) -> Plane:
    """As MONAI's `Resize`, which asks torch for the same (tests/client/records/test_resample.py) but takes eight
    seconds to import, in every process that reads."""
    import torch
    from torch.nn.functional import interpolate

    shrinks = height <= plane.shape[0] and width <= plane.shape[1]  # `area` averages, so nothing is aliased
    tensor = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))[None, None]
    return np.asarray(interpolate(tensor, (height, width), mode="area" if shrinks else "bilinear")[0, 0])

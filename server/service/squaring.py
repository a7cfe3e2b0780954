"""Any plane onto the generator's square: aspect kept, area-averaged, centred, padded with the least value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane = npt.NDArray[np.float32]


def squared(plane: Plane, *, size: int, least: float, spacing: tuple[float, float] = (1.0, 1.0)) -> Plane:
    """(rows, columns) to (size, size). `spacing` is the pixels' height and width, in any one unit."""
    extent = (plane.shape[0] * spacing[0], plane.shape[1] * spacing[1])
    height, width = (max(1, min(size, round(side * size / max(extent)))) for side in extent)
    if plane.shape != (height, width):
        shrinks = height <= plane.shape[0] and width <= plane.shape[1]  # a box averages, so nothing is aliased
        kind = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        plane = np.asarray(Image.fromarray(plane.astype(np.float32)).resize((width, height), kind), dtype=np.float32)
    square = np.full((size, size), least, dtype=np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = plane
    return square

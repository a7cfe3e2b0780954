"""Turning images into the radiological convention, and only where the header states how they lie.

Left of the image is the patient's right (sagittal: anterior), top is anterior (axial) or head. The turn is always one
of the eight symmetries of a rectangle, so that no anatomy is changed. An image that does not say how it lies is left
alone: a flip on a guess would exchange left and right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Directions in the patient: x to the left, y to the back, z to the head (DICOM PS3.3 C.7.6.2.1.1).
_COLUMNS_TO = {0: (0.0, 1.0, 0.0), 1: (1.0, 0.0, 0.0), 2: (1.0, 0.0, 0.0)}
_ROWS_TO = {0: (0.0, 0.0, -1.0), 1: (0.0, 0.0, -1.0), 2: (0.0, 1.0, 0.0)}


@dataclass(frozen=True)
class Turn:
    """One of the eight symmetries: transpose first, then the flips."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def apply(self, plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(rows, columns) turned."""
        turned = plane.T if self.transpose else plane
        return turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def undo(self, turned: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(rows, columns) as they were before `apply`."""
        plane = turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return plane.T if self.transpose else plane


AS_STORED = Turn()


def turn_of_plane(orientation: Sequence[float] | None) -> Turn:
    """The turn for ImageOrientationPatient: direction of increasing column, then of increasing row."""
    if orientation is None or len(orientation) != 6:
        return AS_STORED
    along, down = np.asarray(orientation[:3], dtype=float), np.asarray(orientation[3:], dtype=float)
    normal = np.cross(along, down)
    if not np.isfinite(normal).all() or float(np.linalg.norm(normal)) < 0.9:  # not two perpendicular unit vectors
        return AS_STORED
    plane = int(np.argmax(np.abs(normal)))
    columns_to, rows_to = np.asarray(_COLUMNS_TO[plane]), np.asarray(_ROWS_TO[plane])
    transpose = abs(float(down @ columns_to)) > abs(float(along @ columns_to))
    if transpose:
        along, down = down, along
    return Turn(transpose, flip_rows=float(down @ rows_to) < 0.0, flip_columns=float(along @ columns_to) < 0.0)


def is_axial(orientation: Sequence[float] | None) -> bool:
    """Whether ImageOrientationPatient says that a slice is axial: then, turned, the front is at its top."""
    if orientation is None or len(orientation) != 6:
        return False
    normal = np.cross(np.asarray(orientation[:3], dtype=float), np.asarray(orientation[3:], dtype=float))
    return bool(np.isfinite(normal).all() and np.linalg.norm(normal) >= 0.9 and int(np.argmax(np.abs(normal))) == 2)


def turn_of_projection(orientation: Sequence[str] | None) -> Turn:
    """The turn for an X-ray's PatientOrientation: frontal views with L/R along the row and F/H down the column."""
    if orientation is None or len(orientation) != 2:
        return AS_STORED
    along, down = (str(word).upper()[:1] for word in orientation)
    if along not in "LR" or down not in "FH" or not along or not down:
        return AS_STORED
    return Turn(flip_rows=down == "H", flip_columns=along == "R")

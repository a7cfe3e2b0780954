"""The public tone curve of a flow: stored intensities (Hounsfield units, 0..4095) to [-1, 1] and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from protocol.study import Knots


def to_unit(stored: npt.ArrayLike, knots: Knots) -> npt.NDArray[np.float32]:
    """Map stored values onto [-1, 1] along the curve; what lies outside the knots is clipped to its ends."""
    values, units = zip(*knots, strict=True)
    return np.interp(np.asarray(stored, dtype=np.float32), values, units).astype(np.float32)


def from_unit(unit: npt.ArrayLike, knots: Knots) -> npt.NDArray[np.int16]:
    """Inverse of `to_unit`, rounded to the store's int16."""
    values, units = zip(*knots, strict=True)
    return np.rint(np.interp(np.asarray(unit, dtype=np.float32), units, values)).astype(np.int16)

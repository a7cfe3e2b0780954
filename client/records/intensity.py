"""From decoded pixels to canonical intensities: Hounsfield units for CT, 0..4095 by a per-image window otherwise.

Per-image windows are allowed because they look at one patient's image; a window from a cohort would be a release.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from client.records.errors import Refused
from client.records.reading import Plane
from client.records.reasons import Reason

AIR = -1024.0
"""HU. Below it lies padding outside the scanner's circle, which is not tissue: it becomes air."""
MAX_HOUNSFIELD = 32767.0
TOP = 4095.0
_PERCENTILES = (0.5, 99.5)
_MAX_SAMPLE = 1 << 18


def hounsfield(values: npt.NDArray[np.floating]) -> Plane:
    """CT values in HU, padding raised to air. Raises Refused where they are not finite."""
    if not np.isfinite(values).all():
        raise Refused(Reason.PIXELS_UNREADABLE)
    return np.clip(values, AIR, MAX_HOUNSFIELD).astype(np.float32)


def windowed(
    values: npt.NDArray[np.floating], centre: float, width: float, function: str = "LINEAR"
) -> npt.NDArray[np.float32]:
    """The VOI window of PS3.3 C.11.2.1.2 onto 0..4095: LINEAR, LINEAR_EXACT or SIGMOID."""
    if function == "SIGMOID":
        return (TOP / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -80.0, 80.0)))).astype(np.float32)
    if function == "LINEAR_EXACT":
        unit = (values - centre) / width + 0.5
    else:
        unit = (values - (centre - 0.5)) / max(width - 1.0, 1e-6) + 0.5
    return (np.clip(unit, 0.0, 1.0) * TOP).astype(np.float32)


def by_percentiles(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """The window between two percentiles of this image onto 0..4095. Raises Refused for a blank image."""
    flat = values.reshape(-1)
    sample = flat[:: max(1, math.ceil(flat.size / _MAX_SAMPLE))]
    low, high = (float(edge) for edge in np.percentile(sample, _PERCENTILES))
    if high <= low:
        low, high = float(flat.min()), float(flat.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Refused(Reason.PIXELS_UNREADABLE)
    if high <= low:
        raise Refused(Reason.BLANK)
    return (np.clip((values - low) / (high - low), 0.0, 1.0) * TOP).astype(np.float32)


def percentiles(values: npt.NDArray[np.floating], shares: Sequence[float]) -> list[float]:
    """`numpy.percentile` of finite values: numpy sorts an image six times as fast as it selects two values of it."""
    ordered = np.sort(values, axis=None)
    found = []
    for share in shares:
        place = share / 100.0 * (ordered.size - 1)
        below, above = math.floor(place), math.ceil(place)
        found.append(float(ordered[below] + (place - below) * (ordered[above] - ordered[below])))
    return found


def grey_to_hounsfield(grey: npt.NDArray[np.floating], *, width: float, level: float) -> Plane:
    """Display grey 0..1 back to HU through the window that made it; what the window clipped stays at its edges."""
    return hounsfield(level - width / 2.0 + grey * width)

"""A box of points on which tissues are painted, shape after shape; what comes later covers what came before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulations.phantoms.tissue import Tissue

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]
Triple = tuple[float, float, float]


class Canvas:
    """Tissue labels on the grid of three ascending axes (cm), stored (y, z, x): front to back, head to feet, right to
    left.

    x, y and z are kept as broadcastable axes, so that a shape's terms cost one axis each and only their sum a volume.
    """

    def __init__(self, x: Array, y: Array, z: Array) -> None:
        self._axes = (y, z, x)
        self.x, self.y, self.z = x[None, None, :], y[:, None, None], z[None, :, None]
        self.labels: Labels = np.zeros((y.size, z.size, x.size), dtype=np.uint8)

    def paint(self, tissue: Tissue, where: Mask) -> None:
        """Set the tissue where a mask holds that broadcasts to the canvas."""
        np.copyto(self.labels, np.uint8(tissue), where=where)

    def is_one_of(self, *tissues: Tissue) -> Mask:
        """(y, z, x): where one of these tissues lies now."""
        return _members(tissues)[self.labels]

    def ellipsoid(self, tissue: Tissue, centre: Triple, radii: Triple, *, over: Sequence[Tissue] = ()) -> None:
        """Fill an ellipsoid, given as (x, y, z), looking only at the box around it; `over`: only these give way."""
        x, y, z = (np.float32(value) for value in centre)
        box = tuple(
            slice(*np.searchsorted(axis, (at - radius, at + radius)))
            for axis, at, radius in zip(self._axes, (y, z, x), (radii[1], radii[2], radii[0]), strict=True)
        )
        inside = (
            ((self.y[box[0]] - y) / radii[1]) ** 2
            + ((self.z[:, box[1]] - z) / radii[2]) ** 2
            + ((self.x[:, :, box[2]] - x) / radii[0]) ** 2
        ) < 1
        part = self.labels[box]
        if over:
            inside &= _members(over)[part]
        part[inside] = tissue


def _members(tissues: Sequence[Tissue]) -> Mask:
    """(tissues,): true at these."""
    return np.isin(np.arange(len(Tissue)), tissues)

"""Defacing: the outside of a head is erased, so that no face can be rendered from what is kept.

A slice whose position is not known (all that a DICOM file or a picture says of itself) loses the outermost `DEPTH_MM`
of the head, and whatever bulges out of the head's ellipse (nose, ears): in its front half where the slice is axial and
says so, all around where it is sagittal, coronal or silent. A volume with a known orientation loses, in front,
everything outside an ellipsoid around the brain, which is anchored at the vertex (face, orbits, teeth), and each
slice's front as above. Erased means air or the darkest value.

Simple on purpose, and no match for a dedicated tool: the back of the head, the ears in axial slices and the frame of
the orbits may stay, cortex close to the skull may go. The standard calls this "clean recognizable visual features"
(PS3.15 E.3.2); a determined comparison with another scan of the same person is not excluded by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from client.records.errors import Refused
from client.records.intensity import percentiles
from client.records.morphology import Mask, dilated, eroded, filled, near_outside
from client.records.reasons import Reason

Values = npt.NDArray[np.floating]

DEPTH_MM = 12.0
"""Scalp and skull at the forehead; skin and soft tissue over the cheek."""
HEAD_MM = (110.0, 300.0)
"""Least and greatest longer extent of a head's outline, for images that do not say what they show."""
_TYPICAL_HEAD_MM = 190.0
"""Length of a head, front to back: the scale of an image without pixel spacing."""
HEAD_PARTS = frozenset({"head", "brain", "neck"})
FACELESS = re.compile(r"skull.?strip|defaced|desc-brain|brain.?extract")
"""Words of an index, a path or a sidecar by which a hospital says that no face is left."""
_SOFT_TISSUE_HU = -300.0
_BONE_HU, _SKULL_SHARE = 300.0, 0.2
_LEAST_SHARE = 0.02
_BRAIN_HEIGHT_MM = 75.0
"""From the vertex down to the middle of the brain."""


def is_head(part: str, modality: str, values: Values, spacing: tuple[float, float] | None) -> bool:
    """Whether a slice is to be treated as one of a head: it says so, or says nothing and is of a head's size, and
    in CT has a skull. An MRI of a knee that does not say so passes for a head, and loses its rim.

    spacing: height and width of a pixel in mm, or None where it is not said.
    """
    if modality not in ("CT", "MR"):
        return False
    if part:
        return part in HEAD_PARTS
    if spacing is None:
        return False
    head = _outline(values, ct=modality == "CT")
    if head is None:
        return False
    rows, columns = np.nonzero(head.any(1))[0], np.nonzero(head.any(0))[0]
    extents = ((rows[-1] - rows[0] + 1) * spacing[0], (columns[-1] - columns[0] + 1) * spacing[1])
    if not (HEAD_MM[0] <= max(extents) <= HEAD_MM[1] and min(extents) >= 0.5 * max(extents)):
        return False
    return modality == "MR" or _has_skull(values, head, spacing)


def _has_skull(values: Values, head: Mask, spacing: tuple[float, float]) -> bool:
    """Whether bone makes up much of what lies 3 to 15 mm under the outline, as in a head and in no other part."""
    ring = near_outside(head, 15.0, spacing) & ~near_outside(head, 3.0, spacing)
    return bool(ring.any() and (values[ring] > _BONE_HU).mean() >= _SKULL_SHARE)


def face_of_slice(values: Values, *, ct: bool, spacing: tuple[float, float] | None, axial: bool) -> Mask:
    """What to erase of a slice (rows, columns), front at the top if axial. Raises Refused where no head is found."""
    head = _outline(values, ct=ct)
    if head is None:
        raise Refused(Reason.HEAD_NOT_DEFACED)
    height, width = spacing or _guessed_spacing(head)
    core = head & _ellipse(head)  # without what bulges out, so that the skin under a nose is skin too
    face = near_outside(core, DEPTH_MM, (height, width))
    if axial:
        middle = np.nonzero(head.any(1))[0].mean()
        face &= (np.arange(head.shape[0]) < middle)[:, None]
    return face


def face_of_volume(
    volume: Values, *, ct: bool, spacing: tuple[float, float, float], slices: Sequence[int] | None = None
) -> Mask:
    """What to erase of a volume with axes to the right, front and head: (x, y, z) mask. Raises Refused.

    spacing: of x, y and z, mm; slices: which of z are kept at all, the others are erased whole (all are by default).
    """
    head = _outline(volume, ct=ct)
    if head is None:
        raise Refused(Reason.HEAD_NOT_DEFACED)
    face = np.ones_like(head)
    for number in range(volume.shape[2]) if slices is None else slices:
        if head[:, :, number].any():
            plane = volume[::-1, ::-1, number].T
            try:
                mask = face_of_slice(plane, ct=ct, spacing=(spacing[1], spacing[0]), axial=True)
            except Refused:  # a slice above the vertex or below the head: nothing in it is a head
                mask = np.ones(plane.shape, dtype=bool)
            face[:, :, number] = mask.T[::-1, ::-1]
    below = _below_the_brain(head, spacing)
    return face if below is None else face | below


def erase(values: Values, face: Mask, *, ct: bool, air: float) -> Values:
    """The values with the face as air, or as the darkest value of the image."""
    return np.where(face, np.float32(air if ct else values.min()), values)


def _outline(values: Values, *, ct: bool) -> Mask | None:
    """The largest connected body, holes filled, or None where there is none to speak of."""
    threshold = _SOFT_TISSUE_HU if ct else _dark_below(values)
    body = dilated(eroded(values > threshold))  # opened, so that what touches it by a thread falls off
    labels, count = ndimage.label(body)
    if count == 0:
        return None
    largest = labels == 1 + int(np.argmax(np.bincount(labels.reshape(-1))[1:]))
    largest = eroded(dilated(largest, 2), 2) | largest
    if largest.ndim == 3:
        largest = np.stack([filled(plane) for plane in np.moveaxis(largest, 2, 0)], axis=2)
    else:
        largest = filled(largest)
    return largest if largest.mean() >= _LEAST_SHARE else None


def _dark_below(values: Values) -> float:
    """Otsu's threshold between air and tissue of an MRI, over its lower half so that bright fat does not decide."""
    low, high = percentiles(values, (0.5, 99.0))
    if not high > low:
        return high
    counts, edges = np.histogram(np.clip(values, low, high), bins=128)
    centres = (edges[:-1] + edges[1:]) / 2.0
    below, weighted = np.cumsum(counts), np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (weighted / below - (weighted[-1] - weighted) / above) ** 2
    return float(0.5 * (low + centres[int(np.argmax(np.nan_to_num(between[:-1])))]))


def _guessed_spacing(head: Mask) -> tuple[float, float]:
    """Of an image without spacing: its outline is as long as a head."""
    longest = max(np.ptp(np.nonzero(head.any(axis))[0]) + 1 for axis in (0, 1))
    return (_TYPICAL_HEAD_MM / longest, _TYPICAL_HEAD_MM / longest)


def _ellipse(head: Mask) -> Mask:
    """The ellipse of the head's own second moments: what bulges out of it is nose, chin or ear."""
    counts = [head.sum(axis, dtype=np.float64) for axis in (1, 0)]  # pixels of each row, of each column
    rows, columns = (np.arange(len(count)) - np.average(np.arange(len(count)), weights=count) for count in counts)
    others = counts[0].sum() - 1.0
    across = rows @ (head @ columns) / others
    spread = np.array([[rows**2 @ counts[0] / others, across], [across, columns**2 @ counts[1] / others]])
    (a, b), (_, c) = np.linalg.inv(spread + 1e-9 * np.eye(2))
    rows = rows[:, None]
    inside = a * rows**2 + 2.0 * b * rows * columns + c * columns**2 <= 4.0  # a filled ellipse: (2 sigma)^2
    return np.asarray(inside)


def _below_the_brain(head: Mask, spacing: tuple[float, float, float]) -> Mask | None:
    """In front of the brain's middle, whatever lies outside its ellipsoid; None where the vertex is missing."""
    areas = head.sum((0, 1))
    levels = np.nonzero(areas)[0]
    top = int(levels[-1])
    if areas[max(top - 1, 0)] > 0.5 * areas.max():  # cut off above: no vertex to measure from
        return None
    reach = max(1, round(_BRAIN_HEIGHT_MM / spacing[2]))
    brain = head[:, :, max(0, top - reach) : top + 1]
    across, along = np.nonzero(brain.any((1, 2)))[0], np.nonzero(brain.any((0, 2)))[0]
    centre = ((across[0] + across[-1]) / 2.0, (along[0] + along[-1]) / 2.0, top - reach)
    half = (
        (across[-1] - across[0] + 1) / 2.0 * spacing[0],
        (along[-1] - along[0] + 1) / 2.0 * spacing[1],
        _BRAIN_HEIGHT_MM,
    )
    axes = [
        (np.arange(side) - middle) * step / size
        for side, middle, step, size in zip(head.shape, centre, spacing, half, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    outside = np.asarray(x**2 + y**2 + z**2 > 1.0)
    return np.asarray(outside & (y > 0.0))

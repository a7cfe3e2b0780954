"""Text burned into pixels, without reading it: lines of thin, high-contrast marks of one height, as letters stand.

A header that says nothing of burned-in text is no evidence, and few scanners fill it in. So every image is looked at: a
top-hat keeps what is thinner than a stroke of a letter, its components are kept where they have a letter's size and
shape, and four or more of one height on one line are text. A lone side marker (`L`, `R`) is none, and stays.

Measured on text drawn over real images and on untouched ones (docs/deidentification.md). It is a sieve and no reader:
text smaller than about seven pixels, handwriting, and letters paler than their surroundings pass it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from client.records.intensity import percentiles
from client.records.morphology import brighter_than_around, darker_than_around

Grey = npt.NDArray[np.floating]

LONGEST_SIDE = 1024
"""Pixels: larger images are averaged down to it; text that people read on a screen stays legible."""
LEAST_LETTERS = 4
_PERCENTILES = (1.0, 99.5)
_CONTRAST = 0.30
"""Of the image's own range: how far a stroke stands out of what is beside it."""
_EQUAL_GREY = 0.2
_LEAST_HEIGHT, _MOST_HEIGHT = 5, 0.09
"""Pixels; share of the longest side."""


@dataclass(frozen=True)
class Mark:
    """One connected mark of the size and shape of a letter: pixels, in the image that was looked at."""

    top: int
    bottom: int
    left: int
    right: int
    grey: float
    """Mean over its strokes, 0 to 1: letters of one line are equally bright."""

    @property
    def height(self) -> int:
        """Pixels."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """Of its rows."""
        return (self.top + self.bottom) / 2.0


def shows_text(plane: Grey) -> bool:
    """Whether an image (rows, columns) of any intensities seems to hold a line of text, bright or dark."""
    grey = _scaled(_shrunk(plane))
    if grey is None:
        return False
    return any(_has_line(_letters(strokes, grey)) for strokes in _strokes(grey))


def _shrunk(plane: Grey) -> Grey:
    step = -(-max(plane.shape) // LONGEST_SIDE)
    if step == 1:
        return plane
    rows, columns = (side // step * step for side in plane.shape)
    return plane[:rows, :columns].reshape(rows // step, step, columns // step, step).mean((1, 3))


def _scaled(plane: Grey) -> npt.NDArray[np.float32] | None:
    low, high = percentiles(plane, _PERCENTILES)
    if not high > low:
        low, high = float(plane.min()), float(plane.max())
    if not high > low:
        return None
    return np.clip((plane - low) / (high - low), 0.0, 1.0).astype(np.float32)


def _strokes(grey: npt.NDArray[np.float32]) -> list[npt.NDArray[np.bool_]]:
    """Where the image has bright, and dark, marks thinner than a stroke can be."""
    width = max(3, round(max(grey.shape) / 80) | 1)
    return [brighter_than_around(grey, width) > _CONTRAST, darker_than_around(grey, width) > _CONTRAST]


def _letters(strokes: npt.NDArray[np.bool_], grey: npt.NDArray[np.float32]) -> list[Mark]:
    """Components as high and wide as letters, neither a full block nor a thread."""
    labels, count = ndimage.label(strokes, structure=np.ones((3, 3)))
    if count == 0:
        return []
    most = max(3 * _LEAST_HEIGHT, _MOST_HEIGHT * max(strokes.shape))
    sizes = np.bincount(labels.reshape(-1))
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = box
        height, width = rows.stop - rows.start, columns.stop - columns.start
        filled = sizes[number] / (height * width)
        if _LEAST_HEIGHT <= height <= most and width <= 1.6 * height and 0.15 <= filled <= 0.95:
            found.append(
                Mark(rows.start, rows.stop, columns.start, columns.stop, _mean(labels[box] == number, grey[box]))
            )
    return found


def _mean(inside: npt.NDArray[np.bool_], grey: npt.NDArray[np.float32]) -> float:
    return float(grey[inside].mean())


def _has_line(marks: list[Mark]) -> bool:
    """Whether enough marks of one height stand beside each other on one line."""
    marks = sorted(marks, key=lambda mark: mark.left)
    for first in marks:
        line, last = 1, first
        for mark in marks:
            gap = mark.left - last.right
            if mark is last or gap < -1 or abs(mark.middle - first.middle) > 0.35 * first.height:
                continue
            if gap > 1.2 * first.height:
                continue
            if 0.75 <= mark.height / first.height <= 1.35 and abs(mark.grey - first.grey) <= _EQUAL_GREY:
                line, last = line + 1, mark
        if line >= LEAST_LETTERS:
            return True
    return False

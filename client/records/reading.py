"""What a reader returns: images in canonical intensities, with only such words of a header as our lists hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.records.errors import Refused
from client.records.reasons import Reason
from privacy.deidentify import Identity

Stored = npt.NDArray[np.int16]
"""(size, size): Hounsfield units for CT, 0..4095 for X-ray and MRI."""
Plane = npt.NDArray[np.float32]
"""(rows, columns) of any size, in canonical intensities."""

MAX_PIXELS = 64_000_000
"""Per frame; a mammogram has 20 million. More is a broken header or an attack."""
MIN_SIDE = 8


@dataclass(frozen=True, repr=False)
class Reading:
    """One image out of a file. It prints nothing of itself."""

    flow: str
    array: Stored
    body_part: str = ""
    sequence: str = ""
    view_position: str = ""
    identity: Identity = Identity()
    """Whose it is; lives only until the keyed hashes are made of it."""

    def __repr__(self) -> str:
        return f"Reading(flow={self.flow!r}, hidden)"


def content_of(source: Path | bytes) -> bytes:
    """The bytes of a file. Raises Refused."""
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError:
        raise Refused(Reason.UNREADABLE_FILE) from None


def check_size(rows: int, columns: int) -> None:
    """Whether an image of that size is taken. Raises Refused before anything is decoded."""
    if rows * columns > MAX_PIXELS:
        raise Refused(Reason.TOO_LARGE)
    if min(rows, columns) < MIN_SIDE:
        raise Refused(Reason.TOO_SMALL)

"""The two shapes in which parameters travel and are kept: a group's arrays by qualified name, and groups by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
GroupArrays = Mapping[str, Array]
"""Qualified parameter name (`alignment.xray.head.weight`) to float32 array."""
Groups = Mapping[str, GroupArrays]
"""Group name (`alignment/xray`) to its arrays."""
Shapes = Mapping[str, tuple[int, ...]]
"""Qualified parameter name to shape."""

PART = 1 << 15
"""Numbers that are worked on at once: 128 KiB, which stays in a processor's cache from one operation to
the next, where a whole tensor travels to memory and back for each."""


@runtime_checkable
class InParts(Protocol):
    """A group that is not held as arrays, and makes them bit by bit."""

    def shapes(self) -> Shapes:
        """Of every array, without making one."""

    def parts(self, name: str) -> Iterator[Array]:
        """The array of that name, flat, in consecutive parts of PART numbers; a part is gone when the next is taken."""


def shapes_of(arrays: GroupArrays) -> Shapes:
    """The shape of every array of a group."""
    return arrays.shapes() if isinstance(arrays, InParts) else {name: array.shape for name, array in arrays.items()}


def parts_of(arrays: GroupArrays, name: str) -> Iterator[Array]:
    """One array, flat, in consecutive parts of PART numbers: to be read, not kept."""
    if isinstance(arrays, InParts):
        yield from arrays.parts(name)
        return
    flat = arrays[name].reshape(-1)
    for first in range(0, flat.size, PART):
        yield flat[first : first + PART]

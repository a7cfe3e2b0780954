"""Records that no site holds, by which the omniscient referee judges. In a deployment nobody has this view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]


@dataclass(frozen=True)
class HeldOutFlow:
    """Held-out records of one image flow."""

    images: Images
    """(n, s, s) unit images."""
    prompts: Sequence[str]
    """One per image: the report or template that a generator is asked to follow."""
    labels: Sequence[str | None] = ()
    """One per image: finding and side as the referee names them, None where unknown; empty where all are."""


@dataclass(frozen=True)
class HeldOutReport:
    """A held-out report beside the images it is about."""

    text: str
    sources: Mapping[str, Images]
    """Flow to one unit image (s, s)."""
    labels: frozenset[str] | None = None
    """Findings with their sides, e.g. `nodule-left`, among those that the images can show; None where unknown."""
    visible: frozenset[str] = frozenset()
    """Findings, without a side, that the images can show."""


@dataclass(frozen=True)
class HeldOutPair:
    """One patient's unit images in several flows, truly paired."""

    images: Mapping[str, Images]


@dataclass(frozen=True)
class HeldOut:
    """Everything held out of a study."""

    flows: Mapping[str, HeldOutFlow]
    reports: Sequence[HeldOutReport] = ()
    pairs: Sequence[HeldOutPair] = ()
    invented: bool = True
    missing: Mapping[str, str] = field(default_factory=dict)
    """Flow to the reason why nothing of it is held out."""

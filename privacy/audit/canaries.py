"""Canary patients: invented patients whose presence is the strongest thing that a release could show.

A canary's gradient lies along a direction that nobody else touches: one coordinate in each of two reserved blocks of
parameters, which stand beside the model's and change nothing in it. It is `STRENGTH` clipping norms long and comes as
two terms, so that a missing clip, a clip of each tensor and a clip of each term all make it count for more than 1.

    correct                 x = 1        in units of the clipping norm
    clip per tensor         x = sqrt(2)
    clip per term           x = 2
    no clip                 x = STRENGTH

Who is in is decided by coins from the operating system after the canaries are fixed. The coins stay sealed, under a
digest that is published before training, until the scores are final.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from privacy.audit.step_log import LoggedStep
from privacy.engines import BatchedLoss, PatientLoss, Term
from privacy.errors import ConfigInvalid, MechanismMisused
from privacy.events import SampledGaussian
from privacy.mechanism import Release

KIND = "canary"
BLOCKS = ("audit.canaries.0", "audit.canaries.1")
STRENGTH = 100.0
"""Length of a canary's gradient before clipping, in clipping norms."""


class SealedCoins:
    """Independent fair coins, one for each canary; `digest` commits to them before anything is released."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ConfigInvalid("A canary study needs at least one canary.")
        self._coins = np.frombuffer(secrets.token_bytes(count), np.uint8) < 128
        self._salt = secrets.token_bytes(16)
        self.digest = hashlib.sha256(self._salt + np.packbits(self._coins).tobytes()).hexdigest()

    def included(self) -> list[str]:
        """Pseudonyms of the canaries that are in. For the site that trains, not for whoever scores."""
        return [canary_name(int(number)) for number in np.flatnonzero(self._coins)]

    def open(self) -> npt.NDArray[np.bool_]:
        """(count,) The coins, once every score is final. Raises MechanismMisused where they are not those sealed."""
        if hashlib.sha256(self._salt + np.packbits(self._coins).tobytes()).hexdigest() != self.digest:
            raise MechanismMisused("The canaries' coins are not those that were sealed: run the canary study again.")
        return self._coins.copy()

    def __repr__(self) -> str:
        return f"SealedCoins({len(self._coins)}, digest={self.digest[:12]})"


def canary_name(number: int) -> str:
    """Pseudonym of a canary; no pseudonym of a patient looks like it."""
    return f"canary-{number:06d}"


class WithCanaries:
    """A stage's loss, and beside it the canaries'. Structurally a `PatientLoss`."""

    def __init__(self, loss: PatientLoss, *, canaries: int, clipping_norm: float) -> None:
        self._loss, self._canaries = loss, canaries
        self._slope = STRENGTH * clipping_norm / (len(BLOCKS) * math.sqrt(len(BLOCKS)))

    def parameters(self) -> dict[str, Tensor]:
        """The reserved blocks, all zero."""
        return {name: torch.zeros(self._canaries) for name in BLOCKS}

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        """The patient's own terms, or a canary's two."""
        if not pseudonym.startswith("canary-"):
            return self._loss.draw(pseudonym, generator=generator)
        direction = torch.zeros(self._canaries)
        direction[int(pseudonym.removeprefix("canary-"))] = self._slope
        return [Term(KIND, {"direction": direction}) for _ in BLOCKS]

    def touched(self, kind: str) -> Sequence[str]:
        """The blocks for a canary's term; for others what the loss says."""
        if kind == KIND:
            return BLOCKS
        return self._loss.touched(kind)  # type: ignore[attr-defined,no-any-return]

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """Linear in the blocks for a canary."""
        if kind == KIND:
            return sum((parameters[name] * tensors["direction"]).sum() for name in BLOCKS)  # type: ignore[return-value]
        return self._loss.loss(kind, _without_blocks(parameters), tensors)

    def batch_losses(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """(patients,): of canaries, or of patients as the loss says."""
        if kind != KIND:
            return cast(BatchedLoss, self._loss).batch_losses(kind, _without_blocks(parameters), tensors)
        direction = tensors["direction"]  # (canaries here, all canaries)
        return sum((parameters[name].expand(len(direction), -1) * direction).sum(1) for name in BLOCKS)  # type: ignore[return-value]

    def owners_of_rows(self, kind: str, tensors: dict[str, Tensor], rows: int) -> Tensor:
        """One row for each canary; for others what the loss says."""
        if kind == KIND:
            return torch.arange(rows)
        return cast(BatchedLoss, self._loss).owners_of_rows(kind, tensors, rows)


def _without_blocks(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in parameters.items() if name not in BLOCKS}


def logged(release: Release, *, clipping_norm: float, expected_batch_size: float) -> LoggedStep:
    """What a release says of the canaries; the divisor is public, so it is taken back."""
    if not isinstance(release.event, SampledGaussian):
        raise ConfigInvalid("A canary study audits a private study: this release was made without privacy.")
    return LoggedStep(along_canaries(release.values) * (expected_batch_size / clipping_norm), release.event.one_step())


def along_canaries(values: Mapping[str, Tensor]) -> npt.NDArray[np.float64]:
    """(canaries,): the released vector along each canary's unit direction."""
    blocks = [values[name].double().numpy() for name in BLOCKS]
    return np.sum(blocks, axis=0) / math.sqrt(len(BLOCKS))

"""A stage's loss for the engine `opacus`: the same values by the generator's own modules, patients as one batch.

For comparing engines. It is slower than vmap wherever a stage trains parameters that Opacus' hooks do not reach.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from medm2g.stages import Stage
from privacy.engines import Term


class HookedStage:
    """`privacy.engines.BatchedLoss` around a stage. R * K rows of one patient stand side by side in a batch."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @property
    def network(self) -> nn.Module:
        """The generator, whose parameters have the names of the groups' parameters."""
        return self._stage.generator

    def touched(self, kind: str) -> tuple[str, ...]:
        """As the stage says."""
        return self._stage.touched(kind)

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        """As the stage does."""
        return cast(list[Term], self._stage.draw(pseudonym, generator=generator))

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """As the stage does."""
        return self._stage.loss(kind, parameters, tensors)

    def batch_losses(self, kind: str, tensors: dict[str, Tensor]) -> Tensor:
        """(patients,): the stage's loss of each, in one pass of the generator as it is."""
        weights = tensors["weight"]  # (patients, rows)
        flat = {name: tensor.flatten(0, 1) for name, tensor in tensors.items()}
        losses = self._stage.row_losses(kind, {}, flat).view_as(weights)
        return self._stage.weight_of(kind) * (losses * weights).sum(1) / weights.sum(1)

    def owners_of_rows(self, kind: str, tensors: dict[str, Tensor], rows: int) -> Tensor:
        """(rows,): one row for each of a patient's rows, or as many again for every view (stage align: two)."""
        patients, each = tensors["weight"].shape
        if rows % (patients * each):
            raise ValueError("the rows of a layer's input are not those of the patients")
        return torch.arange(rows) % (patients * each) // each

"""Public batches of a stage: many patients' terms of one kind, stacked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medm2g.errors import InputInvalid
from medm2g.pretrain.data import PublicPatients
from medm2g.stages.stage import Stage, stack_terms

_VALIDATION_SEED = 20_240_307  # any constant: the same draws at every validation


class StageBatches:
    """Batches of one stage: each step trains one flow, the flows taking turns."""

    def __init__(
        self, stage: Stage, patients: PublicPatients, flows: Sequence[str], people: frozenset[int], *, batch_size: int
    ) -> None:
        self.stage, self.batch_size = stage, batch_size
        self.people = {flow: patients.having(flow, people) for flow in flows}
        self.flows = [flow for flow in flows if self.people[flow]]
        if not self.flows:
            raise InputInvalid("No public patient of this split has a record of the flows to train: give more.")

    def draw(self, flow: str, random: torch.Generator, *, count: int | None = None) -> tuple[str, dict[str, Tensor]]:
        """(kind, tensors stacked over patients) of one flow; the most frequent kind where there are several."""
        known = self.people[flow]
        chosen = torch.randint(len(known), (count or self.batch_size,), generator=random).tolist()
        terms = [term for index in chosen for term in self.stage.draw(known[index], generator=random, only=(flow,))]
        kinds = [term.kind for term in terms]
        if not kinds:
            raise InputInvalid(f"The public patients drawn have nothing to train {flow} with: give more of them.")
        kind = max(sorted(set(kinds)), key=kinds.count)
        return kind, stack_terms([term for term in terms if term.kind == kind])

    def loss(self, step: int, random: torch.Generator) -> Tensor:
        """The mean loss of the step's flow on a fresh batch."""
        kind, stacked = self.draw(self.flows[step % len(self.flows)], random)
        return self.stage.loss_batch(kind, {}, stacked)


class FixedValidation:
    """The same draws of the same held-out patients every time."""

    def __init__(self, batches: StageBatches, *, count: int = 48) -> None:
        """count: draws per flow; at most four of each patient."""
        random = torch.Generator().manual_seed(_VALIDATION_SEED)
        self.stage = batches.stage
        self.fixed = [
            batches.draw(flow, random, count=min(count, 4 * len(batches.people[flow]))) for flow in batches.flows
        ]

    @torch.no_grad()
    def __call__(self) -> float:
        """Mean over flows."""
        values = [self.stage.loss_batch(kind, {}, stacked) for kind, stacked in self.fixed]
        return float(torch.stack(values).mean())

"""Public batches of a stage: many patients' terms of one kind, stacked; drawn ahead by other processes if wanted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medm2g.errors import InputInvalid
from medm2g.pretrain.data import PublicPatients
from medm2g.pretrain.loop import random_of
from medm2g.stages.stage import Stage, stack_terms

_VALIDATION_SEED = 20_240_307  # any constant: the same draws at every validation


class StageBatches:
    """Batches of one stage: each step trains one flow, the flows taking turns."""

    def __init__(
        self,
        stage: Stage,
        patients: PublicPatients,
        flows: Sequence[str],
        people: frozenset[int],
        *,
        batch_size: int,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        """workers: processes that draw the batches of the steps from 0 on, which then come in that order; none: each
        is drawn when it is asked for. The batches are the same."""
        self.stage, self.batch_size, self.seed, self.workers = stage, batch_size, seed, workers
        self._ahead: Iterator[tuple[str, dict[str, Tensor]]] | None = None
        stage.templates.learn(patients.sentences)  # so that drawing needs no network
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

    def of_step(self, step: int) -> tuple[str, dict[str, Tensor]]:
        """The batch of one step."""
        return self.draw(self.flows[step % len(self.flows)], random_of(self.seed, step))

    def loss(self, step: int) -> Tensor:
        """The mean loss of the step's flow on a fresh batch."""
        kind, stacked = next(self._drawn_ahead()) if self.workers else self.of_step(step)
        return _loss(self.stage, kind, stacked)

    def _drawn_ahead(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        if self._ahead is None:
            steps = itertools.count()
            loader = DataLoader(
                _Steps(self), sampler=steps, batch_size=None, num_workers=self.workers, collate_fn=_as_it_is
            )
            self._ahead = iter(loader)
        return self._ahead


class _Steps(Dataset[tuple[str, dict[str, Tensor]]]):
    """The steps' batches, as a loader asks for them."""

    def __init__(self, batches: StageBatches) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> tuple[str, dict[str, Tensor]]:
        return self.batches.of_step(step)


def _as_it_is(batch: tuple[str, dict[str, Tensor]]) -> tuple[str, dict[str, Tensor]]:
    return batch


def _loss(stage: Stage, kind: str, stacked: Mapping[str, Tensor]) -> Tensor:
    """Batches are drawn on the processor, wherever the network is."""
    device = stage.generator.device
    return stage.loss_batch(kind, {}, {name: tensor.to(device) for name, tensor in stacked.items()})


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
        values = [_loss(self.stage, kind, stacked) for kind, stacked in self.fixed]
        return float(torch.stack(values).mean())

"""Removing one patient moves the clipped sum by at most the clipping norm; each way to break that is planted."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from privacy.audit.remove_one import largest_move
from privacy.engines import ENGINES, ExecutionSettings, Term

NORM = 0.7
PATIENTS = [f"p{n}" for n in range(14)]
SLACK = 1 + 1e-6


def move(
    make_loss: Any, parameters: dict[str, Tensor], *, engine: str = "vmap", patients: list[str] = PATIENTS
) -> float:
    settings = ExecutionSettings(chunk_size=4, engine=engine)  # type: ignore[arg-type]
    return largest_move(make_loss, parameters, patients, removed=patients, clipping_norm=NORM, settings=settings)


class Regression:
    """Each patient's gradient is steered by its own two numbers, so that a search can look for the worst."""

    def __init__(self, numbers: dict[str, Tensor]) -> None:
        self.numbers = numbers

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        return [Term("fit", {"x": self.numbers[pseudonym], "e": torch.randn(8, generator=generator).double()})]

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        hidden = torch.tanh(parameters["w"] * tensors["x"] + tensors["e"])
        return (hidden.sum() - tensors["x"].sum()).square()

    def batch_losses(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        hidden = torch.tanh(parameters["w"].expand(len(tensors["x"]), -1) * tensors["x"] + tensors["e"])
        return (hidden.sum(1) - tensors["x"].sum(1)).square()

    def owners_of_rows(self, kind: str, tensors: dict[str, Tensor], rows: int) -> Tensor:
        return torch.arange(rows)


def regression(scale: float, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {who: torch.randn(8, generator=generator).double() * scale for who in PATIENTS}


WEIGHTS = {"w": torch.linspace(-1, 1, 8).double()}


@pytest.mark.parametrize("engine", ["loop", "vmap", "batch"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e8])
def test_no_random_patient_moves_the_sum_by_more_than_the_clipping_norm(engine: str, scale: float) -> None:
    assert move(lambda: Regression(regression(scale, 3)), WEIGHTS, engine=engine) <= NORM * SLACK


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_no_random_patient_of_the_net_does_either(engine: str, doubles: SimpleNamespace) -> None:
    loss = doubles.ToyLoss()
    assert 0 < move(lambda: loss, loss.parameters, engine=engine) <= NORM * SLACK


def test_no_searched_patient_moves_the_sum_by_more_than_the_clipping_norm() -> None:
    """Hill climbing on one patient's numbers towards the largest move it can make."""
    numbers = regression(0.05, 5)
    target, search = PATIENTS[6], np.random.default_rng(1)
    settings = ExecutionSettings(chunk_size=5, engine="vmap")
    best = 0.0
    for _ in range(40):
        tried = numbers[target] + torch.from_numpy(search.normal(size=8)) * search.choice([0.1, 1, 10])
        candidate = numbers | {target: tried}
        moved = largest_move(
            lambda kept=candidate: Regression(kept),
            WEIGHTS,
            PATIENTS,
            removed=[target],
            clipping_norm=NORM,
            settings=settings,
        )
        if moved > best:
            best, numbers = moved, candidate
    assert NORM * 0.999 < best <= NORM * SLACK, "the search reaches the bound and does not pass it"


def test_a_patient_that_is_not_finite_moves_the_sum_by_nothing(doubles: SimpleNamespace) -> None:
    gradients = {who: torch.ones(3).double() for who in PATIENTS}
    for poison in (float("nan"), float("inf")):
        gradients["p3"] = torch.full((3,), poison).double()
        settings = ExecutionSettings(chunk_size=4, engine="vmap")
        moved = largest_move(
            lambda: doubles.FixedLoss(gradients),
            {"w": torch.zeros(3).double()},
            PATIENTS,
            removed=["p3"],
            clipping_norm=NORM,
            settings=settings,
        )
        assert moved < 1e-12  # rounding of the other sums


def test_planted_a_stream_that_patients_share_is_caught() -> None:
    """A generator inside the loss: everyone after the removed patient gets other draws."""

    class Sharing(Regression):
        def __init__(self) -> None:
            super().__init__(regression(1.0, 3))
            self.generator = torch.Generator().manual_seed(11)

        def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
            return super().draw(pseudonym, generator=self.generator)

    assert move(Sharing, WEIGHTS) > 1.5 * NORM


def test_planted_draws_by_position_instead_of_by_patient_are_caught() -> None:
    class ByPosition(Regression):
        def __init__(self) -> None:
            super().__init__(regression(1.0, 3))
            self.count = 0

        def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
            self.count += 1
            return super().draw(pseudonym, generator=torch.Generator().manual_seed(self.count))

    assert move(ByPosition, WEIGHTS) > 1.5 * NORM


def test_planted_a_memory_of_other_patients_is_caught() -> None:
    """A queue of earlier patients as negatives: the in-batch contrast in disguise."""

    class Remembering(Regression):
        def __init__(self) -> None:
            super().__init__(regression(1.0, 3))
            self.queue = torch.zeros(8).double()

        def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
            term = super().draw(pseudonym, generator=generator)[0]
            self.queue = self.queue + self.numbers[pseudonym]
            return [Term("fit", {"x": term.tensors["x"] + self.queue, "e": term.tensors["e"]})]

    assert move(Remembering, WEIGHTS) > 1.5 * NORM


@pytest.mark.parametrize("fault", ["no clip", "clip each tensor", "clip each chunk", "clip twice as long"])
def test_planted_a_wrong_clip_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from privacy import clipping
    from privacy.gradients import PatientGradients

    right = clipping.clip_weights
    if fault == "no clip":
        monkeypatch.setattr(
            clipping, "clip_weights", lambda squared_norms, *, clipping_norm: torch.ones_like(squared_norms)
        )
    elif fault == "clip twice as long":
        monkeypatch.setattr(
            clipping,
            "clip_weights",
            lambda squared_norms, *, clipping_norm: right(squared_norms, clipping_norm=2 * clipping_norm),
        )
    elif fault == "clip each chunk":
        folded = clipping.ClippedSum.fold

        def together(self: clipping.ClippedSum, gradients: PatientGradients) -> None:
            """The whole chunk's sum, as if it were one patient's gradient: gradient accumulation gone wrong."""
            whole = PatientGradients(1)
            sums = gradients.weighted_sums(torch.ones(gradients.patients))
            whole.add(torch.tensor([0]), {name: value[None] for name, value in sums})
            folded(self, whole)

        monkeypatch.setattr(clipping.ClippedSum, "fold", together)
    else:

        def each(
            self: PatientGradients, weights: Tensor, *, lattice_step: float | None
        ) -> Iterator[tuple[str, Tensor]]:
            for name, (_, rows) in self._rows.items():
                norms = rows.flatten(1).norm(dim=1)
                yield name, ((NORM / norms).clamp(max=1) @ rows.flatten(1)).view(rows.shape[1:])

        monkeypatch.setattr(PatientGradients, "weighted_sums", each)

    class Two(Regression):
        def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
            return super().loss(kind, {"w": parameters["w"]}, tensors) + super().loss(
                kind, {"w": parameters["v"]}, tensors
            )

    weights = WEIGHTS | {"v": -WEIGHTS["w"]}
    assert move(lambda: Two(regression(10.0, 3)), weights) > 1.3 * NORM

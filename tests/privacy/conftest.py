"""Doubles and small real parts for the privacy tests. A planted stream replaces the class, never a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privacy.engines import ExecutionSettings, Term
from privacy.events import LedgerContext, StudyPlan
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.mechanism import Mechanism, MechanismConfig
from privacy.noise import NoiseStream
from privacy.patient_stream import PatientStream
from privacy.policy import SitePolicy

STUDY = "5" * 64
DELTA = 3e-4


def policy(**changes: Any) -> SitePolicy:
    """A permissive policy, with changes."""
    values: dict[str, Any] = {
        "name": "hospital",
        "declared_patients": 100,
        "max_patients": 1000,
        "declared_flows": ["xray", "text"],
        "max_epsilon": 16.0,
        "max_epsilon_per_study": 8.0,
        "max_delta": 1e-3,
        "allowed_stages": ["align", "diffuse"],
    }
    return SitePolicy.from_dict(values | changes)


def plan(*, study_digest: str = STUDY, steps: int = 20) -> StudyPlan:
    """A plan of two stages whose noise is known to cost about epsilon 2.2 (steps 20); its figure is a true bound."""
    from privacy.accounting import PLAN_GRID, epsilon
    from privacy.events import StagePlan

    stages = tuple(StagePlan(stage=name, sampling_probability=0.2, steps=steps) for name in ("align", "diffuse"))
    cost = epsilon([stage.event(2.0) for stage in stages], delta=DELTA, grid=PLAN_GRID)
    return StudyPlan(study_digest=study_digest, noise_multiplier=2.0, stages=stages, delta=DELTA, epsilon=cost)


class ToyLoss:
    """A small convolutional net with terms of two kinds that share a layer; a patient may have several of a kind."""

    def __init__(self, *, dtype: torch.dtype = torch.float64, offers_touched: bool = True) -> None:
        torch.manual_seed(7)
        self.nets = nn.ModuleDict(
            {
                "shared": nn.Conv2d(2, 6, 3, padding=1),
                "left": nn.Sequential(nn.GroupNorm(2, 6), nn.SiLU(), nn.Conv2d(6, 1, 3)),
                "right": nn.Sequential(nn.SiLU(), nn.Flatten(0), nn.Linear(6 * 36, 3)),
                "unused": nn.Linear(2, 2),
            }
        ).to(dtype)
        self.parameters = {name: value.detach().clone() for name, value in self.nets.named_parameters()}
        if offers_touched:
            self.touched = lambda kind: [name for name in self.parameters if name.startswith(("shared", kind))]

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        """Between one and three terms, depending on the patient's own draws."""
        count = int(torch.randint(1, 4, (), generator=generator))
        kinds = [("left", "right")[int(torch.randint(0, 2, (), generator=generator))] for _ in range(count)]
        return [Term(kind, {"x": torch.randn(2, 6, 6, generator=generator).double() * 3}) for kind in kinds]

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """Something smooth and not linear."""
        x = tensors["x"].to(parameters["shared.weight"].dtype).unsqueeze(0)
        features = torch.func.functional_call(self.nets["shared"], _under(parameters, "shared."), (x,))
        head = features if kind == "left" else features[0]
        return torch.func.functional_call(self.nets[kind], _under(parameters, f"{kind}."), (head,)).square().mean()

    @property
    def network(self) -> nn.Module:
        """For the engine `opacus`."""
        return self.nets

    def batch_losses(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """The same, patients as one batch, by the layers themselves."""
        call = torch.func.functional_call
        x = tensors["x"].to(self.parameters["shared.weight"].dtype)
        features = call(self.nets["shared"], _under(parameters, "shared."), (x,))
        if kind == "left":
            return call(self.nets["left"], _under(parameters, "left."), (features,)).square().flatten(1).mean(1)
        head = self.nets["right"][0](features).flatten(1)
        return call(self.nets["right"][2], _under(parameters, "right.2."), (head,)).square().mean(1)

    def owners_of_rows(self, kind: str, tensors: dict[str, Tensor], rows: int) -> Tensor:
        """One row for each patient."""
        if rows != len(tensors["x"]):
            raise ValueError(rows)
        return torch.arange(rows)


def _under(parameters: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}


class FixedLoss:
    """Patients whose gradient with respect to `w` is given: loss = w . g. Anything may be planted."""

    def __init__(self, gradients: dict[str, Tensor]) -> None:
        self.gradients = gradients

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        return [Term("given", {"g": self.gradients[pseudonym]})]

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        return (parameters["w"] * tensors["g"]).sum()


class SilentStream(NoiseStream):
    """Draws everybody and adds no noise: what is released is the clipped sum over the divisor."""

    def gaussian(self, shape: Any, dtype: Any = np.float32) -> np.ndarray:
        return np.zeros(shape, dtype)

    def bernoulli(self, count: int, probability: float) -> np.ndarray:
        return np.ones(count, bool)


class SeededStream(NoiseStream):
    """The planted fault: a stream that starts from a known secret."""

    def __init__(self) -> None:
        self._start(b"study seed 42".ljust(32))


def scaled_stream(scale: float) -> type[NoiseStream]:
    """The planted fault: noise of another scale."""

    class ScaledStream(NoiseStream):
        def gaussian(self, shape: Any, dtype: Any = np.float32) -> np.ndarray:
            return super().gaussian(shape, dtype) * dtype(scale)

    return ScaledStream


def empty_stream() -> type[NoiseStream]:
    """True noise, and nobody is drawn."""

    class EmptyStream(NoiseStream):
        def bernoulli(self, count: int, probability: float) -> np.ndarray:
            return np.zeros(count, bool)

    return EmptyStream


class Site:
    """A site with keys, ledger and an approved plan, that makes mechanisms."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.keys = SiteKeys.create(folder)
        self.policy = policy(**changes)
        self.path = folder / "ledger.sqlite"
        self.ledger = Ledger(self.path, self.keys.signing_key, self.policy)
        self.plan = plan()
        self.ledger.approve(self.plan)

    def context(self, *, stage: str = "align", round_number: int = 1) -> LedgerContext:
        return LedgerContext(study_digest=STUDY, stage=stage, round_number=round_number)

    def config(self, **changes: Any) -> MechanismConfig:
        values: dict[str, Any] = {
            "noise_multiplier": self.plan.noise_multiplier,
            "clipping_norm": 1.0,
            "sampling_probability": 0.2,
            "declared_patients": 100,
            "steps": 5,
        }
        return MechanismConfig.from_declared(**(values | changes))

    def patient_stream(self, context: LedgerContext) -> PatientStream:
        return PatientStream(
            self.keys.stream_key,
            study_digest=context.study_digest,
            stage=context.stage,
            round_number=context.round_number,
        )

    def mechanism(
        self,
        patients: list[str],
        *,
        stream: type[NoiseStream] = NoiseStream,
        chunk_size: int = 8,
        engine: str = "vmap",
        round_number: int = 1,
        **changes: Any,
    ) -> Mechanism:
        """A mechanism; with a planted stream, of a subclass that says so in the open."""
        planted = type("PlantedMechanism", (Mechanism,), {"stream_type": stream})
        context = self.context(round_number=round_number)
        return (Mechanism if stream is NoiseStream else planted)(
            self.config(**changes),
            ExecutionSettings(chunk_size=chunk_size, engine=engine),  # type: ignore[arg-type]
            noise=stream(),
            ledger=self.ledger,
            patients=patients,
            patient_stream=self.patient_stream(context),
            context=context,
        )


@pytest.fixture
def site(memory_path: Path) -> Site:
    """A fresh site."""
    return Site(memory_path / "site")


@pytest.fixture
def make_site(memory_path: Path) -> Callable[..., Site]:
    """Fresh sites with changed policies."""
    made: list[Site] = []

    def make(**changes: Any) -> Site:
        folder = memory_path / f"site-{len(made)}"
        made.append(Site(folder, **changes))
        return made[-1]

    return make


@pytest.fixture
def doubles() -> SimpleNamespace:
    """Everything that may be planted."""
    return SimpleNamespace(
        ToyLoss=ToyLoss,
        FixedLoss=FixedLoss,
        SilentStream=SilentStream,
        SeededStream=SeededStream,
        scaled_stream=scaled_stream,
        empty_stream=empty_stream,
        policy=policy,
        plan=plan,
        STUDY=STUDY,
        DELTA=DELTA,
    )

"""An invented site and an invented loss, for checks of the mechanism that need neither patients nor a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from privacy.accounting import PLAN_GRID, epsilon
from privacy.engines import ExecutionSettings, Term
from privacy.events import Event, LedgerContext, StagePlan, StudyPlan
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.mechanism import Mechanism, MechanismConfig
from privacy.noise import NoiseStream
from privacy.patient_stream import PatientStream
from privacy.policy import SitePolicy

STUDY = "a" * 64
STAGE = "align"
DELTA = 1e-3


def pseudonyms(count: int) -> list[str]:
    """Names of invented patients."""
    return [f"invented-{number:04d}" for number in range(count)]


class Regression:
    """A loss whose gradient depends on the patient's numbers and on its own draws, in float64. One term each."""

    def __init__(self, numbers: Mapping[str, Tensor]) -> None:
        self._numbers = numbers

    @classmethod
    def of(cls, patients: Sequence[str], *, size: float) -> tuple[Self, dict[str, Tensor]]:
        """The loss of patients with numbers of that size, and parameters in two tensors for it."""
        numbers = {who: torch.randn(8, generator=_own(n)).double() * size for n, who in enumerate(patients)}
        return cls(numbers), {"a": torch.linspace(-1, 1, 8).double(), "b": torch.linspace(2, -1, 8).double()}

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        """The patient's numbers with noise of its own."""
        noise = torch.randn(8, generator=generator).double()
        return [Term("fit", {"x": self._numbers[pseudonym], "e": noise})]

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """Squared error of something not linear."""
        one = {name: value[None] for name, value in tensors.items()}
        return self._losses({name: value[None] for name, value in parameters.items()}, one)[0]

    def batch_losses(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """(patients,): the same of each."""
        own = {name: parameters[name].expand(len(tensors["x"]), -1) for name in ("a", "b")}
        return self._losses(own, tensors)

    def owners_of_rows(self, kind: str, tensors: dict[str, Tensor], rows: int) -> Tensor:
        """One row each."""
        return torch.arange(rows)

    @staticmethod
    def _losses(own: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        seen = own["a"] * tensors["x"] + torch.tanh(own["b"] + tensors["e"])
        return (seen.sum(1) - tensors["e"].sum(1)).square()


def _own(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


class _Silence:
    """A loss that nobody's draw reaches."""

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        return []

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        raise AssertionError("there is no term")


class InventedSite:
    """Keys, policy, ledger and an approved plan in a folder; makes the real mechanism, once for each round."""

    noise_multiplier = 2.0
    clipping_norm = 0.5
    expected_batch_size = 20.0

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.silent_loss = folder, _Silence()
        self._keys = SiteKeys.create(folder)
        self._ledger = Ledger(folder / "ledger.sqlite", self._keys.signing_key, _policy())
        stages = (StagePlan(stage=STAGE, sampling_probability=0.2, steps=20),)
        events = [stage.event(self.noise_multiplier) for stage in stages]
        self._ledger.approve(
            StudyPlan(
                study_digest=STUDY,
                noise_multiplier=self.noise_multiplier,
                stages=stages,
                delta=DELTA,
                epsilon=epsilon(events, delta=DELTA, grid=PLAN_GRID),
            )
        )

    @property
    def patient_stream(self) -> PatientStream:
        """Of the first round."""
        return PatientStream(self._keys.stream_key, study_digest=STUDY, stage=STAGE, round_number=1)

    def mechanism(self, patients: Sequence[str], *, lattice: bool = False) -> Mechanism:
        """As a vault would build it."""
        config = MechanismConfig.from_declared(
            noise_multiplier=self.noise_multiplier,
            clipping_norm=self.clipping_norm,
            sampling_probability=0.2,
            declared_patients=100,
            steps=5,
            lattice=lattice,
        )
        return Mechanism(
            config,
            ExecutionSettings(chunk_size=8, engine="vmap"),
            noise=NoiseStream(),
            ledger=self._ledger,
            patients=patients,
            patient_stream=self.patient_stream,
            context=LedgerContext(study_digest=STUDY, stage=STAGE, round_number=1),
        )

    def charged(self) -> list[Event]:
        """What the ledger holds as spent."""
        return self._ledger.events().get(STUDY, [])


def _policy() -> SitePolicy:
    values: dict[str, Any] = {
        "name": "invented",
        "declared_patients": 100,
        "max_patients": 300,
        "declared_flows": ["xray"],
        "max_epsilon": 16.0,
        "max_epsilon_per_study": 8.0,
        "max_delta": DELTA,
        "allowed_stages": [STAGE],
    }
    return SitePolicy.from_dict(values)

"""What a site spends: the closed table of event kinds, and the plan of a whole study that is fixed at approval.

The ledger decodes an event through this table and nothing else: a generic decoder would build any class that the data
names. Values are checked when an event is built. Importing this file imports neither torch nor dp_accounting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from privacy.errors import BudgetExceeded, ConfigInvalid, LedgerTampered


@dataclass(frozen=True, kw_only=True)
class LedgerContext:
    """For which study, stage and round something is spent."""

    study_digest: str
    stage: str
    round_number: int
    """From 1."""


@dataclass(frozen=True, kw_only=True)
class SampledGaussian:
    """`steps` noised sums over patients drawn independently with `sampling_probability`."""

    kind: ClassVar[str] = "sampled-gaussian"
    sampling_probability: float
    noise_multiplier: float
    """Standard deviation of the noise over the clipping norm."""
    steps: int

    def __post_init__(self) -> None:
        if not 0.0 < self.sampling_probability <= 1.0:
            raise ConfigInvalid("`sampling_probability` must be above 0 and at most 1.")
        if not (math.isfinite(self.noise_multiplier) and self.noise_multiplier > 0.0):
            raise ConfigInvalid(
                "`noise_multiplier` must be a finite number above 0: calibrate it from a target epsilon."
            )
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise ConfigInvalid("`steps` must be a whole number of at least 1.")

    def one_step(self) -> SampledGaussian:
        """The same mechanism, once."""
        return SampledGaussian(
            sampling_probability=self.sampling_probability, noise_multiplier=self.noise_multiplier, steps=1
        )

    def same_mechanism(self, other: object) -> bool:
        """Whether only the number of steps differs."""
        return isinstance(other, SampledGaussian) and self.one_step() == other.one_step()


@dataclass(frozen=True, kw_only=True)
class NonPrivate:
    """`steps` releases without any protection; epsilon is infinite from then on."""

    kind: ClassVar[str] = "non-private"
    steps: int

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise ConfigInvalid("`steps` must be a whole number of at least 1.")


Event = SampledGaussian | NonPrivate
_KINDS: Mapping[str, type[SampledGaussian] | type[NonPrivate]] = {
    SampledGaussian.kind: SampledGaussian,
    NonPrivate.kind: NonPrivate,
}


def encode_event(event: Event) -> dict[str, Any]:
    """Plain values of an event: its kind and its fields."""
    return {"kind": event.kind, **asdict(event)}


def decode_event(values: Mapping[str, Any]) -> Event:
    """The event that `encode_event` wrote. Raises LedgerTampered for a kind or field that is not in the table."""
    fields = dict(values)
    cls = _KINDS.get(fields.pop("kind", None))
    if cls is None:
        raise LedgerTampered(
            "The ledger holds an event kind that is not in the table: install the version that wrote it."
        )
    try:
        return cls(**fields)
    except (TypeError, ConfigInvalid):
        raise LedgerTampered(
            f"The ledger holds a malformed {cls.kind} event: restore it from a copy that verifies."
        ) from None


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """What one stage may spend, spare rounds included."""

    stage: str
    sampling_probability: float
    steps: int

    def event(self, noise_multiplier: float) -> SampledGaussian:
        """All of the stage's steps as one event."""
        return SampledGaussian(
            sampling_probability=self.sampling_probability, noise_multiplier=noise_multiplier, steps=self.steps
        )


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """Everything that one study may spend at one site, fixed when the site approves it."""

    study_digest: str
    noise_multiplier: float
    """One for all stages, so that every stage's signal pays the same price."""
    stages: tuple[StagePlan, ...]
    delta: float
    epsilon: float
    """Of all stages with every spare step, by PLD at `delta`, add/remove."""

    def __post_init__(self) -> None:
        if len({stage.stage for stage in self.stages}) != len(self.stages) or not self.stages:
            raise ConfigInvalid("A plan needs at least one stage, and each at most once.")
        if not 0.0 < self.delta < 1.0:
            raise ConfigInvalid("`delta` must lie between 0 and 1.")
        self.events()

    def events(self) -> tuple[SampledGaussian, ...]:
        """One event per stage."""
        return tuple(stage.event(self.noise_multiplier) for stage in self.stages)

    def stage_event(self, stage: str) -> SampledGaussian:
        """Everything that `stage` may spend. Raises BudgetExceeded for a stage that the plan does not have."""
        for planned in self.stages:
            if planned.stage == stage:
                return planned.event(self.noise_multiplier)
        raise BudgetExceeded(f"The approved plan has no stage {stage}: approve a study that has it.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the ledger."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The plan that `to_dict` wrote. Raises LedgerTampered."""
        try:
            fields = dict(values)
            fields["stages"] = tuple(StagePlan(**stage) for stage in fields["stages"])
            return cls(**fields)
        except (TypeError, KeyError, ConfigInvalid):
            raise LedgerTampered("The ledger holds a malformed plan: restore it from a copy that verifies.") from None

"""What a site spends: the closed table of event kinds, and the plan of a whole study that is fixed at approval.

The ledger decodes an event through this table and nothing else: a generic decoder would build any class that the data
names. Values are checked when an event is built. Importing this file imports neither torch nor dp_accounting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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

    def one_step(self) -> Self:
        """The same mechanism, once."""
        return replace(self, steps=1)

    def same_mechanism(self, other: object) -> bool:
        """Whether only the number of steps differs."""
        return isinstance(other, SampledGaussian) and self.one_step() == other.one_step()


CAP_DEVIATIONS = 6.0
"""A cap lies at least so many square roots of the mean above the mean: nearer, it costs (notes/privacy.md 5.2)."""


def least_batch_cap(*, sampling_probability: float, max_patients: int) -> int:
    """Smallest cap that may be charged, in patients: mean + 6 sqrt(mean), at the most patients there may be."""
    mean = sampling_probability * max_patients
    return math.ceil(mean + CAP_DEVIATIONS * math.sqrt(mean))


@dataclass(frozen=True, kw_only=True)
class CappedSampledGaussian(SampledGaussian):
    """The same, where of more than `batch_cap` drawn patients a uniformly random `batch_cap` stay.

    Another mechanism, and so another kind: with a cap, a patient who joins may push another one out. What that costs
    is in `loss_distribution.py`; it depends on how often the cap bites, hence on the most patients there may be.
    """

    kind: ClassVar[str] = "capped-sampled-gaussian"
    batch_cap: int
    max_patients: int
    """As the policy declares; the mechanism refuses a list that is longer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for value in (self.batch_cap, self.max_patients):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigInvalid("`batch_cap` and `max_patients` must be whole numbers of at least 1.")
        least = least_batch_cap(sampling_probability=self.sampling_probability, max_patients=self.max_patients)
        if self.batch_cap < least:
            raise ConfigInvalid(
                f"`batch_cap` must be at least {least}, mean + 6 sqrt(mean) of a draw: a lower cap costs privacy."
            )


def sampled_gaussian(
    *,
    sampling_probability: float,
    noise_multiplier: float,
    steps: int,
    batch_cap: int | None,
    max_patients: int | None,
) -> SampledGaussian:
    """The event of these numbers: with a cap the capped one. Raises ConfigInvalid for half a cap."""
    if batch_cap is None and max_patients is None:
        return SampledGaussian(
            sampling_probability=sampling_probability, noise_multiplier=noise_multiplier, steps=steps
        )
    if batch_cap is None or max_patients is None:
        raise ConfigInvalid("A cap needs both `batch_cap` and `max_patients`: what it costs depends on both.")
    return CappedSampledGaussian(
        sampling_probability=sampling_probability,
        noise_multiplier=noise_multiplier,
        steps=steps,
        batch_cap=batch_cap,
        max_patients=max_patients,
    )


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
    CappedSampledGaussian.kind: CappedSampledGaussian,
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
    """What one stage, or one kind of metric release, may spend, spare rounds included."""

    stage: str
    """A stage's name; for a metric release any other name, such as `diffuse/metrics`."""
    sampling_probability: float
    steps: int
    noise_multiplier: float | None = None
    """Its own, fixed beforehand; None takes the study's, which is what gets calibrated."""
    batch_cap: int | None = None
    """Most patients in a step; None for no cap. Goes with `max_patients`."""
    max_patients: int | None = None

    def event(self, noise_multiplier: float) -> SampledGaussian:
        """All of the stage's steps as one event; `noise_multiplier` is the study's."""
        return sampled_gaussian(
            sampling_probability=self.sampling_probability,
            noise_multiplier=noise_multiplier if self.noise_multiplier is None else self.noise_multiplier,
            steps=self.steps,
            batch_cap=self.batch_cap,
            max_patients=self.max_patients,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what is None is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """Everything that one study may spend at one site, fixed when the site approves it."""

    study_digest: str
    noise_multiplier: float
    """One for all stages that do not fix their own, so that every stage's signal pays the same price."""
    stages: tuple[StagePlan, ...]
    delta: float
    epsilon: float
    """Of all stages and metric releases with every spare step, by PLD at `delta`, add/remove."""

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
        return self.stage_plan(stage).event(self.noise_multiplier)

    def stage_plan(self, stage: str) -> StagePlan:
        """The stage's terms. Raises BudgetExceeded for a stage that the plan does not have."""
        for planned in self.stages:
            if planned.stage == stage:
                return planned
        raise BudgetExceeded(f"The approved plan has no stage {stage}: approve a study that has it.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the ledger."""
        return asdict(self) | {"stages": [stage.to_dict() for stage in self.stages]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The plan that `to_dict` wrote. Raises LedgerTampered."""
        try:
            fields = dict(values)
            fields["stages"] = tuple(StagePlan(**stage) for stage in fields["stages"])
            return cls(**fields)
        except (TypeError, KeyError, ConfigInvalid):
            raise LedgerTampered("The ledger holds a malformed plan: restore it from a copy that verifies.") from None

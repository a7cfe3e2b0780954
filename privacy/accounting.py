"""Accounting: what a list of events costs, and how much noise a whole study needs.

The figure that counts is PLD (dp_accounting, connect-the-dots, pessimistic), for Poisson-sampled Gaussians composed
over stages of different sampling probability. RDP and Opacus' PRV are cross-checks. Adjacency is add/remove of one
patient unless said otherwise; replacing one patient costs more (6.19 becomes 10.88 in notes/privacy.md section 5.1).

Every library is imported inside the functions: reading a ledger must not cost two seconds of imports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

from privacy.errors import ConfigInvalid
from privacy.events import Event, NonPrivate, SampledGaussian, StagePlan, StudyPlan

REPORT_GRID = 3e-4
"""Discretisation of the privacy loss for reported figures. Any grid gives an upper bound; a finer one is nearer."""
PLAN_GRID = 1e-3
"""For calibration: about 1 % higher over ten thousand steps, equal over a hundred, and three times faster."""
SEARCH_GRID = 1e-2
"""For finding the neighbourhood of the answer."""
MAX_NOISE_MULTIPLIER = 1e4
DECIMALS = 4
"""A calibrated noise multiplier is rounded up to this many decimals: a number that a person can copy."""


class Adjacency(Enum):
    """Which pairs of patient lists the guarantee speaks of."""

    ADD_REMOVE = "add-remove"
    REPLACE_ONE = "replace-one"


def epsilon(
    events: Sequence[Event], *, delta: float, adjacency: Adjacency = Adjacency.ADD_REMOVE, grid: float = REPORT_GRID
) -> float:
    """Upper bound on epsilon at `delta` of all events together, by PLD. Zero for none; infinite after a NonPrivate."""
    if any(isinstance(event, NonPrivate) for event in events):
        return math.inf
    return _pld_epsilon(_merged(events), _checked_delta(delta), adjacency, grid)


def epsilon_rdp(events: Sequence[Event], *, delta: float) -> float:
    """The same by Renyi moments: looser, numerically robust, and valid for events that were chosen adaptively."""
    from dp_accounting import NeighboringRelation, rdp

    if any(isinstance(event, NonPrivate) for event in events):
        return math.inf
    if not events:
        return 0.0
    accountant = rdp.RdpAccountant(neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE)
    for event in _merged(events):
        accountant.compose(_dp_event(event), event.steps)
    return float(accountant.get_epsilon(_checked_delta(delta)))


def epsilon_prv(events: Sequence[Event], *, delta: float) -> float:
    """The same by Opacus' PRV accountant, which returns the upper end of its error interval (0.01 wide)."""
    from opacus.accountants import PRVAccountant

    if any(isinstance(event, NonPrivate) for event in events):
        return math.inf
    accountant = PRVAccountant()
    accountant.history = [
        (event.noise_multiplier, event.sampling_probability, event.steps) for event in _merged(events)
    ]
    return float(accountant.get_epsilon(_checked_delta(delta)))


def calibrate_noise_multiplier(events: Sequence[SampledGaussian], *, target_epsilon: float, delta: float) -> float:
    """Smallest noise multiplier, common to all events and rounded up, at which all cost at most `target_epsilon`.

    The events' own noise multipliers are ignored. Raises ConfigInvalid when no amount of noise suffices.
    """
    if not (math.isfinite(target_epsilon) and target_epsilon > 0.0):
        raise ConfigInvalid("The target epsilon must be a finite number above 0.")
    if not events:
        raise ConfigInvalid("There is nothing to calibrate: give at least one event.")
    shape = tuple(sorted((event.sampling_probability, event.steps) for event in events))
    return _calibrated(shape, target_epsilon, _checked_delta(delta))


def plan_study(
    *, study_digest: str, stages: Mapping[str, tuple[float, int]], spare: float, max_epsilon: float, delta: float
) -> StudyPlan:
    """Everything that a study may spend at one site, with the noise that keeps it within `max_epsilon` at `delta`.

    `stages` maps a stage to (sampling probability, steps); `spare` is the share of extra steps that each stage gets
    for rounds that die. They are calibrated in whether they are used or not.
    """
    if spare < 0.0:
        raise ConfigInvalid("`spare` must be at least 0.")
    planned = tuple(
        StagePlan(stage=stage, sampling_probability=probability, steps=math.ceil(steps * (1.0 + spare) - 1e-9))
        for stage, (probability, steps) in stages.items()
    )
    noise_multiplier = calibrate_noise_multiplier(
        [stage.event(1.0) for stage in planned], target_epsilon=max_epsilon, delta=delta
    )
    events = [stage.event(noise_multiplier) for stage in planned]
    spent = epsilon(events, delta=delta, grid=PLAN_GRID)
    return StudyPlan(
        study_digest=study_digest, noise_multiplier=noise_multiplier, stages=planned, delta=delta, epsilon=spent
    )


def _checked_delta(delta: float) -> float:
    if not 0.0 < delta < 1.0:
        raise ConfigInvalid("`delta` must lie between 0 and 1.")
    return delta


def _merged(events: Sequence[Event]) -> tuple[SampledGaussian, ...]:
    """Equal mechanisms with their steps added, in a fixed order, so that equal lists hit the cache."""
    steps: dict[tuple[float, float], int] = {}
    for event in events:
        assert isinstance(event, SampledGaussian)
        place = (event.sampling_probability, event.noise_multiplier)
        steps[place] = steps.get(place, 0) + event.steps
    return tuple(
        SampledGaussian(sampling_probability=probability, noise_multiplier=multiplier, steps=count)
        for (probability, multiplier), count in sorted(steps.items())
    )


def _dp_event(event: SampledGaussian) -> Any:
    """One step, in dp_accounting's words (its "record" is our patient)."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent

    gaussian = GaussianDpEvent(event.noise_multiplier)
    return (
        gaussian if event.sampling_probability == 1.0 else PoissonSampledDpEvent(event.sampling_probability, gaussian)
    )


@lru_cache(maxsize=512)
def _pld_epsilon(events: tuple[SampledGaussian, ...], delta: float, adjacency: Adjacency, grid: float) -> float:
    from dp_accounting import NeighboringRelation, pld

    if not events:
        return 0.0
    relation = {
        Adjacency.ADD_REMOVE: NeighboringRelation.ADD_OR_REMOVE_ONE,
        Adjacency.REPLACE_ONE: NeighboringRelation.REPLACE_ONE,
    }[adjacency]
    accountant = pld.PLDAccountant(relation, value_discretization_interval=grid)
    for event in events:
        accountant.compose(_dp_event(event), event.steps)
    return float(accountant.get_epsilon(delta))


@lru_cache(maxsize=64)
def _calibrated(shape: tuple[tuple[float, int], ...], target: float, delta: float) -> float:
    """Bracket and bisect on the coarse grid, then walk up on the finer one until it holds."""
    from scipy.optimize import brentq

    def excess(log_multiplier: float, grid: float) -> float:
        multiplier = math.exp(log_multiplier)
        events = [SampledGaussian(sampling_probability=q, noise_multiplier=multiplier, steps=n) for q, n in shape]
        return math.log(max(epsilon(events, delta=delta, grid=grid), 1e-12) / target)

    low, high = _bracket(lambda place: excess(place, SEARCH_GRID))
    guess = brentq(excess, low, high, args=(SEARCH_GRID,), xtol=1e-3)
    low, high = guess - 0.05, guess + 0.005
    while excess(high, PLAN_GRID) > 0.0:
        low, high = high, high + 0.02
    while excess(low, PLAN_GRID) <= 0.0:
        low, high = low - 0.1, low
    exact = brentq(excess, low, high, args=(PLAN_GRID,), xtol=1e-5)
    multiplier = _rounded_up(math.exp(exact))
    while excess(math.log(multiplier), PLAN_GRID) > 0.0:
        multiplier = _rounded_up(multiplier + 10.0**-DECIMALS)
    return multiplier


def _rounded_up(value: float) -> float:
    return math.ceil(value * 10**DECIMALS - 1e-9) / 10**DECIMALS


def _bracket(excess: Any) -> tuple[float, float]:
    """Logarithms of a multiplier that is too small and of one that is large enough."""
    low, high = 0.0, 0.0
    while excess(high) > 0.0:
        low, high = high, high + math.log(2.0)
        if high > math.log(MAX_NOISE_MULTIPLIER):
            raise ConfigInvalid(
                "No amount of noise meets this epsilon: allow more epsilon, fewer steps or a larger delta."
            )
    while high == 0.0 and excess(low) <= 0.0:
        if low < math.log(1e-2):
            raise ConfigInvalid("This epsilon is too large to mean anything: ask for less.")
        low -= math.log(2.0) / 2
    return low, high

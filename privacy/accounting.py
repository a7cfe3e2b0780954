"""Accounting: what a list of events costs, and how much noise a whole study needs.

The figure that counts is PLD (dp_accounting, connect-the-dots, pessimistic), for Poisson-sampled Gaussians composed
over stages of different sampling probability. RDP and Opacus' PRV are cross-checks. Adjacency is add/remove of one
patient unless said otherwise; replacing one patient costs more (6.19 becomes 10.88 in notes/privacy.md section 5.1).

Every library is imported inside the functions: reading a ledger must not cost two seconds of imports.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from privacy.errors import ConfigInvalid
from privacy.events import (
    CappedSampledGaussian,
    Event,
    NonPrivate,
    SampledGaussian,
    StagePlan,
    StudyPlan,
    least_batch_cap,
)
from privacy.loss_distribution import Adjacency, pld_epsilon

REPORT_GRID = 3e-4
"""Discretisation of the privacy loss for reported figures. Any grid gives an upper bound; a finer one is nearer."""
PLAN_GRID = 1e-3
"""For calibration: about 1 % higher over ten thousand steps, equal over a hundred, and three times faster."""
SEARCH_GRID = 1e-2
"""For finding the neighbourhood of the answer."""
MAX_NOISE_MULTIPLIER = 1e4
DECIMALS = 4
"""A calibrated noise multiplier is rounded up to this many decimals: a number that a person can copy."""


def epsilon(
    events: Sequence[Event], *, delta: float, adjacency: Adjacency = Adjacency.ADD_REMOVE, grid: float = REPORT_GRID
) -> float:
    """Upper bound on epsilon at `delta` of all events together, by PLD. Zero for none; infinite after a NonPrivate."""
    merged = _private(events)
    return math.inf if merged is None else pld_epsilon(merged, _checked_delta(delta), adjacency, grid)


def epsilon_rdp(events: Sequence[Event], *, delta: float) -> float:
    """The same by Renyi moments: looser and numerically robust. For the events of one study, fixed beforehand."""
    from dp_accounting import NeighboringRelation, rdp

    merged = _private(events)
    if merged is None:
        return math.inf
    if not merged:
        return 0.0
    accountant = rdp.RdpAccountant(neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE)
    if any(isinstance(event, CappedSampledGaussian) for event in merged):  # which dp_accounting has no moments for
        from privacy.renyi import epsilon_of_moment, total_moment

        orders = [float(order) for order in accountant._orders]
        return min(epsilon_of_moment(a, total_moment(merged, a), delta=_checked_delta(delta)) for a in orders)
    logging.getLogger("absl").addFilter(_says_more)
    for event in merged:
        accountant.compose(_dp_event(event), event.steps)
    return float(accountant.get_epsilon(_checked_delta(delta)))


def _says_more(record: logging.LogRecord) -> bool:
    """Not that an order of the Renyi account did not converge: it is left out, which can only raise the bound."""
    return "failed to converge" not in record.getMessage()


def epsilon_prv(events: Sequence[Event], *, delta: float) -> float:
    """The same by Opacus' PRV accountant, which returns the upper end of its error interval (0.01 wide).

    Raises ConfigInvalid for capped events, which it does not know.
    """
    from opacus.accountants import PRVAccountant

    merged = _private(events)
    if merged is None:
        return math.inf
    if any(isinstance(event, CappedSampledGaussian) for event in merged):
        raise ConfigInvalid("Opacus' PRV accountant knows no capped draws: compare with RDP.")
    accountant = PRVAccountant()
    accountant.history = [(event.noise_multiplier, event.sampling_probability, event.steps) for event in merged]
    with np.errstate(divide="ignore"):  # it takes log(1 - q), also where everybody joins
        return float(accountant.get_epsilon(_checked_delta(delta)))


def epsilon_across_studies(events_by_study: Sequence[Sequence[Event]], caps: Sequence[float], *, delta: float) -> float:
    """Epsilon of several studies of the same patients, each proposed knowing the results of those before.

    `events_by_study` holds what each study may spend or has spent, `caps` the epsilon that each was approved for. The
    smaller of two figures that both bear adaptive choice: the sum of the caps (basic composition), which holds at the
    sum of the studies' own deltas, and a Renyi filter over all events, which holds at `delta` (privacy/renyi.py). A
    limit that either of them may meet is therefore kept at the sum of both deltas: pass what a policy's delta leaves
    after the studies' own. Zero for no study; for one study its cap. Infinite after a release without privacy.

    Raises ConfigInvalid where a study has no cap, or a cap is no epsilon.
    """
    if len(events_by_study) != len(caps):
        raise ConfigInvalid("Each study needs one cap: give as many caps as studies.")
    if any(math.isnan(cap) or cap < 0.0 for cap in caps):
        raise ConfigInvalid("A study's cap must be an epsilon of at least 0.")
    merged = _private([event for events in events_by_study for event in events])
    if merged is None:
        return math.inf
    summed = math.fsum(caps)
    if len(caps) < 2:
        return summed  # nothing was chosen between studies
    from privacy.renyi import adaptive_epsilon

    return min(summed, adaptive_epsilon(merged, delta=_checked_delta(delta)))


def calibrate_noise_multiplier(
    events: Sequence[SampledGaussian], *, target_epsilon: float, delta: float, fixed: Sequence[SampledGaussian] = ()
) -> float:
    """Smallest noise multiplier, common to `events` and rounded up, at which they and `fixed` cost at most
    `target_epsilon`.

    The own noise multipliers of `events` are ignored, those of `fixed` (metric releases) stay. Raises ConfigInvalid
    when no amount of noise suffices.
    """
    if not (math.isfinite(target_epsilon) and target_epsilon > 0.0):
        raise ConfigInvalid("The target epsilon must be a finite number above 0.")
    if not events:
        raise ConfigInvalid("There is nothing to calibrate: give at least one event.")
    shape = _merged([replace(event, noise_multiplier=1.0) for event in events])
    return _calibrated(shape, _merged(fixed), target_epsilon, _checked_delta(delta))


def plan_study(
    *,
    study_digest: str,
    stages: Mapping[str, tuple[float, int]],
    spare: float,
    max_epsilon: float,
    delta: float,
    metric_releases: Sequence[StagePlan] = (),
    capped_at: int | None = None,
) -> StudyPlan:
    """Everything that a study may spend at one site, with the noise that keeps it within `max_epsilon` at `delta`.

    `stages` maps a stage to (sampling probability, steps); `metric_releases` have noise of their own, fixed beforehand.
    `spare` is the share of extra steps that each of both gets for rounds that die. They are calibrated in whether they
    are used or not. `capped_at` is the policy's `max_patients` where draws are capped (at the least cap that costs
    nothing, `least_batch_cap`), None where they are not.
    """
    if spare < 0.0:
        raise ConfigInvalid("`spare` must be at least 0.")
    if any(release.noise_multiplier is None for release in metric_releases):
        raise ConfigInvalid("A metric release needs a noise multiplier of its own: fix it beforehand.")
    planned = [_stage_plan(stage, *terms, capped_at) for stage, terms in stages.items()] + list(metric_releases)
    planned = [replace(stage, steps=math.ceil(stage.steps * (1.0 + spare) - 1e-9)) for stage in planned]
    noise_multiplier = calibrate_noise_multiplier(
        [stage.event(1.0) for stage in planned if stage.noise_multiplier is None],
        target_epsilon=max_epsilon,
        delta=delta,
        fixed=[stage.event(1.0) for stage in planned if stage.noise_multiplier is not None],
    )
    events = [stage.event(noise_multiplier) for stage in planned]
    spent = epsilon(events, delta=delta, grid=PLAN_GRID)
    return StudyPlan(
        study_digest=study_digest, noise_multiplier=noise_multiplier, stages=tuple(planned), delta=delta, epsilon=spent
    )


def _stage_plan(stage: str, sampling_probability: float, steps: int, capped_at: int | None) -> StagePlan:
    cap = None
    if capped_at is not None:
        cap = least_batch_cap(sampling_probability=sampling_probability, max_patients=capped_at)
    return StagePlan(
        stage=stage,
        sampling_probability=sampling_probability,
        steps=steps,
        batch_cap=cap,
        max_patients=capped_at,
    )


def _checked_delta(delta: float) -> float:
    if not 0.0 < delta < 1.0:
        raise ConfigInvalid("`delta` must lie between 0 and 1.")
    return delta


def _private(events: Sequence[Event]) -> tuple[SampledGaussian, ...] | None:
    """The events, merged; None where one of them released without privacy."""
    return None if any(isinstance(event, NonPrivate) for event in events) else _merged(events)


def _merged(events: Sequence[Event]) -> tuple[SampledGaussian, ...]:
    """Equal mechanisms with their steps added, in a fixed order, so that equal lists hit the cache."""
    steps: dict[SampledGaussian, int] = {}
    for event in events:
        if not isinstance(event, SampledGaussian):
            raise ConfigInvalid("There is an event of a kind that the accountant does not know: it cannot be counted.")
        mechanism = event.one_step()
        steps[mechanism] = steps.get(mechanism, 0) + event.steps
    return tuple(replace(mechanism, steps=steps[mechanism]) for mechanism in sorted(steps, key=repr))


def _dp_event(event: SampledGaussian) -> Any:
    """One step, in dp_accounting's words (its "record" is our patient)."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent

    gaussian = GaussianDpEvent(event.noise_multiplier)
    return (
        gaussian if event.sampling_probability == 1.0 else PoissonSampledDpEvent(event.sampling_probability, gaussian)
    )


@lru_cache(maxsize=64)
def _calibrated(
    shape: tuple[SampledGaussian, ...], fixed: tuple[SampledGaussian, ...], target: float, delta: float
) -> float:
    """Bracket and bisect on the coarse grid, then walk up on the finer one until it holds."""
    from scipy.optimize import brentq

    if fixed and epsilon(fixed, delta=delta, grid=PLAN_GRID) >= target:
        raise ConfigInvalid("The metric releases alone cost more than this epsilon: give them more noise.")

    def excess(log_multiplier: float, grid: float) -> float:
        multiplier = math.exp(log_multiplier)
        events = [*fixed, *(replace(event, noise_multiplier=multiplier) for event in shape)]
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

"""The verdict of a canary study: does what was released fit what the ledger was charged?

Statement. m canaries joined by independent fair coins; every score is a function of the releases alone; how many
canaries are guessed was fixed beforehand from public numbers (`planned_guesses`). If the mechanism has the trade-off
curve of the events in its ledger, the probability that `refuted` is true is at most `significance`, over all scores
together (each is tested at an equal share of it).

Bounds on epsilon, each with confidence 1 - significance:
- `steinke`: for any mechanism (Steinke et al. 2023); far below the truth for Gaussian ones.
- `same_schedule`: the largest epsilon among "these events with noise scaled by x" that is refuted (f-DP, Mahloujifar et
  al. 2024). It holds for mechanisms that differ from the ledger in the scale of their noise alone.
- `gaussian`, `clopper_pearson`, `gaussian_clopper_pearson`: estimates, for comparison with the literature; the last two
  treat canaries of one run as independent trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.audit.one_run import Guesses, gaussian_bound, refuted, steinke_epsilon
from privacy.audit.step_log import scores as scores_of
from privacy.audit.step_log import simulated_log
from privacy.audit.threshold_bounds import Passed, clopper_pearson_epsilon, gaussian_epsilon_bound
from privacy.audit.trade_off import claimed_curve, claimed_epsilon
from privacy.errors import ConfigInvalid
from privacy.events import SampledGaussian

Array = npt.NDArray[np.float64]
Coins = npt.NDArray[np.bool_]

SIGNIFICANCE = 0.05
SCALES = tuple(float(scale) for scale in np.round(np.geomspace(8.0, 0.125, 49), 6))
"""Noise scales of `same_schedule`, from eight times the charged noise to an eighth of it, 9 % apart."""
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of the canaries that a plan may guess to be in, and as many or none to be out."""


@dataclass(frozen=True)
class GuessPlan:
    """How many canaries are guessed, fixed before any coin is looked at."""

    into: int
    """The highest scores, guessed to be in."""
    out: int
    """The lowest scores, guessed to be out."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Lower bounds on epsilon by one score."""

    guesses: Guesses
    refuted: bool
    """The curve of the charged events is refuted."""
    steinke: float
    same_schedule: float
    gaussian: float
    clopper_pearson: float
    gaussian_clopper_pearson: float


@dataclass(frozen=True, kw_only=True)
class CanaryVerdict:
    """What the canary study says of the claim."""

    claimed: float
    """Epsilon at `delta` of the events that the ledger was charged."""
    delta: float
    significance: float
    plan: GuessPlan
    by_score: Mapping[str, Bounds]

    @property
    def refuted(self) -> bool:
        """The claim does not hold: by its own curve, or because a bound for any mechanism exceeds it."""
        return any(bounds.refuted or bounds.steinke > self.claimed for bounds in self.by_score.values())

    @property
    def lower_bound(self) -> float:
        """The largest of the bounds that are proved: `steinke` and `same_schedule` over all scores."""
        return max(max(bounds.steinke, bounds.same_schedule) for bounds in self.by_score.values())


def judge(
    scores: Mapping[str, Array],
    coins: Coins,
    events: Sequence[SampledGaussian],
    *,
    delta: float,
    plan: GuessPlan,
    significance: float = SIGNIFICANCE,
) -> CanaryVerdict:
    """Open the coins and judge. Scores and `coins` are (canaries,); `events` are what the ledger was charged."""
    if not scores or any(values.shape != coins.shape for values in scores.values()):
        raise ConfigInvalid("Every score needs one value for each canary, and there must be at least one score.")
    if not all(np.isfinite(values).all() for values in scores.values()):
        raise ConfigInvalid("A score is not finite: the step log is damaged, run the canary study again.")
    share = significance / len(scores)
    return CanaryVerdict(
        claimed=claimed_epsilon(events, delta=delta),
        delta=delta,
        significance=significance,
        plan=plan,
        by_score={name: _bounds(values, coins, events, delta, plan, share) for name, values in scores.items()},
    )


def guess(scores: Array, coins: Coins, plan: GuessPlan) -> Guesses:
    """Guess by the plan and count the right ones; equal scores keep the order of the canaries."""
    order = np.argsort(scores, kind="stable")
    out, into = order[: plan.out], order[len(order) - plan.into :]
    correct = int(coins[into].sum()) + int((~coins[out]).sum())
    return Guesses(canaries=coins.size, made=plan.into + plan.out, correct=correct)


def planned_guesses(events: Sequence[SampledGaussian], canaries: int, *, seed: int = 0) -> GuessPlan:
    """The plan that most often refutes the claim when the noise is a half or a third of what is charged, then the one
    that shows the larger mu. By simulation, from public numbers alone."""
    rng, curve = np.random.default_rng(seed), claimed_curve(events)
    plans = [
        GuessPlan(kept, other)
        for kept in sorted({max(1, round(share * canaries)) for share in SHARES})
        for other in (0, kept)
        if kept + other <= canaries
    ]
    caught, shown = np.zeros(len(plans)), np.zeros(len(plans))
    for scale in (0.5, 0.5, 0.5, 1 / 3):
        coins = rng.random(canaries) < 0.5
        values = scores_of(simulated_log(events, coins, noise_scale=scale, rng=rng))
        made = [guess(values, coins, plan) for plan in plans]
        caught += [refuted(curve, one, significance=SIGNIFICANCE / 2) for one in made]
        shown += [gaussian_bound(one, delta=1e-5, significance=SIGNIFICANCE / 2).mu for one in made]
    return plans[int(np.lexsort((shown, caught))[-1])]


def _bounds(
    values: Array, coins: Coins, events: Sequence[SampledGaussian], delta: float, plan: GuessPlan, share: float
) -> Bounds:
    made = guess(values, coins, plan)
    threshold = np.sort(values)[len(values) - plan.into]
    passed = Passed(
        members=int(coins.sum()),
        members_passed=int((values[coins] >= threshold).sum()),
        others=int((~coins).sum()),
        others_passed=int((values[~coins] >= threshold).sum()),
    )
    return Bounds(
        guesses=made,
        refuted=refuted(claimed_curve(events), made, significance=share),
        steinke=steinke_epsilon(made, delta=delta, significance=share),
        same_schedule=_same_schedule(made, events, delta, share),
        gaussian=gaussian_bound(made, delta=delta, significance=share).epsilon,
        clopper_pearson=clopper_pearson_epsilon(passed, delta=delta, significance=share),
        gaussian_clopper_pearson=gaussian_epsilon_bound(passed, delta=delta, significance=share),
    )


def _same_schedule(made: Guesses, events: Sequence[SampledGaussian], delta: float, share: float) -> float:
    """Curves fall as noise does, so refutation stops at one place among `SCALES`: found by halving."""
    low, high = -1, len(SCALES)
    while high - low > 1:
        middle = (low + high) // 2
        if refuted(claimed_curve(events, noise_scale=SCALES[middle]), made, significance=share):
            low = middle
        else:
            high = middle
    return 0.0 if low < 0 else claimed_epsilon(events, delta=delta, noise_scale=SCALES[low])

"""One-run audits: a lower bound on epsilon from guesses about many canaries in a single training run.

m canaries join by independent fair coins. After the run the auditor guesses r of them ("in" or "out"), abstains on the
rest, and v guesses are right.

**Steinke, Nasr, Jagielski (2023), Theorem 5.2.** If the mechanism is (eps, delta)-DP, with p = e^eps / (1 + e^eps),

    P[V >= v]  <=  P[Bin(r, p) >= v]  +  2 m delta max_i (P[Bin(r, p) >= v - i] - P[Bin(r, p) >= v]) / i .

`steinke_epsilon` is the largest eps at which this is at most `significance`: with confidence 1 - significance the
mechanism is not (eps', delta)-DP for any eps' below it. It saturates: 1000 of 1000 right is 5.8, whatever the truth.

**Mahloujifar, Melis, Chaudhuri (2024), f-DP.** `refuted` tests a whole trade-off curve f: with confidence
1 - significance a mechanism that is f-DP is not refuted. `gaussian_bound` is the largest mu at which mu-GDP is refuted,
as epsilon at delta: a bound for mechanisms that are Gaussian, an indication for others.

Both need: coins drawn after the canaries were fixed, scores that depend on the release alone, and r fixed before
looking (or `significance` divided by the number of choices that were tried).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from privacy.audit.trade_off import GaussianCurve, TradeOff, gaussian_epsilon
from privacy.errors import ConfigInvalid

MOST_EPSILON = 60.0
MOST_MU = 40.0


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """What came of guessing."""

    canaries: int
    """m: all canaries whose coins were thrown."""
    made: int
    """r: guesses, of either kind."""
    correct: int
    """v."""

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.made <= self.canaries or self.canaries < 1:
            raise ConfigInvalid("Guesses must satisfy 0 <= correct <= made <= canaries, with at least one canary.")


def steinke_p_value(guesses: Guesses, *, epsilon: float, delta: float) -> float:
    """Upper bound on the chance of so many correct guesses under (epsilon, delta)-DP."""
    made, correct = guesses.made, guesses.correct
    probability = 1.0 / (1.0 + np.exp(-epsilon))
    tail = float(binom.sf(correct - 1, made, probability))
    if delta == 0.0 or correct == 0:
        return min(tail, 1.0)
    steps = np.arange(1, correct + 1)
    gained = (binom.sf(correct - steps - 1, made, probability) - tail) / steps
    return float(min(tail + 2.0 * guesses.canaries * delta * max(float(gained.max()), 0.0), 1.0))


def steinke_epsilon(guesses: Guesses, *, delta: float, significance: float) -> float:
    """Lower bound on epsilon at `delta`; zero where nothing is shown."""

    def excess(epsilon: float) -> float:
        return steinke_p_value(guesses, epsilon=epsilon, delta=delta) - significance

    if excess(0.0) > 0.0:
        return 0.0
    return MOST_EPSILON if excess(MOST_EPSILON) <= 0.0 else float(brentq(excess, 0.0, MOST_EPSILON, xtol=1e-8))


def refuted(curve: TradeOff, guesses: Guesses, *, significance: float) -> bool:
    """Whether no mechanism with this trade-off curve is guessed so well, but for a chance of `significance`.

    Mahloujifar et al. (2024), Algorithm 3: the probability of v or more correct guesses is spread backwards over the
    outcomes; the share of wrong guesses that f forces must not exceed what r guesses leave.
    """
    made, correct, canaries = guesses.made, guesses.correct, guesses.canaries
    if made == 0:
        return False
    right = significance * correct / canaries
    wrong = significance * (made - correct) / canaries
    most = made / canaries
    for place in range(correct - 1, -1, -1):
        forced = max(wrong, curve.false_negative_rate(1.0 - right))
        right += place / (made - place) * (forced - wrong)
        wrong = forced
        if right + wrong > most:
            return True
    return False


@dataclass(frozen=True)
class GaussianBound:
    """The largest refuted mu, and its epsilon at the delta that was asked."""

    mu: float
    epsilon: float


def gaussian_bound(guesses: Guesses, *, delta: float, significance: float) -> GaussianBound:
    """Lower bound on mu and on epsilon at `delta`, for Gaussian trade-offs."""
    low, high = 0.0, MOST_MU
    if not refuted(GaussianCurve(low), guesses, significance=significance):
        return GaussianBound(0.0, 0.0)
    while high - low > 1e-6:
        middle = (low + high) / 2
        if refuted(GaussianCurve(middle), guesses, significance=significance):
            low = middle
        else:
            high = middle
    return GaussianBound(low, gaussian_epsilon(low, delta=delta))

"""Membership inference: from scores of patients who trained and of patients who did not, to figures with intervals.

Statement. Scores are higher for a likelier member and depend on the released model and the patient alone. Then, over
the draw of members and others from one population,

- `auc` is the chance that a member scores above another patient (ties count half), with Newcombe's (2006, method 5)
  interval, which keeps its meaning at 0 and 1;
- `at(rate)` is the true positive rate at a threshold that lets at most `rate` of the others pass, with a bootstrap
  interval over both groups (threshold chosen anew each time), and the exact upper bound on the false positive rate that
  so few others can show: with n others a rate below 1/n is not resolved, and that is said;
- an (eps, delta) claim puts a ceiling over the whole curve (`trade_off.ClaimedCurve.ceiling`). `exceeds` tests it: at
  each of `TESTED_RATES` the exact lower bound of the true positive rate against the ceiling at the exact upper bound of
  the false positive rate, on the half of the patients that did not choose the threshold, at an equal share of
  `significance`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import rankdata

from privacy.audit.threshold_bounds import lower_rate, upper_rate
from privacy.audit.trade_off import ClaimedCurve
from privacy.errors import ConfigInvalid

Array = npt.NDArray[np.float64]
RATES = (0.01, 0.001)
TESTED_RATES = (0.005, 0.02, 0.05, 0.1, 0.25)
FEWEST = 8
"""Patients of either kind below which no figure means anything."""
_REPLICATES = 1000


@dataclass(frozen=True)
class Interval:
    """A figure with a 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RateAt:
    """True positive rate where few others pass."""

    false_positive_rate: float
    """What was asked."""
    true_positive_rate: Interval
    upper_false_positive_rate: float
    """Exact 95 % upper bound on the rate that was reached."""
    resolved: bool
    """There are enough others for one of them to be that rate."""


@dataclass(frozen=True)
class Membership:
    """Scores of one attack, higher for a likelier member. Refuses scores that are not finite."""

    members: Array
    others: Array

    def __post_init__(self) -> None:
        for scores in (self.members, self.others):
            if scores.ndim != 1 or len(scores) < FEWEST:
                raise ConfigInvalid(f"A membership attack needs at least {FEWEST} patients of either kind.")
            if not np.isfinite(scores).all():
                raise ConfigInvalid("A membership score is not finite: the generator or a record is damaged.")

    @property
    def auc(self) -> Interval:
        """Area under the curve."""
        value = area(self.members, self.others)
        return Interval(value, *_newcombe(value, len(self.members), len(self.others)))

    def at(self, rate: float, *, seed: int = 0) -> RateAt:
        """Figures where at most `rate` of the others pass."""
        rng = np.random.default_rng(seed)
        replicates = [
            _passing(rng.choice(self.members, len(self.members)), rng.choice(self.others, len(self.others)), rate)
            for _ in range(_REPLICATES)
        ]
        low, high = np.quantile(replicates, [0.025, 0.975])
        passing = sum(self.others > _threshold(self.others, rate))
        return RateAt(
            false_positive_rate=rate,
            true_positive_rate=Interval(_passing(self.members, self.others, rate), float(low), float(high)),
            upper_false_positive_rate=upper_rate(int(passing), len(self.others), significance=0.05),
            resolved=rate * len(self.others) >= 1.0,
        )

    def curve(self) -> tuple[Array, Array]:
        """False and true positive rates at every threshold, from (0, 0) to (1, 1)."""
        thresholds = np.unique(np.concatenate([self.members, self.others]))[::-1]
        false = [float((self.others >= threshold).mean()) for threshold in thresholds]
        true = [float((self.members >= threshold).mean()) for threshold in thresholds]
        return np.array([0.0, *false]), np.array([0.0, *true])

    def exceeds(self, claim: ClaimedCurve, *, significance: float = 0.05, seed: int = 0) -> bool:
        """Whether the claim's ceiling is pierced, but for a chance of `significance`."""
        rng = np.random.default_rng(seed)
        choosing, judged = zip(*(_halves(rng, scores) for scores in (self.members, self.others)), strict=True)
        share = significance / (2 * len(TESTED_RATES))
        for rate in TESTED_RATES:
            threshold = _threshold(choosing[1], rate)
            true = lower_rate(int((judged[0] > threshold).sum()), len(judged[0]), significance=share)
            false = upper_rate(int((judged[1] > threshold).sum()), len(judged[1]), significance=share)
            if true > claim.ceiling(false)[0]:
                return True
        return False

    def detectable(self, claim: ClaimedCurve, *, significance: float = 0.05) -> RateAt | None:
        """The least true positive rate at which `exceeds` would have answered yes; None if none would have."""
        share, found = significance / (2 * len(TESTED_RATES)), None
        members, others = len(self.members) - len(self.members) // 2, len(self.others) - len(self.others) // 2
        for rate in TESTED_RATES:
            passing = math.floor(rate * others)
            high = upper_rate(passing, others, significance=share)
            least = claim.ceiling(high)[0]
            counts = [n for n in range(members + 1) if lower_rate(n, members, significance=share) > least]
            if counts and (found is None or counts[0] / members < found.true_positive_rate.value):
                value = counts[0] / members
                found = RateAt(rate, Interval(value, value, value), high, rate * others >= 1.0)
        return found


def area(members: Array, others: Array) -> float:
    """Mann and Whitney's statistic as a share."""
    ranks = rankdata(np.concatenate([members, others]))[: len(members)]
    return float((ranks.sum() - len(members) * (len(members) + 1) / 2) / (len(members) * len(others)))


def standardised(members: Array, others: Array) -> tuple[Array, Array]:
    """Both in units of the others' median and spread, so that scores of several flows can be averaged per patient."""
    middle = np.median(others)
    spread = float(np.median(np.abs(others - middle))) * 1.4826 or 1.0
    return (members - middle) / spread, (others - middle) / spread


def _threshold(others: Array, rate: float) -> float:
    """At most `rate` of the others lie above it."""
    allowed = math.floor(rate * len(others) + 1e-9)
    return float(np.sort(others)[len(others) - 1 - allowed])


def _passing(members: Array, others: Array, rate: float) -> float:
    return float((members > _threshold(others, rate)).mean())


def _halves(rng: np.random.Generator, scores: Array) -> tuple[Array, Array]:
    shuffled = rng.permutation(scores)
    return shuffled[: len(scores) // 2], shuffled[len(scores) // 2 :]


def _newcombe(value: float, members: int, others: int) -> tuple[float, float]:
    """Areas that the observed one does not reject at 5 %."""
    middle, width = (members + others) / 2 - 1, -float(ndtri(0.025))

    def distance(true: float, sign: float) -> float:
        variance = true * (1 - true) * (1 + middle * (1 - true) / (2 - true) + middle * true / (1 + true))
        return sign * (value - true) - width * math.sqrt(max(variance, 0.0) / (members * others))

    # the ends are roots of their own where the area is 0 or 1: look inside them
    low = 0.0 if value <= 0.0 else float(brentq(distance, 0.0, min(value, 1 - 1e-9), args=(1.0,)))
    high = 1.0 if value >= 1.0 else float(brentq(distance, max(value, 1e-9), 1.0, args=(-1.0,)))
    return low, high

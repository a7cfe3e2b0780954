"""Bounds on epsilon from one threshold: how often a score passes it with the patient, and how often without.

**Clopper-Pearson.** With confidence 1 - significance, eps >= ln((TPR_low - delta) / FPR_high), and the mirror image
with true and false negatives. Four one-sided bounds at significance / 4 each. Exact for independent trials.

**GDP-CP (Nasr et al. 2023).** The same two bounds give mu >= Phi^-1(1 - FPR_high) - Phi^-1(FNR_high), and mu an epsilon
at delta. Much tighter, for mechanisms whose trade-off is Gaussian.

The threshold must not have been chosen on the same scores (split them, or divide `significance` by the number tried).
Canaries of one run are not independent trials: from one run both are estimates, and the theorem is in `one_run`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import beta

from privacy.audit.trade_off import gaussian_epsilon
from privacy.errors import ConfigInvalid


@dataclass(frozen=True, kw_only=True)
class Passed:
    """Counts at one threshold."""

    members: int
    members_passed: int
    others: int
    others_passed: int

    def __post_init__(self) -> None:
        if not (0 <= self.members_passed <= self.members and 0 <= self.others_passed <= self.others):
            raise ConfigInvalid("No more can pass a threshold than there are.")
        if not (self.members and self.others):
            raise ConfigInvalid("A threshold needs scores of both kinds: with the patient and without.")


def upper_rate(count: int, of: int, *, significance: float) -> float:
    """Exact one-sided upper bound on a rate (Clopper, Pearson 1934)."""
    return 1.0 if count == of else float(beta.ppf(1.0 - significance, count + 1, of - count))


def lower_rate(count: int, of: int, *, significance: float) -> float:
    """Exact one-sided lower bound on a rate."""
    return 0.0 if count == 0 else float(beta.ppf(significance, count, of - count + 1))


def clopper_pearson_epsilon(passed: Passed, *, delta: float, significance: float) -> float:
    """Lower bound on epsilon at `delta`; zero where nothing is shown."""
    share = significance / 4.0  # two rates in each of two directions
    detected = _log_ratio(
        lower_rate(passed.members_passed, passed.members, significance=share) - delta,
        upper_rate(passed.others_passed, passed.others, significance=share),
    )
    cleared = _log_ratio(
        lower_rate(passed.others - passed.others_passed, passed.others, significance=share) - delta,
        upper_rate(passed.members - passed.members_passed, passed.members, significance=share),
    )
    return max(detected, cleared, 0.0)


def gaussian_mu_bound(passed: Passed, *, significance: float) -> float:
    """Lower bound on mu, for Gaussian trade-offs; zero where nothing is shown."""
    share = significance / 2.0
    false_positive = upper_rate(passed.others_passed, passed.others, significance=share)
    false_negative = upper_rate(passed.members - passed.members_passed, passed.members, significance=share)
    return max(float(-ndtri(false_positive) - ndtri(false_negative)), 0.0)


def gaussian_epsilon_bound(passed: Passed, *, delta: float, significance: float) -> float:
    """Lower bound on epsilon at `delta`, for Gaussian trade-offs."""
    return gaussian_epsilon(gaussian_mu_bound(passed, significance=significance), delta=delta)


def _log_ratio(above: float, below: float) -> float:
    return float(np.log(above / below)) if above > 0.0 and below > 0.0 else 0.0

"""Renyi moments: the account that bears adaptively chosen studies, and the cross-check of PLD.

For one step of the sampled Gaussian (multiplier z, probability q), P = (1-q) N(0, z^2) + q N(1, z^2), Q = N(0, z^2):

    rho(a) = 1/(a-1) log E_Q[(P/Q)^a]      the larger of both directions (Mironov, Talwar, Zhang 2019, theorem 5)

computed here by quadrature, for any real order a > 1. Moments of one order add up over steps, however they were chosen
(Feldman and Zrnic 2021), and give epsilon = sum rho(a) + log(1 - 1/a) - (log(delta) + log(a)) / (a-1)
(Canonne, Kamath, Steinke 2020, proposition 12).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from privacy.events import CappedSampledGaussian, SampledGaussian

FILTER_ORDERS = (1.5, 2.0, 3.0, 5.0, 9.0, 17.0, 33.0, 65.0)
"""Fixed before any study. Few, because each takes an equal share of delta (see `adaptive_epsilon`)."""
POINTS = 20_001


def adaptive_epsilon(events: Sequence[SampledGaussian], *, delta: float) -> float:
    """Epsilon at `delta` of events of which each was chosen knowing the results of those before. Zero for none.

    Used as a filter: stop before this number exceeds a limit that was fixed beforehand. For one order a, fixed
    beforehand too, the run that stops in time has the moment that was allowed, whatever was chosen (a Renyi filter).
    Which of several orders stays within the limit may depend on the results; split any set of outcomes by the first
    order that does: each part is a set of outcomes of that order's own filter and costs delta / (number of orders), and
    the parts' deltas add up to delta.
    """
    share = delta / len(FILTER_ORDERS)
    return min(epsilon_of_moment(order, total_moment(events, order), delta=share) for order in FILTER_ORDERS)


def total_moment(events: Sequence[SampledGaussian], order: float) -> float:
    """Sum of rho(order) over all steps of all events."""
    return sum(event.steps * _step_moment(event.one_step(), order) for event in events)


def epsilon_of_moment(order: float, moment: float, *, delta: float) -> float:
    """Epsilon at `delta` of anything whose Renyi divergence of that order is at most `moment`; never below zero."""
    if moment == 0.0:
        return 0.0
    epsilon = moment + math.log1p(-1.0 / order) - (math.log(delta) + math.log(order)) / (order - 1.0)
    return max(0.0, epsilon)


@lru_cache(maxsize=4096)
def _step_moment(event: SampledGaussian, order: float) -> float:
    """rho(order) of one step. A capped step is a coin that everyone sees between two sampled Gaussians (see
    `loss_distribution.py`), so its exponential moment is their mean."""
    if not isinstance(event, CappedSampledGaussian):
        return _log_moment(order, event.sampling_probability, event.noise_multiplier) / (order - 1.0)
    from privacy.loss_distribution import cap_probability

    bites = cap_probability(event)
    plain = _log_moment(order, event.sampling_probability, event.noise_multiplier)
    pushed = _log_moment(order, event.sampling_probability, event.noise_multiplier / 2.0)
    mixed = np.logaddexp(math.log1p(-bites) + plain, math.log(bites) + pushed) if bites > 0.0 else plain
    return float(mixed) / (order - 1.0)


def _log_moment(order: float, probability: float, multiplier: float) -> float:
    """log E_Q[(P/Q)^order] by the trapezoidal rule, which is exact to rounding for such smooth, fast-falling curves."""
    if probability == 1.0:
        return order * (order - 1.0) / (2.0 * multiplier**2)
    x = np.linspace(-14.0 * multiplier, order + 14.0 * multiplier, POINTS)
    ratio = np.logaddexp(math.log1p(-probability), math.log(probability) + (2.0 * x - 1.0) / (2.0 * multiplier**2))
    log_terms = order * ratio - x**2 / (2.0 * multiplier**2) - math.log(multiplier * math.sqrt(2.0 * math.pi))
    highest = float(log_terms.max())
    return max(0.0, highest + math.log(float(np.exp(log_terms - highest).sum()) * (x[1] - x[0])))

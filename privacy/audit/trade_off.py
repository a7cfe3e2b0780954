"""Trade-off curves: the least error of the second kind that any test of "was this patient there?" can have.

A mechanism is f-DP (Dong, Roth, Su 2019) if every test with false positive rate a has a false negative rate of at least
f(a), whichever of the two neighbouring patient lists is called the null. Two curves are enough here:

    Gaussian   f(a) = Phi(Phi^-1(1 - a) - mu)                                    one number, mu
    claimed    f(a) = max over eps of max(0, 1 - delta(eps) - e^eps a, e^-eps (1 - delta(eps) - a))

where delta(eps) is the privacy profile of the very events that a ledger holds, by PLD. The profile is an upper bound,
so the claimed curve is a lower bound on f and what it says of an attack (`ceiling`) is never too strict.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from privacy.errors import ConfigInvalid
from privacy.events import Event, SampledGaussian

Array = npt.NDArray[np.float64]
CURVE_GRID = 1e-3
"""Discretisation of the privacy loss. A coarser grid lowers the curve: it never says more than is true."""
_EPSILONS = np.concatenate([np.linspace(0.0, 10.0, 401), np.linspace(10.05, 60.0, 200)])


class TradeOff(Protocol):
    """A symmetric trade-off curve."""

    def false_negative_rate(self, false_positive_rate: float) -> float:
        """f(a), convex and falling, f(a) <= 1 - a."""


@dataclass(frozen=True)
class GaussianCurve:
    """mu-GDP: as hard to tell apart as N(0, 1) and N(mu, 1)."""

    mu: float

    def false_negative_rate(self, false_positive_rate: float) -> float:
        """Phi(Phi^-1(1 - a) - mu)."""
        return float(ndtr(-ndtri(false_positive_rate) - self.mu))


class ClaimedCurve:
    """The curve of a list of events, as the upper envelope of its supporting lines."""

    def __init__(self, epsilons: Array, deltas: Array) -> None:
        """`deltas[i]` is an upper bound on the hockey-stick divergence at `epsilons[i]`, ascending from 0."""
        slopes = np.concatenate([-np.exp(epsilons[::-1]), -np.exp(-epsilons[1:]), [0.0]])
        heights = np.concatenate([(1.0 - deltas)[::-1], np.exp(-epsilons[1:]) * (1.0 - deltas[1:]), [0.0]])
        self._breaks, self._slopes, self._heights = _envelope(slopes, heights)

    def false_negative_rate(self, false_positive_rate: float) -> float:
        """The highest supporting line at a."""
        place = bisect_right(self._breaks, false_positive_rate)
        return self._heights[place] + self._slopes[place] * false_positive_rate

    def ceiling(self, false_positive_rates: npt.ArrayLike) -> Array:
        """The largest true positive rate that any attack can have at these false positive rates."""
        rates = np.atleast_1d(np.asarray(false_positive_rates, dtype=np.float64))
        return np.array([1.0 - self.false_negative_rate(float(rate)) for rate in rates])


def claimed_curve(events: Sequence[Event], *, noise_scale: float = 1.0) -> ClaimedCurve:
    """The curve of these events; `noise_scale` multiplies the noise of every one of them ("what if there were less").

    Raises ConfigInvalid for events that have no curve: nothing at all, or a release without privacy.
    """
    return _curve(_scaled(events, noise_scale))


def claimed_epsilon(events: Sequence[Event], *, delta: float, noise_scale: float = 1.0) -> float:
    """Epsilon at `delta` of the same events on the same grid."""
    return float(_accountant(_scaled(events, noise_scale)).get_epsilon(delta))


def stated_curve(epsilon: float, *, delta: float) -> ClaimedCurve:
    """The curve of a bare (epsilon, delta) claim: its own line, and the total variation that it implies."""
    if not (epsilon >= 0.0 and 0.0 <= delta < 1.0):
        raise ConfigInvalid("A claim needs an epsilon of at least 0 and a delta between 0 and 1.")
    distance = 1.0 - 2.0 * (1.0 - delta) / (1.0 + np.exp(epsilon))
    lines = sorted({(0.0, float(distance)), (float(epsilon), float(delta))})
    return ClaimedCurve(np.array([line[0] for line in lines]), np.array([line[1] for line in lines]))


def gaussian_epsilon(mu: float, *, delta: float) -> float:
    """Epsilon at `delta` of mu-GDP: the root of Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu) = delta."""
    if mu <= 0.0:
        return 0.0

    def excess(epsilon: float) -> float:
        return float(
            ndtr(mu / 2 - epsilon / mu) - np.exp(min(epsilon + log_ndtr(-mu / 2 - epsilon / mu), 700.0)) - delta
        )

    if excess(0.0) <= 0.0:
        return 0.0
    high = 1.0
    while excess(high) > 0.0:
        high *= 2.0
    return float(brentq(excess, 0.0, high, xtol=1e-9))


def gaussian_mu(epsilon: float, *, delta: float) -> float:
    """The mu whose epsilon at `delta` is this."""
    return float(brentq(lambda mu: gaussian_epsilon(mu, delta=delta) - epsilon, 1e-9, 100.0, xtol=1e-9))


def _scaled(events: Sequence[Event], noise_scale: float) -> tuple[SampledGaussian, ...]:
    """Equal mechanisms together, in a fixed order, so that equal lists hit the cache."""
    steps: dict[tuple[float, float], int] = {}
    for event in events:
        if type(event) is not SampledGaussian:  # a subclass would cost more than its noise and probability say
            raise ConfigInvalid(f"A {event.kind} event has no trade-off curve here: nothing bounds an attack on it.")
        place = (event.sampling_probability, round(event.noise_multiplier * noise_scale, 12))
        steps[place] = steps.get(place, 0) + event.steps
    if not steps:
        raise ConfigInvalid("There are no events: audit a study that has spent something.")
    return tuple(
        SampledGaussian(sampling_probability=probability, noise_multiplier=multiplier, steps=count)
        for (probability, multiplier), count in sorted(steps.items())
    )


@lru_cache(maxsize=128)
def _accountant(events: tuple[SampledGaussian, ...]) -> Any:
    from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent, pld

    accountant = pld.PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=CURVE_GRID)
    for event in events:
        gaussian = GaussianDpEvent(event.noise_multiplier)
        whole = event.sampling_probability == 1.0
        accountant.compose(
            gaussian if whole else PoissonSampledDpEvent(event.sampling_probability, gaussian), event.steps
        )
    return accountant


@lru_cache(maxsize=128)
def _curve(events: tuple[SampledGaussian, ...]) -> ClaimedCurve:
    accountant = _accountant(events)
    deltas = np.array([accountant.get_delta(float(epsilon)) for epsilon in _EPSILONS])
    return ClaimedCurve(_EPSILONS, np.minimum(np.maximum.accumulate(deltas[::-1])[::-1], 1.0))


def _envelope(slopes: Array, heights: Array) -> tuple[list[float], list[float], list[float]]:
    """Upper envelope of lines whose slopes rise: breaks where one line hands over to the next."""
    kept: list[tuple[float, float]] = []
    for slope, height in zip(slopes.tolist(), heights.tolist(), strict=True):
        if kept and slope == kept[-1][0]:
            if height <= kept[-1][1]:
                continue
            kept.pop()
        while len(kept) > 1 and _meeting(kept[-2], (slope, height)) <= _meeting(kept[-2], kept[-1]):
            kept.pop()
        kept.append((slope, height))
    breaks = [_meeting(one, other) for one, other in zip(kept, kept[1:], strict=False)]
    return breaks, [slope for slope, _ in kept], [height for _, height in kept]


def _meeting(one: tuple[float, float], other: tuple[float, float]) -> float:
    return (one[1] - other[1]) / (other[0] - one[0])

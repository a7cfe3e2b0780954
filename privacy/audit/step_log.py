"""The white-box step log: what an observer of every release knows of each canary, as one score.

A canary owns a direction that nobody else's gradient touches, and its gradient is far longer than the clipping norm. In
units of the clipping norm, the release of one step along that direction is then

    x  =  S + z N(0, 1),     S = 1 if the canary is in the study and was drawn in this step, else 0,

so the log-likelihood ratio of "in the study" against "not" is  log(1 - q + q exp((2 x - 1) / (2 z^2))), and the best
score of a run is its sum over steps (notes/privacy.md 6.2: effective mu 1.27 of 1.31, the plain sum reaches .99).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.events import SampledGaussian

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LoggedStep:
    """One release along every canary's direction."""

    values: Array
    """(canaries,), in units of the clipping norm: divisor times release over C."""
    event: SampledGaussian
    """What the ledger was charged for it."""


def log_likelihood_ratios(values: Array, *, sampling_probability: float, noise_multiplier: float) -> Array:
    """(canaries,): log-likelihood ratio of one step."""
    ratio = (2.0 * values - 1.0) / (2.0 * noise_multiplier**2) + math.log(sampling_probability)
    if sampling_probability == 1.0:
        return ratio
    return np.logaddexp(math.log1p(-sampling_probability), ratio)


def scores(log: Iterable[LoggedStep]) -> Array:
    """(canaries,): the sum of log-likelihood ratios of one run."""
    return _summed((step.values, step.event, 1.0) for step in log)


def difference_scores(log: Sequence[LoggedStep], rehearsal: Sequence[LoggedStep]) -> Array:
    """The same on the difference to a second run without canaries, whose noise is independent if all is well.

    Then the difference is noisier by a factor sqrt(2) and says less; but if both runs drew from one seed it is
    noiseless, and says everything.
    """
    pairs = zip(log, rehearsal, strict=True)
    return _summed((step.values - other.values, step.event, math.sqrt(2.0)) for step, other in pairs)


def _summed(steps: Iterable[tuple[Array, SampledGaussian, float]]) -> Array:
    parts = [
        log_likelihood_ratios(
            values,
            sampling_probability=event.sampling_probability,
            noise_multiplier=event.noise_multiplier * widened,
        )
        for values, event, widened in steps
    ]
    return np.sum(parts, axis=0)


def simulated_log(
    events: Iterable[SampledGaussian], coins: npt.NDArray[np.bool_], *, noise_scale: float, rng: np.random.Generator
) -> list[LoggedStep]:
    """What a mechanism would log whose real noise is `noise_scale` times the charged. For power and false alarms."""
    return [
        LoggedStep(
            (coins & (rng.random(coins.size) < event.sampling_probability))
            + noise_scale * event.noise_multiplier * rng.normal(size=coins.size),
            event.one_step(),
        )
        for event in events
        for _ in range(event.steps)
    ]

"""The privacy loss of one step and of a composition, as dp_accounting's PLD has them (pessimistic, connect-the-dots).

What a cap costs. Fix the draw S of the others, and if |S| >= cap also the subset T of them that stays and one j in T.
Without the patient the sum is f(S), or f(T). With the patient: where |S| < cap, f(S) plus its own term with probability
q, as without a cap. Where |S| >= cap, f(T) minus j's term plus its own, with probability q cap / (|S|+1) at most q:
a move of up to 2 C. So a step is a coin, shown to the adversary, between the sampled Gaussian of (q, z) and that of
(q, z/2), the second with probability P[|S| >= cap], at most its value for the most patients there may be; that the
second costs more than the first makes the bound grow with it. dp_accounting's TruncatedSubsampledGaussianDpEvent
(arXiv 2508.15089) is the same with the number of patients known exactly, so a little lower.

Where the cap bites so rarely that all its probabilities together are at most SPARE_DELTA of delta, they are taken off
delta: as if a step in which it bites gave everything away. That is dearer by a hair, and many times faster.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Any

from privacy.events import CappedSampledGaussian, SampledGaussian

SPARE_DELTA = 1e-4


class Adjacency(Enum):
    """Which pairs of patient lists the guarantee speaks of."""

    ADD_REMOVE = "add-remove"
    REPLACE_ONE = "replace-one"


@lru_cache(maxsize=512)
def pld_epsilon(events: tuple[SampledGaussian, ...], delta: float, adjacency: Adjacency, grid: float) -> float:
    """Upper bound on epsilon at `delta` of merged events; a coarser `grid` is never lower."""
    if not events:
        return 0.0
    bites = sum(event.steps * cap_probability(event) for event in events if isinstance(event, CappedSampledGaussian))
    if bites <= SPARE_DELTA * delta:
        delta -= bites
        events = tuple(_without_cap(event) for event in events)
    composed: Any = None
    for event in events:
        steps = loss_of_one_step(event, adjacency, grid).self_compose(event.steps)
        composed = steps if composed is None else composed.compose(steps)
    return float(composed.get_epsilon_for_delta(delta))


def loss_of_one_step(event: SampledGaussian, adjacency: Adjacency, grid: float) -> Any:
    """Privacy loss of one step; for a capped one the mean of two, as the head of this file derives."""
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

    relation = {
        Adjacency.ADD_REMOVE: NeighboringRelation.ADD_OR_REMOVE_ONE,
        Adjacency.REPLACE_ONE: NeighboringRelation.REPLACE_ONE,
    }[adjacency]

    def sampled(multiplier: float, relation: Any) -> Any:
        return from_gaussian_mechanism(
            multiplier,
            value_discretization_interval=grid,
            sampling_prob=event.sampling_probability,
            neighboring_relation=relation,
        )

    plain = sampled(event.noise_multiplier, relation)
    if not isinstance(event, CappedSampledGaussian) or (bites := cap_probability(event)) == 0.0:
        return plain
    # As dp_accounting does: replace-one, at z/2, is above what any adjacency costs where the cap bites.
    return sampled(event.noise_multiplier / 2.0, NeighboringRelation.REPLACE_ONE).compute_mixture(plain, bites)


def _without_cap(event: SampledGaussian) -> SampledGaussian:
    return SampledGaussian(
        sampling_probability=event.sampling_probability,
        noise_multiplier=event.noise_multiplier,
        steps=event.steps,
    )


def cap_probability(event: CappedSampledGaussian) -> float:
    """Probability that so many others are drawn that the cap bites, at the most patients there may be."""
    from scipy.stats import binom

    return float(binom.sf(event.batch_cap - 1, event.max_patients, event.sampling_probability))

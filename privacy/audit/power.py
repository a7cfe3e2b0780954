"""Power of a canary study: how often it would refute the claim if the real noise were smaller than the charged one.

An audit that passes says only that faults of the size it would have noticed are absent. Simulated from the schedule, so
no patient and no model is needed. At scale 1 the share is the rate of false alarms, which must not pass `significance`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from privacy.audit.canary_audit import SIGNIFICANCE, GuessPlan, guess
from privacy.audit.one_run import refuted
from privacy.audit.step_log import difference_scores, scores, simulated_log
from privacy.audit.trade_off import claimed_curve
from privacy.events import SampledGaussian

NOISE_SCALES = (1.0, 0.8, 0.67, 0.5, 0.33)


@dataclass(frozen=True)
class Power:
    """How often a mechanism with that share of the charged noise is refuted."""

    noise_scale: float
    refuted: int
    runs: int


def power(
    events: Sequence[SampledGaussian],
    *,
    canaries: int,
    plan: GuessPlan,
    runs: int,
    seed: int,
    noise_scales: Sequence[float] = NOISE_SCALES,
    significance: float = SIGNIFICANCE,
    on_run: Callable[[], None] = lambda: None,
) -> list[Power]:
    """The whole estimator, both scores, over simulated runs."""
    rng, curve = np.random.default_rng(seed), claimed_curve(events)
    found = []
    for scale in noise_scales:
        count = 0
        for _ in range(runs):
            coins = rng.random(canaries) < 0.5
            log = simulated_log(events, coins, noise_scale=scale, rng=rng)
            rehearsal = simulated_log(events, np.zeros(canaries, bool), noise_scale=scale, rng=rng)
            both = (scores(log), difference_scores(log, rehearsal))
            count += any(
                refuted(curve, guess(values, coins, plan), significance=significance / len(both)) for values in both
            )
            on_run()
        found.append(Power(scale, count, runs))
    return found

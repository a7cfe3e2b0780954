"""The server's optimizer: what becomes of a round's mean update. Post-processing of releases, so free of privacy cost.

An update is minus a gradient, so the step goes along it. Adam without weight decay, plain SGD, or SGD along updates of
length one, each over one group with that group's own step count (a group that nobody trained in a round keeps moments
and count); the learning rate falls linearly to `final_learning_rate_fraction` over a stage. Beside the last weights
runs an exponential average.

Everything here works on one tensor: weights, moments and averages lie on disk (`run_store.py`) and pass by one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from protocol.arrays import Array, GroupArrays
from protocol.study import OptimizerSpec, StageSpec

#: Adam's guard against division by zero. torch's 1e-8 assumes gradients near one; ours are means over patients whose
#: rms can lie at 1e-6, where 1e-8 would already shrink the step by a per cent.
ADAM_TINY = 1e-12


def learning_rate(stage: StageSpec, optimizer: OptimizerSpec, *, round_number: int) -> float:
    """Of a round, from 1: the stage's rate at the first, its final fraction at the last."""
    progress = (round_number - 1) / max(stage.rounds - 1, 1)
    return stage.learning_rate * (1.0 - progress * (1.0 - optimizer.final_learning_rate_fraction))


def update_scale(spec: OptimizerSpec, update: GroupArrays) -> float:
    """By what one group's mean update is multiplied: 1, what brings it down to `max_update_norm`, or to length one."""
    normalises = spec.name == "normalised_sgd"
    if spec.max_update_norm is None and not normalises:
        return 1.0
    norm = math.sqrt(sum(float(np.vdot(array, array).real) for array in update.values()))
    if normalises:
        return 1.0 / norm if norm > 0.0 else 1.0
    assert spec.max_update_norm is not None
    return spec.max_update_norm / norm if norm > spec.max_update_norm else 1.0


@dataclass(frozen=True)
class Moments:
    """Adam's memory of one tensor; a step changes the arrays in place."""

    first: Array
    second: Array


def step(
    spec: OptimizerSpec, array: Array, update: Array, moments: Moments | None, *, learning_rate: float, step_number: int
) -> None:
    """Move one tensor in place along `update` (minus a gradient, left as it is).

    moments: of adam, zeros before the first step; None for sgd. step_number: from 1, of the tensor's group.
    """
    if moments is None:
        array += np.float32(learning_rate) * update
    else:
        _adam(spec, array, update, moments, learning_rate=learning_rate, step_number=step_number)


def _adam(
    spec: OptimizerSpec, array: Array, update: Array, moments: Moments, *, learning_rate: float, step_number: int
) -> None:
    """Kingma & Ba 2015, algorithm 1, with the sign of an update."""
    beta_first, beta_second = (np.float32(beta) for beta in spec.betas)
    first, second = moments.first, moments.second
    first *= beta_first
    first += (1 - beta_first) * update
    second *= beta_second
    second += (1 - beta_second) * np.square(update)
    unbiased_first = 1.0 - spec.betas[0] ** step_number
    unbiased_second = 1.0 - spec.betas[1] ** step_number
    scale = np.sqrt(second / np.float32(unbiased_second))
    scale += np.float32(ADAM_TINY)
    array += np.float32(learning_rate / unbiased_first) * first / scale


def average(ema: Array, array: Array, *, decay: float) -> None:
    """Move the exponential average of one tensor towards its last value, in place."""
    ema *= np.float32(decay)
    ema += np.float32(1.0 - decay) * array

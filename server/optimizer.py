"""The server's optimizer: what becomes of a round's mean update. Post-processing of releases, so free of privacy cost.

An update is minus a gradient, so the step goes along it. Adam without weight decay, or plain SGD, each over one group
with that group's own step count (a group that nobody trained in a round keeps moments and count); the learning rate
falls linearly to `final_learning_rate_fraction` over a stage. Beside the last weights runs an exponential average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass
class Moments:
    """Adam's memory of one group."""

    first: dict[str, Array]
    second: dict[str, Array]
    step: int = 0

    @classmethod
    def zeros(cls, arrays: GroupArrays) -> Moments:
        """Before the first step."""
        first, second = ({name: np.zeros_like(array) for name, array in arrays.items()} for _ in range(2))
        return cls(first=first, second=second)


@dataclass
class ServerOptimizer:
    """Applies mean updates to groups in place, so that a stage never needs a second copy of its parameters."""

    spec: OptimizerSpec
    moments: dict[str, Moments] = field(default_factory=dict)

    def apply(
        self, group_name: str, arrays: dict[str, Array], update: Mapping[str, Array], *, learning_rate: float
    ) -> None:
        """One step of one group. `arrays` changes in place; `update` (minus a gradient, same names) does not."""
        update = self._bounded(update)
        if self.spec.name == "sgd":
            for name, array in arrays.items():
                array += np.float32(learning_rate) * update[name]
            return
        moments = self.moments.setdefault(group_name, Moments.zeros(arrays))
        moments.step += 1
        for name, array in arrays.items():
            self._adam(array, moments, name, update[name], learning_rate)

    def _bounded(self, update: Mapping[str, Array]) -> Mapping[str, Array]:
        """The update, or where it is longer than `max_update_norm` a copy of exactly that length."""
        if self.spec.max_update_norm is None:
            return update
        norm = math.sqrt(sum(float(np.vdot(array, array).real) for array in update.values()))
        if norm <= self.spec.max_update_norm:
            return update
        scale = np.float32(self.spec.max_update_norm / norm)
        return {name: scale * array for name, array in update.items()}

    def _adam(self, array: Array, moments: Moments, name: str, update: Array, learning_rate: float) -> None:
        """Kingma & Ba 2015, algorithm 1, with the sign of an update."""
        beta_first, beta_second = (np.float32(beta) for beta in self.spec.betas)
        first, second = moments.first[name], moments.second[name]
        first *= beta_first
        first += (1 - beta_first) * update
        second *= beta_second
        second += (1 - beta_second) * np.square(update)
        unbiased_first = 1.0 - self.spec.betas[0] ** moments.step
        unbiased_second = 1.0 - self.spec.betas[1] ** moments.step
        scale = np.sqrt(second / np.float32(unbiased_second))
        scale += np.float32(ADAM_TINY)
        array += np.float32(learning_rate / unbiased_first) * first / scale

    def forget(self) -> None:
        """At the end of a stage: its groups will not be trained again."""
        self.moments.clear()


def average(ema: dict[str, Array], arrays: GroupArrays, *, decay: float) -> None:
    """Move the exponential average of one group towards its last weights, in place."""
    for name, mean in ema.items():
        mean *= np.float32(decay)
        mean += np.float32(1.0 - decay) * arrays[name]

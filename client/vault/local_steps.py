"""The steps of one round at a site, and the update that comes of them.

Each step follows a release of the mechanism, a gradient that is clipped and noised already: which way it is followed is
post-processing and costs no privacy. Nothing is remembered from one round to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from privacy.engines import PatientLoss
from privacy.mechanism import Mechanism
from privacy.non_private import NonPrivateMechanism
from protocol.study import StageSpec

BETAS, TINY = (0.9, 0.99), 1e-12
"""Of local Adam. Gradients are means over patients, whose rms can lie at 1e-6 (see server/optimizer.py)."""


def local_steps(
    mechanism: Mechanism | NonPrivateMechanism,
    loss: PatientLoss,
    parameters: Mapping[str, Tensor],
    stage: StageSpec,
    on_step: Callable[[], None],
) -> dict[str, np.ndarray]:
    """The round's update: minus one step's gradient, or with several steps the move over `local_learning_rate`.

    The parameters are left as they are. on_step is called after each step.
    """
    adam = _Adam() if stage.local_optimizer == "adam" else None
    here, total = dict(parameters), dict[str, Tensor]()
    for step in range(stage.steps_per_round):
        gradient = mechanism.step(here, loss).values
        on_step()
        direction = gradient if adam is None else adam.direction(gradient)
        total = {name: total[name] + value for name, value in direction.items()} if total else dict(direction)
        if step + 1 < stage.steps_per_round:
            rate = stage.local_learning_rate
            here = {name: value - rate * direction[name].to(value) for name, value in here.items()}
    return {name: -value.to(torch.float32).numpy() for name, value in total.items()}


class _Adam:
    """Kingma & Ba 2015, algorithm 1, without the rate; its moments begin at zero in every round."""

    def __init__(self) -> None:
        self.count = 0
        self.first: dict[str, Tensor] = {}
        self.second: dict[str, Tensor] = {}

    def direction(self, gradient: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whither one step goes, with a length near one in every number."""
        self.count += 1
        corrections = [1.0 - beta**self.count for beta in BETAS]
        found = {}
        for name, value in gradient.items():
            first = self.first.setdefault(name, torch.zeros_like(value)).lerp_(value, 1.0 - BETAS[0])
            second = self.second.setdefault(name, torch.zeros_like(value)).lerp_(value.square(), 1.0 - BETAS[1])
            found[name] = (first / corrections[0]) / ((second / corrections[1]).sqrt() + TINY)
        return found

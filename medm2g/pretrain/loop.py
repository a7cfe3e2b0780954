"""The loop that every phase shares: a budget of seconds or steps, and rates that decay with what is spent of it.

Matrices that a phase names are Muon's (muon.py), all else is AdamW's.

Public training only: whole-batch gradients, no clipping per patient, no noise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from medm2g.errors import ConfigInvalid
from medm2g.generator import Generator
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.muon import Muon
from medm2g.threads import one_core_threads

Progress = Callable[[str, float, float], None]
"""Called with the phase, the part of it that is done (0..1) and the seconds left in it."""


def no_progress(phase: str, done: float, seconds_left: float) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class PhaseBudget:
    """When a phase ends: after so many seconds, or exactly so many steps, none among them. One of the two."""

    seconds: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.steps is None):
            raise ConfigInvalid("A phase's budget is either `seconds` or `steps`: give one of them.")

    def spent(self, seconds: float, step: int) -> float:
        """Part of the budget that is gone, 0..1."""
        if self.steps is not None:
            return min(1.0, step / self.steps) if self.steps else 1.0
        return min(1.0, seconds / max(1e-9, self.seconds or 0.0))


@dataclass(frozen=True)
class PhaseSettings:
    """How one phase trains."""

    learning_rate: float
    """AdamW's."""
    batch_size: int
    """Images, texts or patients per step."""
    warmup: float = 0.03
    """Part of the budget over which the rate rises."""
    final_fraction: float = 0.02
    """Of the learning rate, at the end of the cosine."""
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-4
    max_norm: float = 1.0
    """Of the whole batch's gradient: against a rare bad batch."""
    matrix_rate: float = 0.02
    """Muon's learning rate, for the matrices that a phase names."""
    ema_decay: float | None = None
    """Average the weights, and end with the average."""
    validations: int = 12
    """Rows of the curve."""


def random_of(seed: int, step: int) -> torch.Generator:
    """Randomness of one step: whoever draws it, and in whatever order, draws the same."""
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


class Average:
    """Exponential moving average of parameters, with a short memory at the beginning."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = list(parameters), decay
        self.values = [parameter.detach().clone() for parameter in self.parameters]
        self.counts = [0] * len(self.values)

    @torch.no_grad()
    def update(self) -> None:
        """Fold in the parameters that were trained in this step."""
        trained: dict[int, list[int]] = {}
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                self.counts[index] += 1
                trained.setdefault(self.counts[index], []).append(index)
        for count, own in trained.items():
            fold = get_ema_multi_avg_fn(min(self.decay, (1 + count) / (10 + count)))
            fold([self.values[index] for index in own], [self.parameters[index] for index in own], count)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange parameters and averages."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


@contextmanager
def training_only(generator: Generator, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Nothing but these parameters takes a gradient inside; what took one before does so again after."""
    before = {name: parameter.requires_grad for name, parameter in generator.named_parameters()}
    wanted = {id(parameter) for parameter in parameters}
    try:
        for parameter in generator.parameters():
            parameter.requires_grad_(id(parameter) in wanted)
        yield
    finally:
        for name, parameter in generator.named_parameters():
            parameter.requires_grad_(before[name])
            parameter.grad = None


def run_phase(
    phase: str,
    parameters: Sequence[nn.Parameter],
    *,
    matrices: Sequence[nn.Parameter] = (),
    batch_loss: Callable[[int], Tensor],
    validation_loss: Callable[[], float],
    settings: PhaseSettings,
    budget: PhaseBudget,
    curve: CurveWriter,
    progress: Progress = no_progress,
    pair: bool = False,
    threads: int = 1,
) -> int:
    """Train until the budget is spent; returns the number of steps.

    matrices: those of the parameters that Muon trains. batch_loss(number) draws one public batch, by that number's own
    randomness (`random_of`), and gives its mean loss. pair: a step follows the gradients of two batches, added up, and
    takes numbers 2 step and 2 step + 1, each on a thread of its own where there are two. With a budget of steps the
    result depends on the seed alone (a sum of two numbers does not depend on their order); with seconds, on the machine
    too.
    """
    optimizers = _optimizers(parameters, matrices, settings)
    average = Average(parameters, settings.ema_decay) if settings.ema_decay is not None else None
    report = _Report(phase, settings.validations, validation_loss, average, curve)
    batches = 2 if pair else 1

    def gradients(number: int) -> float:
        loss = batch_loss(number)
        loss.backward()
        return float(loss.detach())

    began, step, spent = time.monotonic(), 0, budget.spent(0.0, 0)
    with one_core_threads(threads) if pair and threads > 1 else nullcontext() as pool:
        each = map if pool is None else pool.map
        while spent < 1.0:
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"] * _rate(spent, settings)
                optimizer.zero_grad(set_to_none=True)
            losses = list(each(gradients, range(batches * step, batches * (step + 1))))
            nn.utils.clip_grad_norm_(parameters, settings.max_norm)
            for optimizer in optimizers:
                optimizer.step()
            if average is not None:
                average.update()
            step += 1
            seconds = time.monotonic() - began
            spent = budget.spent(seconds, step)
            report.step(sum(losses) / batches, spent=spent, seconds=seconds, number=step)
            progress(phase, spent, seconds / spent * (1 - spent) if spent else 0.0)
    if average is not None:
        average.swap()
    return step


def _optimizers(
    parameters: Sequence[nn.Parameter], matrices: Sequence[nn.Parameter], settings: PhaseSettings
) -> list[torch.optim.Optimizer]:
    own = {id(matrix) for matrix in matrices}
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [parameter for parameter in parameters if id(parameter) not in own],
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=parameters[0].device.type == "cuda",
        )
    ]
    if matrices:
        optimizers.append(Muon(matrices, settings.matrix_rate, weight_decay=settings.weight_decay))
    return optimizers


class _Report:
    """Validates at even parts of the budget and at its end, with the averaged weights where there are any."""

    def __init__(
        self,
        phase: str,
        validations: int,
        validation_loss: Callable[[], float],
        average: Average | None,
        curve: CurveWriter,
    ) -> None:
        self.phase, self.every, self.curve = phase, 1 / validations, curve
        self.validation_loss, self.average = validation_loss, average
        self.losses: list[float] = []
        self.due = self.every

    def step(self, loss: float, *, spent: float, seconds: float, number: int) -> None:
        """Take one step's loss; write a row when one is due."""
        self.losses.append(loss)
        if spent < min(1.0, self.due):
            return
        self.due += self.every
        if self.average is not None:
            self.average.swap()
        value = self.validation_loss()
        if self.average is not None:
            self.average.swap()
        mean = sum(self.losses) / len(self.losses)
        self.curve.write(self.phase, seconds=seconds, step=number, train_loss=mean, validation_loss=value)
        self.losses = []


def _rate(spent: float, settings: PhaseSettings) -> float:
    if spent < settings.warmup:
        return max(0.05, spent / settings.warmup)
    place = (spent - settings.warmup) / (1 - settings.warmup)
    return settings.final_fraction + (1 - settings.final_fraction) * (1 + math.cos(math.pi * place)) / 2

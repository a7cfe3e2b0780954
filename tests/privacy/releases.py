"""Losses with known gradients, one release of a mechanism, and whether numbers have the scale that was stated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from scipy import stats

from privacy.mechanism import Mechanism

SIZE = 40_000
UNLIKELY = 1e-7


def fixed(
    doubles: SimpleNamespace, gradients: list[float], size: int = 3
) -> tuple[Any, list[str], dict[str, torch.Tensor]]:
    """A loss, its patients, and parameters; patient n has the gradient (g_n, 0, 0, ...)."""
    given = {f"p{n}": torch.zeros(size, dtype=torch.float64) for n in range(len(gradients))}
    for own, value in zip(given.values(), gradients, strict=True):
        own[0] = value
    return doubles.FixedLoss(given), list(given), {"w": torch.zeros(size, dtype=torch.float64)}


def one_release(mechanism: Mechanism, loss: Any, parameters: dict[str, torch.Tensor]) -> torch.Tensor:
    with mechanism.open(1):
        return mechanism.step(parameters, loss).values["w"]


def has_stated_scale(values: torch.Tensor, stddev: float) -> bool:
    """Chi-square and Kolmogorov-Smirnov against N(0, stddev)."""
    z = values.double().numpy() / stddev
    square = stats.chi2(z.size)
    tails = min(square.cdf((z**2).sum()), square.sf((z**2).sum()))
    return bool(tails > UNLIKELY and stats.kstest(z, "norm").pvalue > UNLIKELY)

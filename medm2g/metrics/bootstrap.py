"""Percentile bootstrap: how far a figure of a sample of patients would move with other patients (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.integer]
T = TypeVar("T")


def interval(
    figure: Callable[[Rows], float], samples: int, *, draws: int = 200, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Lower and upper end. figure(rows) computes it on rows drawn with repetition from `samples`.

    A distance between sets grows when rows repeat, so its interval may lie above the figure itself: it tells the
    spread. Raises ValueError for fewer than two samples.
    """
    if samples < 2:
        raise ValueError("a bootstrap needs at least two samples")
    random = np.random.default_rng(seed)
    values = [figure(random.integers(0, samples, samples)) for _ in range(draws)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

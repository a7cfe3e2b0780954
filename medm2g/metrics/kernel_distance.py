"""Kernel distance between two sets of feature vectors: the unbiased squared maximum mean discrepancy.

    MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y) ,   k(a, b) = (a.b / features + 1)^3

(KID, arXiv 1801.01401). Unlike a Fréchet distance it fits no covariance, so its expectation does not depend on the
number of samples; it may come out below zero where the sets do not differ.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def kernel_distance(features: npt.ArrayLike, other_features: npt.ArrayLike) -> float:
    """Of two sets (samples, features). Raises ValueError for fewer than two samples or unequal features."""
    first, second = np.asarray(features, dtype=np.float64), np.asarray(other_features, dtype=np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError("both sets must be (samples, features) of one encoder")
    if min(len(first), len(second)) < 2:
        raise ValueError("a kernel distance needs at least two samples of each set")
    return _mean_of_others(first) + _mean_of_others(second) - 2.0 * float(_kernel(first, second).mean())


def _kernel(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray((first @ second.T / first.shape[1] + 1.0) ** 3)


def _mean_of_others(points: npt.NDArray[np.float64]) -> float:
    kernel, count = _kernel(points, points), len(points)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))

"""Fréchet distance between two sets of feature vectors.

For Gaussians fitted to both sets: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))  (arXiv 1706.08500, section 2).
The trace of the root is taken over the eigenvalues of S1^(1/2) S2 S1^(1/2), which is symmetric: no complex residue.
The estimate is biased upwards by about features / samples, so only compare distances with equal sample counts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.linalg

#: With 256 samples, more features than this make the estimate mostly bias.
MAX_FEATURES = 48

Array = npt.NDArray[np.float64]


def frechet_distance(features: npt.ArrayLike, other_features: npt.ArrayLike) -> float:
    """Distance between two feature sets, each (samples, features).

    Raises ValueError for fewer than two samples, unequal or more than `MAX_FEATURES` features, or a non-finite value.
    """
    first, second = _checked(features), _checked(other_features)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"the two sets have {first.shape[1]} and {second.shape[1]} features: use one encoder for both")
    mean_gap = first.mean(axis=0) - second.mean(axis=0)  # (features,)
    root = _symmetric_root(np.cov(first, rowvar=False))  # (features, features)
    covariance = np.cov(second, rowvar=False)
    shared = scipy.linalg.eigvalsh(root @ covariance @ root)
    trace = np.trace(root @ root) + np.trace(covariance) - 2.0 * np.sqrt(np.clip(shared, 0.0, None)).sum()
    return float(max(mean_gap @ mean_gap + trace, 0.0))


def _checked(features: npt.ArrayLike) -> Array:
    array = np.asarray(features, dtype=np.float64)
    if array.ndim != 2 or len(array) < 2:
        raise ValueError("features must be (samples, features) with at least two samples")
    if not 2 <= array.shape[1] <= MAX_FEATURES:
        raise ValueError(f"between 2 and {MAX_FEATURES} features are expected, got {array.shape[1]}")
    if not np.isfinite(array).all():
        raise ValueError("features hold a non-finite value: the images they come from are broken")
    return array


def _symmetric_root(covariance: Array) -> Array:
    values, vectors = scipy.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T

"""Fidelity and variety of generated samples, told apart: precision, recall, density and coverage.

Each real sample has a ball that reaches to its k-th nearest real neighbour (and each generated one likewise):

    precision   part of the generated samples inside some real ball                          (arXiv 1904.06991)
    recall      part of the real samples inside some generated ball
    density     real balls around a generated sample, on average over k: may exceed 1        (arXiv 2002.09797)
    coverage    part of the real balls that hold a generated sample
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

NEIGHBOURS = 5
"""k of arXiv 2002.09797."""


@dataclass(frozen=True)
class Manifold:
    """See the module's docstring."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(real: npt.ArrayLike, made: npt.ArrayLike, *, neighbours: int = NEIGHBOURS) -> Manifold:
    """Of features (samples, features), as many real as made, for the figures depend on both numbers.

    Raises ValueError for sets that do not fit together or have no more than `neighbours` samples.
    """
    truth, samples = np.asarray(real, dtype=np.float64), np.asarray(made, dtype=np.float64)
    if truth.shape != samples.shape or truth.ndim != 2:
        raise ValueError("as many generated as real samples are expected, both (samples, features) of one encoder")
    if len(truth) <= neighbours:
        raise ValueError(f"more than {neighbours} samples are needed, got {len(truth)}")
    apart = cdist(truth, samples)  # (real, made)
    reach, own_reach = _reach(truth, neighbours)[:, None], _reach(samples, neighbours)[None]
    inside = apart < reach  # (real, made): the sample lies in the real one's ball
    return Manifold(
        precision=float(inside.any(axis=0).mean()),
        recall=float((apart < own_reach).any(axis=1).mean()),
        density=float(inside.sum(axis=0).mean() / neighbours),
        coverage=float(inside.any(axis=1).mean()),
    )


def _reach(points: npt.NDArray[np.float64], neighbours: int) -> npt.NDArray[np.float64]:
    """(samples,): distance to the k-th nearest other."""
    return np.asarray(np.partition(cdist(points, points), neighbours, axis=1)[:, neighbours])

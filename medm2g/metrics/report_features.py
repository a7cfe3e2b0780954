"""Features of a report for a Fréchet distance: its point in the text encoder's space, on few principal directions.

The directions are fitted once on public reports of other phantoms, shipped beside the referee, and frozen: a direction
fitted on the reports under judgement would see what it judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from medm2g.metrics.flow_network import SHIPPED
from medm2g.metrics.frechet import MAX_FEATURES

Array = npt.NDArray[np.float32]
_FILE = "report_features.safetensors"


@dataclass(frozen=True)
class ReportFeatures:
    """A frozen linear projection of pooled text embeddings."""

    mean: Array
    """(width,)"""
    directions: Array
    """(width, features), orthonormal columns scaled so that the public reports have unit variance overall."""

    def __call__(self, pooled: npt.ArrayLike) -> Array:
        """Pooled embeddings (n, width) to features (n, 48)."""
        return np.asarray((np.asarray(pooled, dtype=np.float32) - self.mean) @ self.directions)

    @classmethod
    def fit(cls, pooled: npt.ArrayLike, *, features: int = MAX_FEATURES) -> ReportFeatures:
        """Principal directions of public pooled embeddings (n, width). Raises ValueError for too few texts."""
        points = np.asarray(pooled, dtype=np.float64)
        if len(points) < 2 * features:
            raise ValueError(f"at least {2 * features} public texts are needed, got {len(points)}")
        mean = points.mean(axis=0)
        _, values, rows = np.linalg.svd(points - mean, full_matrices=False)
        scale = np.sqrt(len(points) / (values[:features] ** 2).sum())
        return cls(mean=mean.astype(np.float32), directions=(rows[:features].T * scale).astype(np.float32))

    def save(self, folder: Path) -> None:
        """Write beside the referee."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"mean": self.mean, "directions": np.ascontiguousarray(self.directions)}, folder / _FILE)

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> ReportFeatures:
        """The frozen projection in `folder`. Raises FileNotFoundError, saying how to make one."""
        if not (folder / _FILE).is_file():
            raise FileNotFoundError(f"No {_FILE} in {folder.name}: make it with python -m simulations.train_referee.")
        arrays = load_file(folder / _FILE)
        return cls(mean=arrays["mean"], directions=arrays["directions"])

"""Do generated images look like the records: distances and manifolds by several encoders, and how alike they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from medm2g.metrics.bootstrap import Rows, interval
from medm2g.metrics.diversity import likeness
from medm2g.metrics.encoders import Features, ImageEncoder, PixelComponents, reduced
from medm2g.metrics.frechet import MAX_FEATURES, frechet_distance
from medm2g.metrics.kernel_distance import kernel_distance
from medm2g.metrics.manifold import NEIGHBOURS, manifold
from simulations.held_out import Images

FEWEST = 2 * NEIGHBOURS
"""Fewer records than this say nothing about a manifold."""


def image_figures(flow: str, real: Images, made: Images, encoders: Sequence[ImageEncoder]) -> dict[str, Any]:
    """real, made (n, s, s), as many of both: figures by encoder, `pixels` among them, and the likeness of pairs."""
    pixels = [PixelComponents(real, features=min(MAX_FEATURES, len(real) // 2))] if len(real) >= 2 * NEIGHBOURS else []
    return {
        "encoders": {
            encoder.name: _compared(encoder(flow, real), encoder(flow, made)) for encoder in [*encoders, *pixels]
        },
        "likeness": {"made": _likeness(made), "real": _likeness(real)},
    }


def _compared(real: Features, made: Features) -> dict[str, Any]:
    """Fréchet and kernel distance with 95 % bootstrap intervals, then precision, recall, density, coverage."""
    few_real, few_made = reduced(real, made)

    def frechet(rows: Rows) -> float:
        return frechet_distance(few_real[rows], few_made[rows])

    def kernel(rows: Rows) -> float:
        return kernel_distance(real[np.unique(rows)], made[np.unique(rows)])  # a point beside itself is no neighbour

    return {
        "frechet": frechet_distance(few_real, few_made),
        "frechet_interval": interval(frechet, len(real)),
        "kernel": kernel_distance(real, made),
        "kernel_interval": interval(kernel, len(real)),
        **asdict(manifold(real, made)),
    }


def _likeness(images: Images) -> float:
    return likeness(torch.as_tensor(images)[:, None])

"""How alike generated images are among themselves: mean multi-scale SSIM of random pairs (torchmetrics).

High where a generator repeats itself (arXiv 1610.09585 §4.2). It says nothing without the same figure of real images.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from medm2g.metrics.psnr_ssim import DATA_RANGE

_WINDOW = 7
_SCALES = (0.0448, 0.2856, 0.3001)
"""The first three of the five weights of Wang 2003: at 64 pixels a fourth scale would be smaller than its window."""


def likeness(images: Tensor, *, pairs: int = 200, seed: int = 0) -> float:
    """Mean MS-SSIM of `pairs` random pairs of different unit images (n, 1, size, size), size >= 32.

    Raises ValueError for fewer than two images.
    """
    if images.ndim != 4 or len(images) < 2:
        raise ValueError("likeness is of pairs: give at least two images (n, 1, size, size)")
    random = torch.Generator().manual_seed(seed)
    first = torch.randint(len(images), (pairs,), generator=random)
    other = (first + 1 + torch.randint(len(images) - 1, (pairs,), generator=random)) % len(images)
    pixels = images.float().clamp(-1, 1)
    return float(
        multiscale_structural_similarity_index_measure(
            pixels[first], pixels[other], kernel_size=_WINDOW, betas=_SCALES, data_range=DATA_RANGE
        )
    )

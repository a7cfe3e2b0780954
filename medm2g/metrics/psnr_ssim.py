"""PSNR, SSIM and NMSE of translated images against their true partner, on unit images in [-1, 1] (torchmetrics)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

#: Unit images span [-1, 1].
DATA_RANGE = 2.0


@dataclass(frozen=True)
class PairedQuality:
    """Mean over the pairs."""

    psnr: float
    """Decibels."""
    ssim: float
    """At most 1."""
    nmse: float
    """Squared error over the truth's squared norm, black being zero (fastMRI, arXiv 1811.08839 §5)."""
    pairs: int


def paired_quality(generated: torch.Tensor, truth: torch.Tensor) -> PairedQuality:
    """Compare images pair by pair, both (n, 1, size, size) in [-1, 1]. Raises ValueError for unequal or empty sets."""
    if generated.shape != truth.shape or generated.ndim != 4 or not len(truth):
        raise ValueError(
            f"pairs must have one shape (n, 1, size, size), got {tuple(generated.shape)}, {tuple(truth.shape)}"
        )
    generated, truth = generated.float().clamp(-1, 1), truth.float().clamp(-1, 1)
    psnr = peak_signal_noise_ratio(generated, truth, data_range=DATA_RANGE, dim=(1, 2, 3), reduction="elementwise_mean")
    ssim = structural_similarity_index_measure(generated, truth, data_range=DATA_RANGE)
    assert isinstance(ssim, torch.Tensor)
    error, size = (generated - truth).square(), (truth + 1).square()
    nmse = (error.flatten(1).sum(1) / size.flatten(1).sum(1).clamp_min(1e-12)).mean()
    return PairedQuality(psnr=float(psnr), ssim=float(ssim), nmse=float(nmse), pairs=len(truth))

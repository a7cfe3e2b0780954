"""The four losses of MedM2G, as we read arXiv 2403.04290 §3 (the equations are our reading: notes/medm2g.md §2).

    denoising     v = sqrt(abar_t) eps - sqrt(1 - abar_t) z ;  L = w(t) mean |v - v_theta(z_t, t, c)|^2
    central       in-batch, symmetric (the paper's):
      alignment     L = -1/2B sum_i [log softmax_j <e_i, r_j>/tau  +  log softmax_j <e_j, r_i>/tau]  at j = i
                  anchored (ours, private): candidates are {own report r} and public anchors a_1..a_n
                    L = - sum_c p_c log softmax_c <e, c>/tau ,   p = softmax_c <r, c>/tau
                    With anchors far from r this is InfoNCE, p being one at r; an anchor that says what r says shares
                    r's part of p instead of being pushed away.
    visual        K_ij = mean over places of a_i b_j, each standardised over the places of ONE image
      invariant     L = [sum_i (1 - K_ii)^2 + lambda sum_{i != j} K_ij^2] / width          (Barlow Twins, 2103.03230)

Each call gives one value per row (record, or record and draw) and no mean over rows, so that nobody can divide by
the wrong count. Only the in-batch form lets rows meet; it cannot be built for private training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from medm2g.anchors import AnchorBank
from medm2g.errors import ConfigInvalid

TEMPERATURE = 0.07
"""tau, fixed: CLIP's initial value (arXiv 2103.00020); MedM2G's is unknown."""
OFF_DIAGONAL = 0.02
"""lambda: Barlow Twins' 0.005, scaled up for a width of 32 in place of 8192."""
tiny = 1e-4
"""Added to variances: a constant image gives zeros, not infinities."""


class PrivateLossRefused(ConfigInvalid):
    """A loss that couples patients, asked for private training."""


class DenoisingLoss:
    """Squared error of the predicted velocity, one value per row."""

    def __init__(self, *, min_snr_gamma: float | None = None) -> None:
        """min_snr_gamma: weigh timestep t by min(SNR, gamma) / (SNR + 1) (arXiv 2303.09556, v form); None: by one."""
        if min_snr_gamma is not None and min_snr_gamma <= 0:
            raise ConfigInvalid("`min_snr_gamma` must be positive, or None for no weighting.")
        self.min_snr_gamma = min_snr_gamma

    def __call__(self, predicted: Tensor, velocity: Tensor, alpha_bar: Tensor) -> Tensor:
        """predicted, velocity (b, c, h, w); alpha_bar (b,) of each row's timestep -> (b,)."""
        error = (predicted - velocity).square().flatten(1).mean(1)
        if self.min_snr_gamma is None:
            return error
        ratio = alpha_bar / (1 - alpha_bar).clamp_min(tiny)
        return error * ratio.clamp(max=self.min_snr_gamma) / (ratio + 1)


class AnchoredInfoNCE:
    """A point of the shared space against its own positive and public anchors; no other patient is in sight."""

    def __init__(self, anchors: AnchorBank, *, temperature: float = TEMPERATURE) -> None:
        if temperature <= 0:
            raise ConfigInvalid("`temperature` must be positive.")
        self.anchors, self.temperature = anchors, temperature
        self._candidates = anchors.coordinates(anchors.embeddings)  # (n, directions)

    def __call__(self, embeddings: Tensor, positives: Tensor) -> Tensor:
        """embeddings, positives (b, 384) -> (b,). Positives get no gradient."""
        own = self.anchors.coordinates(positives.detach())  # (b, directions)
        seen = self.anchors.coordinates(embeddings)
        candidates = self._candidates.to(own)
        beside = own @ candidates.T  # (b, n)
        wanted = torch.cat([torch.ones_like(beside[:, :1]), beside], 1) / self.temperature
        logits = torch.cat([(seen * own).sum(1, keepdim=True), seen @ candidates.T], 1) / self.temperature
        return -(wanted.softmax(1) * logits.log_softmax(1)).sum(1)


class InBatchInfoNCE:
    """The paper's symmetric form: every other row of the batch is a negative. Public training only."""

    def __init__(self, *, private: bool, temperature: float = TEMPERATURE) -> None:
        """Raises PrivateLossRefused for private training: one patient's removal would move everyone's gradient."""
        if private:
            raise PrivateLossRefused(
                "In-batch InfoNCE couples patients, so no clipping bounds it: use AnchoredInfoNCE for private training."
            )
        self.temperature = temperature

    def __call__(self, embeddings: Tensor, positives: Tensor) -> Tensor:
        """embeddings, positives (b, 384), row i of both belonging together -> (b,)."""
        logits = F.normalize(embeddings, dim=-1) @ F.normalize(positives, dim=-1).T / self.temperature
        return -(logits.log_softmax(1).diagonal() + logits.log_softmax(0).diagonal()) / 2


class SpatialInvariance:
    """Two photometric views of one image, correlated over its places: what a place shows must survive the exposure."""

    def __init__(self, *, off_diagonal: float = OFF_DIAGONAL) -> None:
        self.off_diagonal = off_diagonal

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Spatial tokens (b, places, width) of both views, place by place -> (b,). Needs 2 * width <= places: with
        fewer places the off-diagonal terms cannot all vanish."""
        places, width = first.shape[1:]
        if 2 * width > places:
            raise ConfigInvalid(f"The invariant's width {width} must be at most half of the {places} places.")
        correlation = _standardised(first).transpose(1, 2) @ _standardised(second) / places  # (b, width, width)
        same = torch.eye(width, device=first.device, dtype=first.dtype)
        on = ((1 - correlation) * same).square().sum((1, 2))
        off = (correlation * (1 - same)).square().sum((1, 2))
        return (on + self.off_diagonal * off) / width


def _standardised(tokens: Tensor) -> Tensor:
    centred = tokens - tokens.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + tiny).sqrt()

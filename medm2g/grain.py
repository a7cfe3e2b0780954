"""Grain: what an image codec leaves out, drawn anew for each sample.

A codec that is trained on the error of its images decodes the middle of what its latents leave open, and a middle has
no noise: its images are smoother than any scanner's. But a decoder is a likelihood p(x | z), and a sample of that is
the mean *and* a draw of what is left (arXiv 1312.6114, section 2.1). So what is left is modelled as white noise, whose
size depends on how bright and how busy the decoded picture is at a place: a noise level function, as detectors have.

    x = decoded + sigma(decoded) * white noise

Public and frozen: fitted on public images after the codec, never privately. It says nothing about a patient, so where
an image is to be compared with one patient's own (a translation) it is left out: `AnyToAnyPipeline(..., grain=False)`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BRIGHTNESS, _DETAIL = 32, 8
"""Rows and columns of the table: steps of decoded values from -1 to 1, and of their difference from the 3 x 3 mean."""
_DOUBT = 100.0
"""Pixels' worth of the overall variance in every cell: a cell that is hardly ever seen has the variance of all."""


class Grain(nn.Module):
    """Of one flow; none until `fit`."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(_BRIGHTNESS, _DETAIL))
        self.register_buffer("steps", torch.zeros(_DETAIL - 1))
        self.table: Tensor
        """Standard deviation of what is left, by brightness and detail."""
        self.steps: Tensor
        """Where one column ends and the next begins."""

    def forward(self, images: Tensor, white: Tensor) -> Tensor:
        """Decoded images (n, 1, s, s) in [-1, 1] and white noise of their shape -> images with grain, in [-1, 1]."""
        return (images + self.sigma(images) * white).clamp(-1, 1)

    def sigma(self, images: Tensor) -> Tensor:
        """(n, 1, s, s): the standard deviation of what is left, at each place of decoded images."""
        return self.table.flatten()[self._cells(images)]

    @torch.no_grad()
    def fit(self, decoded: Tensor, images: Tensor) -> None:
        """Set from *public* images (n, 1, s, s) and what the codec makes of them: mean squares by cell."""
        shares = torch.arange(1, _DETAIL, device=decoded.device) / _DETAIL
        busy = _detail(decoded).flatten()
        self.steps.copy_(torch.quantile(busy[:: max(1, len(busy) // 1_000_000)], shares))  # it takes 16 million at most
        squares, cells = (images - decoded).square().flatten(), self._cells(decoded).flatten()
        count = torch.bincount(cells, minlength=self.table.numel())
        total = torch.bincount(cells, weights=squares.double(), minlength=self.table.numel())
        variance = (total + _DOUBT * squares.mean()) / (count + _DOUBT)
        self.table.copy_(variance.sqrt().view_as(self.table))

    def _cells(self, images: Tensor) -> Tensor:
        """Number of the table's cell for every pixel."""
        brightness = ((images + 1) * (_BRIGHTNESS / 2)).long().clamp(0, _BRIGHTNESS - 1)
        return brightness * _DETAIL + torch.bucketize(_detail(images), self.steps)


def _detail(images: Tensor) -> Tensor:
    """By how much a pixel differs from the mean of its 3 x 3 neighbourhood."""
    return (images - F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)).abs()

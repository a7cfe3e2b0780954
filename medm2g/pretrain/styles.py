"""Styles of public hospitals: learnt beside a denoiser, then folded into it so that the style space is isotropic.

    style of hospital h = m + A c_h ,   c over the public hospitals: mean 0, covariance 1

m and A move into the denoiser's style projection; what remains to learn for a new hospital, or a consortium of them, is
c, whose prior is N(0, 1) on every axis. So one clipping norm and one learning rate fit all axes, and noise that a
private study adds to c is noise in units of how much public hospitals differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medm2g.generator import Generator

JITTER = 0.1
"""Deviation of what is added to a style while it is learnt, in units of all hospitals' deviation: it makes the space
between public hospitals mean something too."""
BIRTH = 0.03
"""Deviation of where a flow's styles begin, all hospitals at one point: flows that share a denoiser are told apart."""
RATE = 10.0
"""How much faster than the denoiser styles learn: each table row is seen by its own hospital's images only."""
LEAST_AXIS = 1e-3
"""Axes along which public hospitals differ by less than this part of the first are dropped: nobody learnt them."""


class HospitalStyles(nn.Module):
    """One style per public hospital and flow: (hospitals, w) for each flow, equal for all hospitals at birth."""

    def __init__(
        self, generator: Generator, hospitals: int, *, flows: Sequence[str] | None = None, seed: int = 0
    ) -> None:
        """flows: all of the generator's where not given."""
        super().__init__()
        width, random = generator.config.style_width, torch.Generator().manual_seed(seed)
        begins = {flow: BIRTH * torch.randn(1, width, generator=random) for flow in generator.flows}
        self.tables = nn.ParameterDict(
            {
                flow: nn.Parameter(start.repeat(hospitals, 1))
                for flow, start in begins.items()
                if flows is None or flow in flows
            }
        )

    def forward(self, flow: str, hospitals: Tensor, jitter: Tensor) -> Tensor:
        """hospitals (b,) int64, jitter (b, w) standard normal -> (b, w)."""
        table = RATE * self.tables[flow]
        spread = table.detach().std(0) if len(table) > 1 else table.new_zeros(table.shape[1])
        return table[hospitals] + JITTER * spread * jitter

    @torch.no_grad()
    def fold(self, generator: Generator) -> dict[str, Tensor]:
        """Turn and scale each flow's style space, keep it in the denoiser's projection, and set the flow's own style
        to zero: the mean of the public hospitals. Returns where the hospitals lie now, (hospitals, w) by flow.

        One hospital alone shows no axis: its directions stay those of birth, which a study can still move along.
        """
        places = {}
        for flow in self.tables:
            table = RATE * self.tables[flow]
            projection, mean = generator.unets[flow].class_embedding, table.mean(0)
            axes = _axes(table - mean) if len(table) > 1 else torch.eye(table.shape[1])
            projection.bias.add_(projection.weight @ mean)
            projection.weight.copy_(projection.weight @ axes)
            generator.styles[flow].zero_()
            places[flow] = (table - mean) @ torch.linalg.pinv(axes).T
        return places


def _axes(centred: Tensor) -> Tensor:
    """(w, w): columns are the principal axes of (hospitals, w), each as long as the hospitals' deviation along it."""
    width = centred.shape[1]
    _, lengths, axes = torch.linalg.svd(centred, full_matrices=False)
    deviations = lengths / max(1, len(centred)) ** 0.5
    deviations = torch.where(deviations > LEAST_AXIS * deviations.max().clamp_min(1e-12), deviations, 0.0)
    columns = centred.new_zeros(width, width)
    columns[:, : len(lengths)] = axes.T * deviations
    return columns

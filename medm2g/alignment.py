"""Central alignment: one small pixel encoder per imaging flow, into the text encoder's space (DESIGN.md §4.1, §4.2).

pixels -> spatial tokens (place) -> a few pooled tokens (meaning) -> one unit vector beside the report's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medm2g.config import GeneratorConfig
from medm2g.errors import ConfigInvalid


class Aligned(NamedTuple):
    """An image in the shared space."""

    embedding: Tensor
    """(b, context_width), unit norm."""
    tokens: Tensor
    """(b, aligned_tokens, context_width): joins the prompt context when the image is a clean source."""
    spatial: Tensor
    """(b, places, invariant_width): raster order; token i of two photometric views is the same place."""


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 twice, around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(features)))
        return features + self.conv2(F.silu(self.norm2(hidden)))


class AlignmentEncoder(nn.Module):
    """One imaging flow's projection and head into the shared space: the group `alignment/<flow>`."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width, halvings = config.alignment_width, config.alignment_stride.bit_length() - 1
        if 2**halvings != config.alignment_stride or width % 8:
            raise ConfigInvalid("`alignment_stride` must be a power of 2 and `alignment_width` a multiple of 8.")
        places = (config.image_size // config.alignment_stride) ** 2
        widths = [1, *(max(8, width >> (halvings - 1 - level)) for level in range(halvings))]
        self.stem = nn.ModuleList(
            nn.Conv2d(inner, outer, 3, stride=2, padding=1) for inner, outer in zip(widths, widths[1:], strict=False)
        )
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(2))
        self.norm = nn.GroupNorm(8, width)
        self.invariant = nn.Linear(width, config.invariant_width)
        self.positions = nn.Parameter(torch.randn(places, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(config.aligned_tokens, width) * width**-0.5)
        self.key = nn.Linear(width, width, bias=False)
        self.token_head = nn.Linear(width, config.context_width)
        summary = (config.aligned_tokens + 1) * width
        self.head = nn.Sequential(nn.Linear(summary, 2 * width), nn.SiLU(), nn.Linear(2 * width, config.context_width))

    def forward(self, images: Tensor) -> Aligned:
        """images (b, 1, s, s) in [-1, 1]."""
        features = images
        for conv in self.stem:
            features = F.silu(conv(features))
        for block in self.blocks:
            features = block(features)
        features = F.silu(self.norm(features)).flatten(2).transpose(1, 2)  # (b, places, width)
        rows = len(images)
        located = features + self.positions.expand(rows, -1, -1)
        scores = self.queries.expand(rows, -1, -1) @ self.key(located).transpose(1, 2)  # (b, tokens, places)
        pooled = scores.softmax(-1) @ located  # (b, tokens, width)
        summary = torch.cat([features.mean(1), pooled.flatten(1)], dim=-1)
        return Aligned(
            embedding=F.normalize(self.head(summary), dim=-1),  # (b, context_width)
            tokens=self.token_head(pooled),  # (b, tokens, context_width)
            spatial=self.invariant(features),  # (b, places, invariant_width)
        )

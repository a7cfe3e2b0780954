"""What the shipped frozen networks share: how they read an image, and a block that the flow conditions.

One network sees every flow; which flow an image is of scales and shifts each block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHIPPED = Path(__file__).resolve().parent.parent / "weights" / "referee"
"""The folder of all of them."""
_CHUNK = 128


class FlowBlock(nn.Module):
    """Halves the image, then one residual convolution; scale and shift come from the flow."""

    def __init__(
        self, channels_in: int, channels_out: int, flows: int, *, kernel: int = 3, normalise: bool = True
    ) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels_in, channels_out, kernel, stride=2, padding=kernel // 2)
        self.norm = nn.GroupNorm(8, channels_out) if normalise else nn.Identity()
        self.scale_shift = nn.Embedding(flows, 2 * channels_out)
        nn.init.zeros_(self.scale_shift.weight)
        self.residual = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.residual_norm = nn.GroupNorm(8, channels_out) if normalise else nn.Identity()

    def forward(self, hidden: Tensor, flow: Tensor) -> Tensor:
        """(b, c, h, w), flow numbers (b,) -> (b, c', h / 2, w / 2)"""
        scale, shift = self.scale_shift(flow)[:, :, None, None].chunk(2, dim=1)  # (b, c', 1, 1)
        hidden = F.silu(self.norm(self.down(hidden)) * (1 + scale) + shift)
        return hidden + F.silu(self.residual_norm(self.residual(hidden)))


def read_images(
    flow: str, images: Tensor | npt.NDArray[np.floating], *, flows: Sequence[str], size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Unit images (n, 1, s, s) or (n, s, s) of one flow, at the network's size, with the flow's number (n,); in parts.

    Raises ValueError for a flow that is not among those that the network was taught.
    """
    if flow not in flows:
        raise ValueError(f"this network knows the flows {list(flows)}, not {flow}")
    pixels = torch.as_tensor(np.asarray(images), dtype=torch.float32).reshape(-1, 1, *images.shape[-2:])
    if pixels.shape[-1] != size:
        pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    for part in pixels.clamp(-1, 1).split(_CHUNK):
        yield part, torch.full((len(part),), flows.index(flow))

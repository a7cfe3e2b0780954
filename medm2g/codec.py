"""Image codecs: pixels to latents and back. diffusers' `AutoencoderKL`, with pixels folded into channels around it.

Folding (pixel unshuffle) makes the convolutions run on a 16 x 16 grid at 64 px, several times cheaper on a CPU than
at full resolution, and loses nothing. Public and frozen: trained by `pretrain`, never privately. The shift and scale
that bring latents to zero mean and unit variance per channel are buffers, computed from public data.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from medm2g.config import GeneratorConfig
from medm2g.errors import InputInvalid


class LatentScaling(nn.Module):
    """Per-channel shift and scale of one flow's latents; identity until `fit`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.shift: Tensor
        self.scale: Tensor

    @torch.no_grad()
    def fit(self, raw_latents: Tensor) -> None:
        """Set from *public* raw latents (n, c, h, w)."""
        spread, mean = torch.std_mean(raw_latents.double(), dim=(0, 2, 3))
        self.shift.copy_(mean)
        self.scale.copy_(spread.clamp_min(1e-6))

    def normalise(self, raw_latents: Tensor) -> Tensor:
        """(b, c, h, w) raw to zero mean, unit variance."""
        return (raw_latents - self.shift[:, None, None]) / self.scale[:, None, None]

    def restore(self, latents: Tensor) -> Tensor:
        """Inverse of `normalise`."""
        return latents * self.scale[:, None, None] + self.shift[:, None, None]


class ImageCodec(nn.Module):
    """pixels (b, 1, s, s) in [-1, 1] <-> latents (b, c, h, w)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        levels, self.patch = len(config.codec_channels), config.codec_patch
        self.autoencoder = AutoencoderKL(
            in_channels=self.patch**2,
            out_channels=self.patch**2,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=config.codec_channels,
            layers_per_block=config.codec_layers,
            latent_channels=config.latent_channels,
            norm_num_groups=config.codec_norm_groups,
            sample_size=config.image_size // self.patch,
            scaling_factor=1.0,  # ours is per channel, in `scaling`
        )
        self.scaling = LatentScaling(config.latent_channels)
        self.image_size = config.image_size

    def posterior(self, images: Tensor) -> Any:
        """diffusers' diagonal Gaussian over raw latents; what `pretrain` samples from."""
        if images.ndim != 4 or images.shape[1:] != (1, self.image_size, self.image_size):
            raise InputInvalid(f"`images` must have shape (n, 1, {self.image_size}, {self.image_size}).")
        return self.autoencoder.encode(F.pixel_unshuffle(images, self.patch)).latent_dist

    def decode_raw(self, raw_latents: Tensor) -> Tensor:
        """Raw latents to pixels, not clamped (training)."""
        return F.pixel_shuffle(self.autoencoder.decode(raw_latents).sample, self.patch)

    def encode(self, images: Tensor) -> Tensor:
        """Scaled posterior mean (n, c, h, w): deterministic."""
        return self.scaling.normalise(self.posterior(images).mode()).contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents to pixels in [-1, 1]."""
        return self.decode_raw(self.scaling.restore(latents)).clamp(-1, 1).contiguous()

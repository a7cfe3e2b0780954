"""Image codecs: pixels to latents and back. diffusers' `AutoencoderKL` beside a linear codec of patches.

    latents = analysis(pixels) + autoencoder.encode(folded pixels)
    pixels  = synthesis(latents) + unfold(autoencoder.decode(latents))

The autoencoder's last layers start at zero and `fit_linear` sets the linear pair to the principal components of public
patches, so training starts from the best linear codec and can only add to it. (A plain autoencoder trained for a
minute on a CPU destroys findings that sixteen components keep: notes/dp-recipe.md §1; 20.0 against 25.5 dB in our own
trial on real images.) Folding pixels into channels makes the convolutions run on a 16 x 16 grid at 64 px.

Public and frozen: trained by `pretrain`, never privately. The shift and scale that bring latents to zero mean and unit
variance per channel are buffers, computed from public data.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn

from medm2g.config import GeneratorConfig
from medm2g.errors import InputInvalid
from medm2g.grain import Grain


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
        step, channels = config.downsampling, config.latent_channels
        self.analysis = nn.Conv2d(1, channels, step, stride=step)
        self.synthesis = nn.ConvTranspose2d(channels, 1, step, stride=step)
        self.scaling = LatentScaling(channels)
        self.grain = Grain()
        self.image_size = config.image_size
        self._start_linear()

    @torch.no_grad()
    def _start_linear(self) -> None:
        """The autoencoder says nothing at birth, and its posterior is narrow (standard deviation 0.05)."""
        for layer in (self.autoencoder.quant_conv, self.autoencoder.decoder.conv_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.autoencoder.quant_conv.bias[self.synthesis.in_channels :] = -6.0

    @torch.no_grad()
    def fit_linear(self, images: Tensor) -> None:
        """Set the linear pair to the whitened principal components of *public* images (n, 1, s, s); before training."""
        step, channels = self.analysis.stride[0], self.analysis.out_channels
        patches = F.unfold(images.double(), step, stride=step).transpose(1, 2).flatten(0, 1)  # (n, step^2)
        mean = patches.mean(0)
        variances, axes = torch.linalg.eigh(torch.cov(patches.T))
        spread = variances[-channels:].flip(0).clamp_min(1e-8).sqrt()  # (c,), widest first
        axes = axes[:, -channels:].flip(1).T  # (c, step^2)
        self.analysis.weight.copy_((axes / spread[:, None]).view_as(self.analysis.weight))
        nn.init.zeros_(self.analysis.bias)  # latents keep the mean, which `scaling` removes later
        self.synthesis.weight.copy_((axes * spread[:, None]).view_as(self.synthesis.weight))
        self.synthesis.bias.fill_((mean - axes.T @ (axes @ mean)).mean())

    def posterior(self, images: Tensor) -> DiagonalGaussianDistribution:
        """diffusers' diagonal Gaussian over raw latents; what `pretrain` samples from."""
        if images.ndim != 4 or images.shape[1:] != (1, self.image_size, self.image_size):
            raise InputInvalid(f"`images` must have shape (n, 1, {self.image_size}, {self.image_size}).")
        learnt = self.autoencoder.encode(F.pixel_unshuffle(images, self.patch)).latent_dist
        return DiagonalGaussianDistribution(torch.cat([learnt.mean + self.analysis(images), learnt.logvar], dim=1))

    def decode_raw(self, raw_latents: Tensor) -> Tensor:
        """Raw latents to pixels, not clamped (training)."""
        return self.synthesis(raw_latents) + F.pixel_shuffle(self.autoencoder.decode(raw_latents).sample, self.patch)

    def encode(self, images: Tensor) -> Tensor:
        """Scaled posterior mean (n, c, h, w): deterministic."""
        return self.scaling.normalise(self.posterior(images).mode()).contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents to pixels in [-1, 1]: the middle of what they leave open, without `grain`."""
        return self.decode_raw(self.scaling.restore(latents)).clamp(-1, 1).contiguous()

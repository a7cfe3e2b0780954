"""Photometric views of one patient's images: same places, other exposure. Never a flip: laterality is clinical.

    u = (x + 1) / 2 ;  view = 2 * clip(contrast * (u^gamma - 1/2) + 1/2 + brightness + noise) - 1

A function of the images and of given random numbers: `draw_settings` makes these from a patient's own generator.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MAX_GAMMA = 0.35
"""Of |log gamma|."""
MAX_CONTRAST = 0.2
MAX_BRIGHTNESS = 0.1
"""Of the unit range."""
MAX_NOISE = 0.03
"""Standard deviation in the unit range: the upper half of an MRI's or an X-ray's own noise."""


class ViewSettings(NamedTuple):
    """The random numbers of n views."""

    gamma: Tensor
    """(n,)"""
    contrast: Tensor
    """(n,)"""
    brightness: Tensor
    """(n,)"""
    noise: Tensor
    """(n, 1, s, s), in the unit range."""


def draw_settings(images: Tensor, *, generator: torch.Generator) -> ViewSettings:
    """Random numbers for one view of each of n images (n, 1, s, s)."""
    signed = 2 * torch.rand(3, len(images), generator=generator) - 1  # (3, n)
    strength = MAX_NOISE * torch.rand(len(images), 1, 1, 1, generator=generator)
    return ViewSettings(
        gamma=(MAX_GAMMA * signed[0]).exp(),
        contrast=1 + MAX_CONTRAST * signed[1],
        brightness=MAX_BRIGHTNESS * signed[2],
        noise=strength * torch.randn(images.shape, generator=generator),
    )


def photometric(images: Tensor, settings: ViewSettings) -> Tensor:
    """One view of each of n images (n, 1, s, s) in [-1, 1]; the views lie in [-1, 1] too."""
    unit = ((images.float() + 1) / 2).clamp(0, 1)
    curved = unit ** _each(settings.gamma)
    seen = _each(settings.contrast) * (curved - 0.5) + 0.5 + _each(settings.brightness) + settings.noise
    return 2 * seen.clamp(0, 1) - 1


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]

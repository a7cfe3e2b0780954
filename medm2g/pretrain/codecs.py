"""Phase `codec`: one image codec for all imaging flows, then each flow's own latent shift and scale, and its grain.

    L = mean m |x - x'| + g mean |grad x - grad x'| + k KL ,   m = 1 + a |x - blur x| / mean |x - blur x|

The detail map m and the gradients keep small findings alive: plain error buys brightness first, and a codec that
loses the findings caps everything trained on it (notes/dp-recipe.md §1: check it with the finding classifier).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medm2g.codec import ImageCodec
from medm2g.errors import InputInvalid
from medm2g.generator import Generator
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicPatients
from medm2g.pretrain.loop import PhaseBudget, PhaseSettings, Progress, no_progress, random_of, run_phase, training_only
from medm2g.pretrain.muon import matrices_of

SETTINGS = PhaseSettings(learning_rate=2e-3, batch_size=32, weight_decay=0.0, ema_decay=0.995)
DETAIL = 0.5
"""a."""
GRADIENT = 0.5
"""g."""
KL = 1e-5
"""k, per latent value: just enough to bound the latents; their scale is set afterwards."""
_VALIDATION_IMAGES = 128
_LINEAR_IMAGES = 2000
"""Images from which the linear part of the codec is fitted before training starts."""
_GRAIN_IMAGES = 2000
"""Of each flow."""


def train_codecs(
    generator: Generator,
    patients: PublicPatients,
    *,
    training: frozenset[int],
    validation: frozenset[int],
    budget: PhaseBudget,
    curve: CurveWriter,
    settings: PhaseSettings = SETTINGS,
    progress: Progress = no_progress,
    seed: int = 0,
    flows: Sequence[str] | None = None,
) -> int:
    """One codec on all image flows mixed, copied to each, then each one's scaling and grain. Returns the steps made.

    flows: of these only, from the codec that the first of them has; the others keep theirs.
    """
    own = [flow for flow in generator.image_flows if flows is None or flow in flows]
    seen = [flow for flow in own if flow in patients.images]
    if not seen:
        raise InputInvalid("Pre-training the codec needs public images of at least one flow of the generator.")
    codec, device = generator.image_codec(seen[0]), generator.device
    images = _mixed(patients, seen, training)
    held = _mixed(patients, seen, validation)[:_VALIDATION_IMAGES].float().to(device)
    if flows is None:
        codec.fit_linear(images[:_LINEAR_IMAGES].float().to(device))

    def batch_loss(step: int) -> Tensor:
        random = random_of(seed, step)
        chosen = images[torch.randint(len(images), (settings.batch_size,), generator=random)].float().to(device)
        return codec_loss(codec, chosen, generator=random)

    with training_only(generator, list(codec.parameters())):
        steps = run_phase(
            "codec",
            list(codec.parameters()),
            matrices=matrices_of(codec),
            batch_loss=batch_loss,
            validation_loss=lambda: reconstruction_error(codec, held),
            settings=settings,
            budget=budget,
            curve=curve,
            progress=progress,
        )
    for flow in own:
        if flow != seen[0]:
            generator.image_codec(flow).load_state_dict(codec.state_dict())
    _fit_scaling(generator, patients, own, training)
    fit_grain(generator, patients, own, training)
    return steps


def codec_loss(codec: ImageCodec, images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Scalar; images (b, 1, s, s)."""
    posterior = codec.posterior(images)
    noise = torch.randn(posterior.mean.shape, generator=generator).to(images.device)
    seen = codec.decode_raw(posterior.mean + posterior.std * noise)
    error, detail = (images - seen).abs(), (images - F.avg_pool2d(images, 5, 1, 2)).abs()
    weight = 1 + DETAIL * detail / detail.mean((1, 2, 3), keepdim=True).clamp_min(1e-3)
    edges = _gradient(images - seen).abs().mean()
    divergence = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
    return (weight * error).mean() + GRADIENT * edges + KL * divergence


@torch.no_grad()
def reconstruction_error(codec: ImageCodec, images: Tensor) -> float:
    """Mean absolute error of images through the codec, as it is used: posterior mean, no noise."""
    parts = [
        (codec.decode_raw(codec.posterior(part).mean) - part).abs().flatten(1).mean(1) for part in images.split(64)
    ]
    return float(torch.cat(parts).mean())


def _gradient(images: Tensor) -> Tensor:
    across, down = images[..., :, 1:] - images[..., :, :-1], images[..., 1:, :] - images[..., :-1, :]
    return torch.cat([across.flatten(1), down.flatten(1)], 1)


def _mixed(patients: PublicPatients, flows: list[str], people: frozenset[int]) -> Tensor:
    """(n, 1, s, s) float16 of every flow in equal parts: the smaller flows repeat."""
    rows = {flow: patients.data.rows(flow, people) for flow in flows}
    most = max((len(own) for own in rows.values()), default=0)
    parts = [patients.images[flow][np.resize(own, most)].half() for flow, own in rows.items() if len(own)]
    if not parts:
        raise InputInvalid("No public patient of this split has an image: give more public patients.")
    return torch.stack(parts, 1).flatten(0, 1)  # flows take turns, so any beginning holds all of them


@torch.no_grad()
def _fit_scaling(generator: Generator, patients: PublicPatients, flows: Sequence[str], people: frozenset[int]) -> None:
    for flow in flows:
        rows = patients.data.rows(flow, people)
        if not len(rows):
            continue  # a flow without public images keeps the identity
        codec = generator.image_codec(flow)
        moved = (part.float().to(generator.device) for part in patients.images[flow][rows].split(128))
        codec.scaling.fit(torch.cat([codec.posterior(part).mean for part in moved]))


def fit_grain(generator: Generator, patients: PublicPatients, flows: Sequence[str], people: frozenset[int]) -> None:
    """What each flow's codec leaves out of its public images; a flow without any keeps none."""
    for flow in flows:
        rows = patients.data.rows(flow, people)[:_GRAIN_IMAGES]
        if not len(rows):
            continue
        images = patients.images[flow][rows].float().to(generator.device)
        decoded = generator.decode_image(flow, generator.encode_image(flow, images))
        generator.image_codec(flow).grain.fit(decoded, images)

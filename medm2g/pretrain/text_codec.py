"""Phase `text_codec`: reports to a grid of latents and back, under teacher forcing.

The latents are noised while the decoder learns, so that it forgives what the denoiser leaves over; the pooling
normalises each latent token, so the codec cannot outgrow that noise.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from medm2g.errors import InputInvalid
from medm2g.generator import Generator
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicPatients
from medm2g.pretrain.loop import PhaseBudget, PhaseSettings, Progress, no_progress, random_of, run_phase, training_only
from medm2g.pretrain.muon import matrices_of

SETTINGS = PhaseSettings(learning_rate=2e-3, batch_size=32, ema_decay=0.995)
LATENT_NOISE = 0.3
"""Standard deviation, in units of a normalised latent."""
NEGATIVES = 512
_VALIDATION_TEXTS = 128


def train_text_codec(
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
) -> int:
    """Train the report codec, then fit its scaling. Returns the steps made."""
    codec, text = generator.text_codec, patients.text
    rows, held = _rows(patients, training), _rows(patients, validation)[:_VALIDATION_TEXTS]
    if not len(rows) or not len(held):
        raise InputInvalid("Pre-training the report codec needs public texts of at least two patients.")
    words = generator.text_encoder.word_embeddings.detach()

    def loss_of(chosen: Tensor, noise: float, random: torch.Generator) -> Tensor:
        longest = int(text.mask[chosen].sum(1).max())  # what is padding for all adds nothing but time
        chosen_parts = (part[chosen, :longest].to(generator.device) for part in (text.ids, text.mask, text.tokens))
        ids, mask, tokens = chosen_parts
        latents = codec.encode_raw(tokens, mask)
        return codec.reconstruction_loss(
            latents, ids, mask, words, latent_noise=noise, negatives=NEGATIVES, generator=random
        ).mean()

    def batch_loss(step: int) -> Tensor:
        random = random_of(seed, step)
        chosen = rows[torch.randint(len(rows), (settings.batch_size,), generator=random)]
        return loss_of(chosen, LATENT_NOISE, random)

    @torch.no_grad()
    def validation_loss() -> float:
        random = torch.Generator().manual_seed(0)
        return float(torch.stack([loss_of(part, 0.0, random) for part in held.split(64)]).mean())

    own = [parameter for name, parameter in codec.named_parameters() if not name.startswith("adapter")]
    with training_only(generator, own):
        steps = run_phase(
            "text_codec",
            own,
            matrices=matrices_of(codec),
            batch_loss=batch_loss,
            validation_loss=validation_loss,
            settings=settings,
            budget=budget,
            curve=curve,
            progress=progress,
        )
    with torch.no_grad():
        moved = ([whole[part].to(generator.device) for whole in (text.tokens, text.mask)] for part in rows.split(256))
        codec.scaling.fit(torch.cat([codec.encode_raw(tokens, mask) for tokens, mask in moved]))
    return steps


def _rows(patients: PublicPatients, people: frozenset[int]) -> Tensor:
    return torch.from_numpy(np.asarray(patients.data.rows(patients.data.text_flow, people)))

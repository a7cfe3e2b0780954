"""What a record looks like to the generator: frozen features, computed once, cacheable (no gradient, no chance)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from medm2g.errors import InputInvalid
from medm2g.text_encoder import TextFeatures

if TYPE_CHECKING:
    from medm2g.generator import Generator

BATCH = 64  # images or texts per pass: bounds memory, changes nothing else


def encode_text(generator: Generator, texts: list[str]) -> TextFeatures:
    """Frozen text features of n texts; see `TextFeatures`. Equal texts are encoded once: reports repeat."""
    if not all(isinstance(text, str) for text in texts):
        raise InputInvalid("`texts` must be a list of strings.")
    place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    features = generator.text_encoder(list(place))
    if len(place) == len(texts):
        return features
    rows = torch.tensor([place[text] for text in texts])
    return TextFeatures(*(part[rows] for part in features))


@torch.no_grad()
def encode_image(generator: Generator, flow: str, images: Tensor) -> Tensor:
    """Unit images (n, 1, s, s) in [-1, 1] of one flow to scaled latents (n, c, h, w)."""
    codec = generator.image_codec(flow)
    parts = [codec.encode(part.to(generator.dtype)) for part in images.split(BATCH)]
    return torch.cat(parts) if parts else images.new_zeros(0, *generator.latent_shape(flow))


@torch.no_grad()
def encode_report(generator: Generator, features: TextFeatures) -> Tensor:
    """Frozen text features to the text flow's scaled latents (n, c, h, w)."""
    return generator.text_codec.encode(features.tokens, features.mask)


@torch.no_grad()
def decode_image(generator: Generator, flow: str, latents: Tensor) -> Tensor:
    """Scaled latents (n, c, h, w) to images (n, 1, s, s) in [-1, 1], without grain."""
    codec = generator.image_codec(flow)
    return torch.cat([codec.decode(part) for part in latents.split(BATCH)])


@torch.no_grad()
def grained(generator: Generator, flow: str, images: Tensor, white: Tensor) -> Tensor:
    """Decoded images (n, 1, s, s) and white noise of their shape to images with the grain that the codec left out."""
    grain = generator.image_codec(flow).grain
    return torch.cat([grain(*part) for part in zip(images.split(BATCH), white.split(BATCH), strict=True)])


@torch.no_grad()
def decode_text(
    generator: Generator, latents: Tensor, *, temperature: float = 0.0, random: torch.Generator | None = None
) -> list[str]:
    """The text flow's scaled latents to n reports; temperature 0 is greedy."""
    tokenizer = generator.text_encoder.tokenizer
    rows: list[list[int]] = []
    for part in latents.split(BATCH):
        rows += generator.text_codec.decode(
            part,
            generator.text_encoder.word_embeddings,
            start=tokenizer.cls_token_id,
            end=tokenizer.sep_token_id,
            temperature=temperature,
            generator=random,
        )
    return [tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=True) for row in rows]

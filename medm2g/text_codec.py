"""The report codec: a text to a *sequence* of latents and back (DESIGN.md §4.3).

Encoder: learned queries attend to the frozen text encoder's hidden states and give grid x grid latent tokens, each
normalised, laid out as (width, grid, grid) in raster order. Decoder: a small causal transformer that attends to those
tokens. It reads and writes through the encoder's frozen word embeddings, so no vocabulary weight is ever shipped.

The decoder's *adapter* is all of it that trains privately: a shift of what each position reads, along a few fixed
public directions. So a consortium's wording is learnt in as many numbers as its style.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medm2g.codec import LatentScaling
from medm2g.config import GeneratorConfig

ADAPTER_GAIN = 0.1
"""Length of one of the adapter's directions. Adapter and style share the steps of one group; where a decoder has
nothing to learn, the adapter's part of a step is noise, and with directions of length one it took a seventh of what the
style had gained (docs/LOG.md, 2026-11-25)."""


class Attention(nn.Module):
    """Multi-head attention, queries and memory apart."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(width, 2 * width)
        self.to_out = nn.Linear(width, width)

    def memory(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (b, heads, n, d)."""
        key, value = self.to_kv(tokens).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def forward(
        self, hidden: Tensor, memory: tuple[Tensor, Tensor], *, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """hidden (b, n, w); mask (b, 1, 1, m) boolean, True = attend.

        Written out, not fused: torch 2.13 has no batching rule for its fused attention on a CPU, so that under vmap
        (the private step) it runs patient by patient.
        """
        query, (key, value) = self._split(self.to_q(hidden)), memory
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5  # (b, heads, n, m)
        if causal:
            later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        attended = scores.softmax(-1) @ value
        return self.to_out(attended.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def feed_forward(width: int) -> nn.Sequential:
    """Four times as wide inside, GELU."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class LatentPooling(nn.Module):
    """Hidden states of a text (b, n, context) to latent tokens (b, grid^2, width), each of zero mean, unit variance."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width, places = config.text_decoder_width, config.text_latent_grid**2
        layers = config.text_pooling_layers
        self.project = nn.Linear(config.context_width, width)
        self.positions = nn.Parameter(torch.randn(config.context_length, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(places, width) * 0.5)
        self.norm = nn.LayerNorm(width)
        self.attend = nn.ModuleList(Attention(width, config.text_decoder_heads) for _ in range(layers))
        self.feed = nn.ModuleList(feed_forward(width) for _ in range(layers))
        self.out = nn.Linear(width, config.text_latent_width)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        memory = self.norm(self.project(tokens) + self.positions[: tokens.shape[1]])
        attend = mask.bool()[:, None, None, :]
        latents = self.queries.expand(tokens.shape[0], -1, -1)
        for attention, feed in zip(self.attend, self.feed, strict=True):
            latents = latents + attention(latents, attention.memory(memory), mask=attend)
            latents = latents + feed(latents)
        latents = self.out(latents)
        return F.layer_norm(latents, latents.shape[-1:])  # bounded, so latent noise cannot be outgrown


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the latents, feed-forward; norms first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attend_self = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.attend_latents = nn.LayerNorm(width), Attention(width, heads)
        self.feed = feed_forward(width)

    def forward(self, hidden: Tensor, latents: Tensor) -> Tensor:
        normed = self.norm1(hidden)
        hidden = hidden + self.attend_self(normed, self.attend_self.memory(normed), causal=True)
        hidden = hidden + self.attend_latents(self.norm2(hidden), self.attend_latents.memory(latents))
        return hidden + self.feed(hidden)

    def extend(self, hidden: Tensor, latents: tuple[Tensor, Tensor], past: tuple[Tensor, Tensor] | None) -> tuple:
        """One more position, hidden (b, 1, w), with keys and values kept; equals the last position of `forward`."""
        normed = self.norm1(hidden)
        key, value = self.attend_self.memory(normed)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        hidden = hidden + self.attend_self(normed, (key, value))
        hidden = hidden + self.attend_latents(self.norm2(hidden), latents)
        return hidden + self.feed(hidden), (key, value)


class TextCodec(nn.Module):
    """reports <-> latents (b, width, grid, grid). `embeddings` is always the frozen (vocabulary, context) matrix."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width = config.text_decoder_width
        self.grid, self.max_length = config.text_latent_grid, config.context_length
        self.pooling = LatentPooling(config)
        self.scaling = LatentScaling(config.text_latent_width)
        self.read_latents = nn.Linear(config.text_latent_width, width)
        self.latent_positions = nn.Parameter(torch.randn(self.grid**2, width) * 0.02)
        self.read_words = nn.Linear(config.context_width, width)
        self.word_positions = nn.Parameter(torch.randn(config.context_length, width) * 0.02)
        self.layers = nn.ModuleList(
            DecoderLayer(width, config.text_decoder_heads) for _ in range(config.text_decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.write_words = nn.Linear(width, config.context_width)
        self.adapter = nn.Parameter(torch.zeros(config.style_width))
        self.adapter_directions = nn.Linear(config.style_width, width, bias=False)
        nn.init.orthogonal_(self.adapter_directions.weight, gain=ADAPTER_GAIN)
        # Frozen word embeddings have a standard deviation of about 0.05: read and written as if it were near 1, the
        # loss after 100 steps is less than half (measured).
        with torch.no_grad():
            self.read_words.weight.mul_(config.context_width**0.5)
            self.write_words.weight.mul_(4.0)

    def encode_raw(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Hidden states (b, n, context) and mask (b, n) to raw latents (b, width, grid, grid)."""
        latents = self.pooling(tokens.to(self.read_words.weight.dtype), mask)
        return latents.transpose(1, 2).unflatten(2, (self.grid, self.grid))

    def encode(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Scaled latents (b, width, grid, grid): deterministic."""
        return self.scaling.normalise(self.encode_raw(tokens, mask)).contiguous()

    def teacher_forced(self, raw_latents: Tensor, ids: Tensor, embeddings: Tensor) -> Tensor:
        """Predicted next-word vectors (b, n-1, context) for ids (b, n); a vector's product with a word embedding is
        that word's logit."""
        hidden = self.read_words(embeddings[ids[:, :-1]]) + self.word_positions[: ids.shape[1] - 1]
        hidden = hidden + self._shift(len(ids))[:, None]
        memory = self._latent_memory(raw_latents)
        for layer in self.layers:
            hidden = layer(hidden, memory)
        return self.write_words(self.norm(hidden))

    def reconstruction_loss(
        self,
        raw_latents: Tensor,
        ids: Tensor,
        mask: Tensor,
        embeddings: Tensor,
        *,
        latent_noise: float = 0.0,
        negatives: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Mean cross-entropy (nats per word, per text: (b,)) of the text from its latents under teacher forcing.

        latent_noise: standard deviation of Gaussian noise on the latents, for a decoder that forgives the denoiser.
        negatives: score each word against the batch's own words and so many random ones (the full vocabulary of 30k
        costs 20 times the decoder on a CPU); None scores against all.
        """
        if latent_noise:
            noise = torch.randn(raw_latents.shape, generator=generator).to(raw_latents)
            raw_latents = raw_latents + latent_noise * noise
        predicted, targets = self.teacher_forced(raw_latents, ids, embeddings), ids[:, 1:]
        if negatives is not None:
            random = torch.randint(embeddings.shape[0], (negatives,), generator=generator).to(ids.device)
            candidates = torch.cat([ids.flatten(), random]).unique()
            targets, embeddings = torch.searchsorted(candidates, targets.contiguous()), embeddings[candidates]
        losses = F.cross_entropy((predicted @ embeddings.T).flatten(0, 1), targets.flatten(), reduction="none")
        weight = mask[:, 1:].to(losses.dtype)
        return (losses.view_as(weight) * weight).sum(1) / weight.sum(1).clamp_min(1)

    @torch.no_grad()
    def decode(
        self,
        latents: Tensor,
        embeddings: Tensor,
        *,
        start: int,
        end: int,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> list[list[int]]:
        """Scaled latents (b, width, grid, grid) to word ids, start and end left out; temperature 0 is greedy."""
        memory = self._latent_memory(self.scaling.restore(latents))
        memories = [layer.attend_latents.memory(memory) for layer in self.layers]
        pasts: list = [None] * len(self.layers)
        words = torch.full((latents.shape[0],), start, device=latents.device)
        writing = torch.arange(latents.shape[0])  # which texts have not ended: the others cost nothing more
        written: list[list[int]] = [[] for _ in range(latents.shape[0])]
        for position in range(self.max_length - 1):
            hidden = self.read_words(embeddings[words]) + self.word_positions[position] + self._shift(len(words))
            hidden = hidden[:, None]
            for index, layer in enumerate(self.layers):
                hidden, pasts[index] = layer.extend(hidden, memories[index], pasts[index])
            logits = self.write_words(self.norm(hidden[:, 0])) @ embeddings.T  # (still writing, vocabulary)
            words = _choose(logits, temperature, generator)
            goes_on = words != end
            if not bool(goes_on.all()):
                words, writing = words[goes_on], writing[goes_on.cpu()]
                memories, pasts = (
                    [(key[goes_on], value[goes_on]) for key, value in layers] for layers in (memories, pasts)
                )
            if not len(words):
                break
            for text, word in zip(writing.tolist(), words.tolist(), strict=True):
                written[text].append(word)
        return written

    def spelling_loss(
        self, latents: Tensor, ids: Tensor, mask: Tensor, negatives: Tensor, embeddings: Tensor
    ) -> Tensor:
        """Mean cross-entropy (nats per word, per text: (b,)) of each text from its scaled latents, teacher forced.

        ids, mask (b, n); negatives (b, m) ids of other words. A word competes with its own text's words and that text's
        negatives only: no text sees another, and every shape is fixed, as private training needs (`torch.func.vmap`).
        """
        predicted, targets = self.teacher_forced(self.scaling.restore(latents), ids, embeddings), ids[:, 1:]
        candidates = torch.cat([targets, negatives], 1)  # (b, n - 1 + m): each target is its own column
        logits = predicted @ embeddings[candidates].transpose(1, 2)  # (b, n - 1, n - 1 + m)
        own = torch.eye(targets.shape[1], candidates.shape[1], dtype=torch.bool, device=ids.device)
        same = (candidates[:, None] == targets[:, :, None]) & ~own  # the same word elsewhere is no rival
        shares = logits.masked_fill(same, torch.finfo(logits.dtype).min).log_softmax(-1)
        losses = -shares[..., : targets.shape[1]].diagonal(dim1=1, dim2=2)  # (b, n - 1)
        weight = mask[:, 1:].to(losses.dtype)
        return (losses * weight).sum(1) / weight.sum(1).clamp_min(1)

    def _shift(self, texts: int) -> Tensor:
        """(texts, width): what the adapter adds to every position."""
        return self.adapter_directions(self.adapter.expand(texts, -1))

    def _latent_memory(self, raw_latents: Tensor) -> Tensor:
        return self.read_latents(raw_latents.flatten(2).transpose(1, 2)) + self.latent_positions


def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature <= 0:
        return logits.max(-1).indices  # as argmax, which takes two to three times as long over a vocabulary
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]

"""Draws from one patient's own generator: records, timesteps, coins. And the public features that fill the gaps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from medm2g.generator import Generator
from medm2g.stages.source import PatientRecords


def choose_rows(count: int, wanted: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """At most `wanted` of `count` (>= 1) rows without repetition, padded to `wanted`.

    Returns rows (wanted,) and weights (wanted,): 0 marks padding, which repeats the first row.
    """
    rows = torch.randperm(count, generator=generator)[:wanted]
    weights = torch.zeros(wanted)
    weights[: len(rows)] = 1
    return torch.cat([rows, rows[:1].expand(wanted - len(rows))]), weights


def stratified_timesteps(
    records: int, draws: int, steps: int, *, noisier: float = 1.0, generator: torch.Generator
) -> Tensor:
    """(records * draws,) in [0, steps): each record's draws fall one into each of `draws` equally likely strata.

    noisier: exponent a of t = 1 - (1 - u)^a for uniform u; above 1, most draws are near pure noise.
    """
    places = (torch.arange(draws) + torch.rand(records, draws, generator=generator)) / draws
    if noisier != 1:
        places = 1 - (1 - places) ** noisier
    return (places * steps).long().clamp(max=steps - 1).flatten()


def coin(probability: float, *, generator: torch.Generator) -> bool:
    """True with that probability."""
    return bool(torch.rand((), generator=generator) < probability)


def normal(shape: tuple[int, ...], *, generator: torch.Generator) -> Tensor:
    """Standard normal float32."""
    return torch.randn(shape, generator=generator)


class TemplateFeatures:
    """Frozen features of public sentences, each encoded once."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._known: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def learn(self, sentences: Iterable[str]) -> None:
        """Encode these now, and the null text: whoever draws them later needs no network."""
        for sentence in ("", *sentences):
            self(sentence)

    def __call__(self, sentence: str) -> tuple[Tensor, Tensor, Tensor]:
        """tokens (64, 384) float16, mask (64,) uint8, pooled (384,); the empty sentence is the null text."""
        if sentence not in self._known:
            generator = self._generator
            features = generator.encode_text([sentence]) if sentence else generator.null_text
            self._known[sentence] = (features.tokens[0].cpu(), features.mask[0].cpu(), features.pooled[0].cpu())
        return self._known[sentence]


class Context:
    """The context of one row: a prompt, and beside it the aligned tokens of clean image sources."""

    def __init__(self, prompt: tuple[Tensor, Tensor]) -> None:
        self.tokens = [prompt[0].half()]
        self.masks = [prompt[1].float()]

    def add(self, tokens: Tensor, present: bool) -> None:
        """Aligned tokens (4, 384); masked where the source is not there."""
        self.tokens.append(tokens.half())
        self.masks.append(torch.full((len(tokens),), float(present)))

    def stacked(self) -> tuple[Tensor, Tensor]:
        """tokens (n, 384) and mask (n,)."""
        return torch.cat(self.tokens), torch.cat(self.masks)


def report_row(records: PatientRecords, flow: str, row: int) -> int:
    """Row of the report that belongs to an image record, or -1."""
    return int(records.report_of[flow][row]) if flow in records.report_of else -1


def sentence_of(records: PatientRecords, flow: str, row: int) -> str:
    """The public sentence of a record; empty where nothing is known."""
    sentences = records.templates.get(flow, ())
    return sentences[row] if row < len(sentences) else ""


def rows_beside(records: PatientRecords, flow: str, row: int, other: str) -> Tensor:
    """Rows of `other` that belong to the examination of this record; all of them where examinations are unknown."""
    if flow in records.imaging_study and other in records.imaging_study:
        return (records.imaging_study[other] == records.imaging_study[flow][row]).nonzero()[:, 0]
    return torch.arange(records.count(other))


@torch.no_grad()
def aligned_rows(generator: Generator, records: PatientRecords, flow: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Frozen embeddings (r, 384) and aligned tokens (r, 4, 384) of image records."""
    if flow in records.aligned:
        embeddings, tokens = records.aligned[flow]
        return embeddings[rows].float(), tokens[rows].float()
    found = generator.align(flow, records.images[flow][rows].float().to(generator.device))
    return found.embedding.cpu(), found.tokens.cpu()

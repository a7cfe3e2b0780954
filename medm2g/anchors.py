"""The public anchor bank: sentences that anyone could write, encoded by the frozen text encoder.

They are the negatives of the private contrastive losses. A bank that is fixed beforehand and public makes a patient's
loss depend on that patient alone (notes/privacy.md §2.5a), which no in-batch negative can.

Sentences of one domain crowd together in a general encoder (left and right effusion: cosine 0.98), so embeddings are
compared in the bank's own coordinates: centred on the bank, whitened along its principal directions. The map is
public too. `left` against `right` is a direction that recurs all over the bank, and whitening gives it its due.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from medm2g.errors import InputInvalid
from medm2g.templates import template

if TYPE_CHECKING:
    from medm2g.text_encoder import TextEncoder

DIRECTIONS = 64
"""Principal directions of the bank that the comparison keeps."""
SHRINKAGE = 0.1
"""Added to each variance, as a share of their mean: faint directions are not blown up without limit."""

_CHEST_SIDED = ("nodule", "consolidation", "pleural effusion", "pneumothorax")
_CHEST_OTHER = ("Cardiomegaly", "Normal heart size", "Clear lungs", "No acute cardiopulmonary abnormality")
_HEAD_SIDED = ("tumour", "mass", "intracranial haemorrhage", "white matter lesions")
_HEAD_OTHER = ("Enlarged ventricles", "Normal ventricles", "No acute intracranial abnormality", "Normal brain")
_SIZES = ("small", "large")
_SIDES = ("left", "right")
_CHEST = ("chest X-ray", "CT of the chest")
_HEAD = ("CT of the head", "MRI of the brain")
_CHEST_EXAMS = ("Chest radiograph", "CT of the chest")
_HEAD_EXAMS = ("CT of the head", "MRI of the head")
_OTHER_PARTS = ("abdomen", "pelvis", "spine", "knee", "hand", "breast", "heart")


def anchor_sentences() -> tuple[str, ...]:
    """Every public sentence: what kind of record it may be, and each finding by side and size, at each examination."""
    sentences = [template("xray", body_part="chest", view_position=view) for view in ("", "PA", "AP", "LATERAL")]
    sentences += [template("ct", body_part=part) for part in ("chest", "head", *_OTHER_PARTS)]
    sentences += [template("xray", body_part=part) for part in _OTHER_PARTS]
    sentences += [
        template(flow, body_part=part) for flow in ("mri_t1", "mri_t2", "mri_flair") for part in ("brain", "head")
    ]
    for places, sided, other in ((_CHEST, _CHEST_SIDED, _CHEST_OTHER), (_HEAD, _HEAD_SIDED, _HEAD_OTHER)):
        sentences += [f"{finding} on {place}." for finding in other for place in places]
        sentences += [f"{side.capitalize()} {finding}." for finding in sided for side in _SIDES]
        sentences += [f"No {finding} on {place}." for finding in sided for place in places]
        sentences += [
            f"{size.capitalize()} {side} {finding} on {place}."
            for finding in sided
            for side in _SIDES
            for size in _SIZES
            for place in places
        ]
    sentences += _reports(_CHEST_EXAMS, _CHEST_SIDED, _CHEST_OTHER) + _reports(_HEAD_EXAMS, _HEAD_SIDED, _HEAD_OTHER)
    return tuple(dict.fromkeys(sentences))


def _reports(exams: Sequence[str], sided: Sequence[str], other: Sequence[str]) -> list[str]:
    """Short public reports: without them any report is nearer to any report than to an anchor, and nothing is asked
    of an image but to be one that has a report."""
    found = [
        (f"{size.capitalize()} {side} {finding}", f"{side} {finding}")
        for finding in sided
        for side in _SIDES
        for size in _SIZES
    ]
    found += [(f"{finding}. No other abnormality", finding.lower()) for finding in other]
    styles = ("{exam}. Findings: {finding}. Impression: {short}.", "{exam}. {finding}. In summary: {short}.")
    return [
        style.format(exam=exam, finding=finding, short=short)
        for finding, short in found
        for exam, style in zip(exams, styles, strict=True)
    ]


@dataclass(frozen=True)
class AnchorBank:
    """n public sentences as points of the shared space, and the coordinates in which points are compared."""

    sentences: tuple[str, ...]
    embeddings: Tensor
    """(n, 384), unit norm."""
    centre: Tensor
    """(384,)"""
    whitening: Tensor
    """(384, directions)"""
    token_norm: float
    """Length of a sentence's mean hidden state, on average: the scale of tokens that are to read like text."""

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the sentences."""
        return hashlib.sha256("\n".join(self.sentences).encode()).hexdigest()

    def coordinates(self, embeddings: Tensor) -> Tensor:
        """Points (..., 384) of the shared space as unit vectors (..., directions)."""
        return F.normalize((embeddings - self.centre.to(embeddings)) @ self.whitening.to(embeddings), dim=-1)


@torch.no_grad()
def build_anchors(
    encoder: TextEncoder, sentences: Sequence[str] | None = None, *, directions: int = DIRECTIONS
) -> AnchorBank:
    """Encode the sentences (default: `anchor_sentences()`). Raises InputInvalid for fewer than two different ones."""
    chosen = tuple(dict.fromkeys(anchor_sentences() if sentences is None else sentences))
    if len(chosen) < 2:
        raise InputInvalid("An anchor bank needs at least two different public sentences: give more.")
    features = encoder(list(chosen))
    embeddings = features.pooled
    means = features.tokens.float().sum(1) / features.mask.float().sum(1, keepdim=True)
    centre = embeddings.mean(0)
    _, spread, axes = torch.linalg.svd((embeddings - centre).double(), full_matrices=False)
    kept = min(directions, len(chosen) - 1)
    variances = spread[:kept].square() / len(chosen)
    whitening = axes[:kept].T / (variances + SHRINKAGE * variances.mean()).sqrt()
    return AnchorBank(chosen, embeddings, centre, whitening.float(), float(means.norm(dim=-1).mean()))

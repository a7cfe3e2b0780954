"""Image and text in the unified space: how often an image's own report is among the k nearest, and the reverse."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

RANKS = (1, 5, 10)


def recall_at(
    images: Tensor, texts: Tensor, reports: Sequence[str], *, ranks: Sequence[int] = RANKS
) -> dict[str, dict[int, float]]:
    """images, texts (n, width): points of records and of their reports, row by row; reports: the words themselves.

    Equal reports are one answer: an image may find any of them. Gives `image_to_text` and `text_to_image` by rank, and
    `chance`, what random order would reach. Raises ValueError for sets that do not fit together.
    """
    if images.shape != texts.shape or images.ndim != 2 or len(images) != len(reports):
        raise ValueError("each image needs its report's point beside it, (n, width) both, and its words")
    place = {text: number for number, text in enumerate(dict.fromkeys(reports))}
    kind = torch.tensor([place[text] for text in reports])
    right = kind[:, None] == kind[None]  # (images, texts)
    near = F.normalize(images.float(), dim=-1) @ F.normalize(texts.float(), dim=-1).T
    return {
        "image_to_text": {rank: _share(near, right, rank) for rank in ranks},
        "text_to_image": {rank: _share(near.T, right.T, rank) for rank in ranks},
        "chance": {rank: _chance(right, rank) for rank in ranks},
    }


def _share(near: Tensor, right: Tensor, rank: int) -> float:
    nearest = near.topk(min(rank, near.shape[1]), dim=1).indices
    return float(right.gather(1, nearest).any(1).float().mean())


def _chance(right: Tensor, rank: int) -> float:
    """Of `rank` answers drawn without repetition, at least one of each row's right ones."""
    count, answers = len(right), right.sum(1).double()
    missed = torch.ones_like(answers)
    for drawn in range(min(rank, count)):
        missed = missed * ((count - answers - drawn).clamp_min(0) / (count - drawn))
    return float((1 - missed).mean())

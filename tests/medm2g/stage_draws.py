"""What the tests of the stages draw from and look at."""

from __future__ import annotations

import torch
from torch import Tensor

from medm2g.stages import Stage, Term

SITE = ("xray", "ct", "text")
COUNTS = {
    "paired": {"xray": 2, "ct": 1, "text": 1},
    "other": {"xray": 1, "ct": 3, "text": 2},
    "no-report": {"xray": 1, "ct": 1},
    "one-flow": {"ct": 2},
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(stage: Stage, name: str, seed: int = 0) -> list[Term]:
    return stage.draw(name, generator=seeded(seed))


def gradients(stage: Stage, term: Term) -> dict[str, Tensor]:
    """Of everything in the generator that can take one."""
    generator = stage.generator
    names = [name for name, value in generator.named_parameters() if not name.startswith("text_encoder")]
    known = dict(generator.named_parameters())
    leaves = {name: known[name].detach().clone().requires_grad_() for name in names}
    value = stage.loss(term.kind, leaves, term.tensors)
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}

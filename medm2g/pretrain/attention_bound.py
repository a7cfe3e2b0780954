"""A bound on attention logits while a denoiser is trained: QK-clip (Kimi K2, arXiv 2507.20534, §2.1).

Muon's steps make every singular value of a weight matrix grow alike, queries' and keys' too, and a head that is
certain of one token passes no gradient on by which that could change; nearly all of CT's were (docs/LOG.md,
2026-12-01, where the bound alone helped a little, and was not tried without the other changes on any other flow). So a
head whose largest logit, measured on a batch, is above the bound has its queries and keys scaled down to it. What is
read at inference is a plain attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

LARGEST = 10.0
"""Of a logit, from the mean of its row: e^10 to one is as good as certain, and can still be unlearnt."""
EVERY = 10
"""Steps from one measurement to the next."""
_ROWS = 16
"""Of a batch, that are measured."""


class AttentionBound:
    """Measures a denoiser's heads in some steps' own passes, and scales them before the step that follows."""

    def __init__(self, denoiser: nn.Module, *, largest: float = LARGEST, every: int = EVERY) -> None:
        self.largest, self.every = largest, every
        self._attentions = [module for module in denoiser.modules() if isinstance(module, Attention)]
        self._seen: list[tuple[Attention, Tensor, Tensor]] = []

    def bounded(self, batch_loss: Callable[[int], Tensor]) -> Callable[[int], Tensor]:
        """The same losses, of a denoiser that is kept within the bound."""

        def loss(step: int) -> Tensor:
            self._scale()  # before a pass: backward of the last one needed its weights
            if step % self.every:
                return batch_loss(step)
            watching = [module.register_forward_hook(self._watch, with_kwargs=True) for module in self._attentions]
            try:
                return batch_loss(step)
            finally:
                for handle in watching:
                    handle.remove()

        return loss

    def _watch(self, module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], _: object) -> None:
        assert isinstance(module, Attention)
        hidden = given[0] if given else named["hidden_states"]
        context = named.get("encoder_hidden_states")
        hidden = hidden.detach()[:_ROWS]
        self._seen.append((module, hidden, hidden if context is None else context.detach()[:_ROWS]))

    @torch.no_grad()
    def _scale(self) -> None:
        for module, hidden, context in self._seen:
            largest = largest_logits(module, hidden, context)
            factor = (self.largest / largest).clamp(max=1).sqrt()
            for layer in (module.to_q, module.to_k):
                layer.weight.view(module.heads, -1, layer.weight.shape[1]).mul_(factor[:, None, None])
        self._seen = []


@torch.no_grad()
def largest_logits(module: Attention, hidden: Tensor, context: Tensor) -> Tensor:
    """(heads,): how far a logit of each head lies from the mean of its row, at most; masked places count as well.

    hidden (b, n, c), context (b, m, d).
    """
    queries, keys = (
        part.unflatten(-1, (module.heads, -1)).transpose(1, 2) for part in (module.to_q(hidden), module.to_k(context))
    )  # (b, heads, n or m, width)
    logits = queries @ keys.mT / math.sqrt(queries.shape[-1])
    return (logits - logits.mean(-1, keepdim=True)).abs().amax((0, 2, 3))

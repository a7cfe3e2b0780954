"""The bound on attention logits: heads above it come down to it, others and the measured losses stay as they are."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from medm2g.pretrain.attention_bound import AttentionBound, largest_logits


class Listener(nn.Module):
    """One attention over a context, as a denoiser has it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = Attention(query_dim=16, cross_attention_dim=24, heads=2, dim_head=8)

    def forward(self, hidden: Tensor, context: Tensor) -> Tensor:
        return self.attention(hidden, encoder_hidden_states=context)


@pytest.fixture
def given() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(4, 6, 16, generator=random), torch.randn(4, 9, 24, generator=random)


def test_a_head_that_is_certain_comes_down_to_the_bound_before_the_next_step(given: tuple[Tensor, Tensor]) -> None:
    listener = Listener()
    with torch.no_grad():
        listener.attention.to_q.weight[:8] *= 400  # the first head
    quiet = [layer.weight[8:].clone() for layer in (listener.attention.to_q, listener.attention.to_k)]
    expected = listener(*given).square().mean()
    largest = largest_logits(listener.attention, *given)
    assert largest[0] > 20 and largest[1] < 10
    loss = AttentionBound(listener, largest=10, every=3).bounded(lambda step: listener(*given).square().mean())
    loss(0).backward()  # measured, and its own loss and gradient are of the weights as they were
    torch.testing.assert_close(loss_of(listener, given), expected)
    loss(1)
    after = largest_logits(listener.attention, *given)
    torch.testing.assert_close(after[0], torch.tensor(10.0), rtol=1e-4, atol=0)
    for layer, before in zip((listener.attention.to_q, listener.attention.to_k), quiet, strict=True):
        assert torch.equal(layer.weight[8:], before)
    ratio = [layer.weight[:8].norm() for layer in (listener.attention.to_q, listener.attention.to_k)]
    assert ratio[0] > ratio[1]  # both gave alike


def test_it_looks_at_every_so_manyth_step_only(given: tuple[Tensor, Tensor]) -> None:
    listener = Listener()
    loss = AttentionBound(listener, largest=10, every=3).bounded(lambda step: listener(*given).square().mean())
    for step in (1, 2):
        with torch.no_grad():
            listener.attention.to_q.weight.fill_(9.0)
        loss(step)
    loss(4)
    assert bool((listener.attention.to_q.weight == 9.0).all())


def loss_of(listener: Listener, given: tuple[Tensor, Tensor]) -> Tensor:
    return listener(*given).square().mean()

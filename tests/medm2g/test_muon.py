"""Muon: every direction of a matrix is learnt alike, and what is not a matrix is left to AdamW."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.loop import PhaseBudget, PhaseSettings, run_phase
from medm2g.pretrain.muon import Muon, matrices_of, orthogonalised


@pytest.mark.parametrize("shape", [(3, 8, 40), (3, 40, 8), (1, 16, 16)])
def test_singular_values_become_about_one_and_directions_stay(shape: tuple[int, ...]) -> None:
    left, values, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.logspace(0, -2, values.shape[-1]).expand_as(values)  # a hundred times from first to last
    made = orthogonalised(left * values[:, None] @ right)
    assert made.shape == shape
    turned = left.mT @ made @ right.mT
    found = torch.diagonal(turned, dim1=1, dim2=2)
    assert 0.5 < found.min() and found.max() < 1.3
    torch.testing.assert_close(turned, torch.diag_embed(found), atol=1e-3, rtol=0)


def test_a_matrix_of_zeros_stays_one() -> None:
    assert torch.equal(orthogonalised(torch.zeros(1, 8, 9)), torch.zeros(1, 8, 9))


def test_a_kernel_moves_as_its_matrix_by_the_rate_and_the_root_of_its_shape() -> None:
    kernel, tall = nn.Parameter(torch.zeros(8, 4, 3, 3)), nn.Parameter(torch.zeros(32, 8))
    optimizer = Muon([kernel, tall], 0.1)
    kernel.grad, tall.grad = torch.randn(8, 4, 3, 3), torch.randn(32, 8)
    optimizer.step()
    # a first step: gradient and mean point the same way, so the momentum changes the length alone
    expected = -0.1 * orthogonalised(kernel.grad.flatten(1)[None])[0].view_as(kernel)
    torch.testing.assert_close(kernel.data, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(tall.data, -0.2 * orthogonalised(tall.grad[None])[0], atol=1e-5, rtol=1e-4)


def test_what_has_no_gradient_stays_and_decay_shrinks_the_rest() -> None:
    still, moved = nn.Parameter(torch.ones(8, 8)), nn.Parameter(torch.ones(8, 8))
    optimizer = Muon([still, moved], 0.1, weight_decay=0.5)
    moved.grad = torch.zeros(8, 8)
    optimizer.step()
    assert torch.equal(still.data, torch.ones(8, 8))
    torch.testing.assert_close(moved.data, torch.full((8, 8), 0.95))


def test_the_mean_of_gradients_outlives_one_of_them() -> None:
    parameter = nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([parameter], 1.0)
    parameter.grad = torch.eye(8)
    optimizer.step()
    before = parameter.data.clone()
    parameter.grad = torch.zeros(8, 8)
    optimizer.step()
    assert torch.diagonal(parameter.data - before).max() < -0.5


def test_matrices_are_weights_of_layers_that_train_and_are_large_enough() -> None:
    module = nn.Module()
    module.wide, module.narrow = nn.Linear(16, 8), nn.Linear(16, 4)
    module.kernel, module.frozen = nn.Conv2d(2, 8, 3), nn.Linear(8, 8)
    module.frozen.requires_grad_(False)
    module.table, module.embedding = nn.Parameter(torch.zeros(16, 16)), nn.Embedding(16, 16)
    module.norm = nn.LayerNorm(16)
    assert [id(weight) for weight in matrices_of(module)] == [id(module.wide.weight), id(module.kernel.weight)]


def test_a_phase_moves_its_matrices_by_muon_and_all_else_by_adamw_at_rates_that_fall(tmp_path: Path) -> None:
    layer, lengths = nn.Linear(8, 8), []
    before = layer.weight.detach().clone(), layer.bias.detach().clone()

    def batch_loss(step: int) -> torch.Tensor:
        lengths.append(float((layer.weight.detach() - before[0]).norm()))
        return (layer.weight * torch.eye(8)).sum() + layer.bias.sum()

    run_phase(
        "phase",
        list(layer.parameters()),
        matrices=matrices_of(layer),
        batch_loss=batch_loss,
        validation_loss=lambda: 0.0,
        settings=PhaseSettings(learning_rate=0.01, batch_size=1, matrix_rate=0.5, weight_decay=0.0, warmup=0.0),
        budget=PhaseBudget(steps=4),
        curve=CurveWriter(tmp_path / "curve.csv"),
    )
    bias = layer.bias.detach() - before[1]
    assert 0.01 < float(-bias.max()) and float(-bias.min()) < 0.04  # four steps of at most AdamW's rate
    steps = [later - sooner for sooner, later in zip(lengths, lengths[1:], strict=False)]
    assert 0.35 < steps[0] / 8**0.5 < 0.65 and steps[-1] < 0.7 * steps[0]  # Muon's rate in every direction, then less

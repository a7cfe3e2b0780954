"""The server's optimizer is torch's on the same gradients, per group; the rate falls linearly; the average lags."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from protocol.study import OptimizerSpec, StageSpec
from server.optimizer import ServerOptimizer, average, learning_rate

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_steps_equal_torch_on_minus_the_update(name: str) -> None:
    start = RNG.standard_normal((5, 3)).astype(np.float32)
    updates = [1e-3 * RNG.standard_normal((5, 3)).astype(np.float32) for _ in range(6)]
    ours = {"w": start.copy()}
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = (
        torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99), eps=1e-12)
        if name == "adam"
        else torch.optim.SGD([theirs], lr=1e-2)
    )
    server = ServerOptimizer(OptimizerSpec(name=name))
    for update in updates:
        server.apply("alignment/ct", ours, {"w": update}, learning_rate=1e-2)
        theirs.grad = -torch.from_numpy(update)
        optimizer.step()
    np.testing.assert_allclose(ours["w"], theirs.detach().numpy(), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("length", [0.5, 8.0])
def test_a_longer_update_is_scaled_to_the_bound_over_the_whole_group_and_a_shorter_one_left(length: float) -> None:
    server = ServerOptimizer(OptimizerSpec(name="sgd", max_update_norm=2.0))
    update = {"w": np.array([3.0, 0.0], dtype=np.float32), "b": np.array([4.0], dtype=np.float32)}
    update = {name: np.float32(length / 5) * array for name, array in update.items()}
    group = {name: np.zeros_like(array) for name, array in update.items()}
    server.apply("diffusion/ct", group, update, learning_rate=0.1)
    moved = np.concatenate([group["w"], group["b"]])
    np.testing.assert_allclose(moved, 0.1 * min(length, 2.0) / 5 * np.array([3.0, 0.0, 4.0]), rtol=1e-5)


def test_a_group_that_was_not_trained_keeps_its_count_and_moments() -> None:
    server = ServerOptimizer(OptimizerSpec())
    groups = {name: {"w": np.zeros(3, dtype=np.float32)} for name in ("a/x", "b/x")}
    update = {"w": np.ones(3, dtype=np.float32)}
    for turn in range(4):
        server.apply("a/x", groups["a/x"], update, learning_rate=0.1)
        if turn == 0:
            server.apply("b/x", groups["b/x"], update, learning_rate=0.1)
    assert (server.moments["a/x"].step, server.moments["b/x"].step) == (4, 1)
    np.testing.assert_allclose(groups["b/x"]["w"], 0.1, rtol=1e-5)  # Adam's first step has the length of the rate


def test_the_rate_falls_linearly_from_the_stage_s_to_its_final_fraction() -> None:
    stage, optimizer = StageSpec(name="align", rounds=5, learning_rate=1.0), OptimizerSpec()
    rates = [learning_rate(stage, optimizer, round_number=number) for number in range(1, 6)]
    np.testing.assert_allclose(rates, np.linspace(1.0, 0.05, 5))
    single = StageSpec(name="align", rounds=1, learning_rate=1.0)
    assert learning_rate(single, optimizer, round_number=1) == 1.0


def test_the_average_moves_a_tenth_of_the_way_at_decay_nine_tenths() -> None:
    ema, last = {"w": np.zeros(2, dtype=np.float32)}, {"w": np.ones(2, dtype=np.float32)}
    average(ema, last, decay=0.9)
    np.testing.assert_allclose(ema["w"], 0.1, rtol=1e-6)

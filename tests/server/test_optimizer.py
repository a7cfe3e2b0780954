"""The server's optimizer is torch's on the same gradients, per group; the rate falls linearly; the average lags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from protocol.study import OptimizerSpec, StageSpec
from server.optimizer import average, learning_rate
from server.run_store import RunState, RunStore
from server.tensor_file import StoredArrays, TensorFile, TensorWriter

RNG = np.random.default_rng(11)


Update = dict[str, np.ndarray]


class Keeper:
    """Some groups of zeros in a run folder, and the state over them."""

    def __init__(self, folder: Path, **groups: Update) -> None:
        self.store = RunStore(folder)
        initial = {}
        for name, arrays in groups.items():
            path = folder / f"{name}.start"
            with TensorWriter(path, {key: array.shape for key, array in arrays.items()}, {}) as writer:
                for key, array in arrays.items():
                    writer.put(key, array)
            initial[name] = StoredArrays(TensorFile(path))
        self.state = RunState.begin("study", self.store, initial)
        self.initial = initial

    def round(self, spec: OptimizerSpec, rate: float, **means: Update) -> None:
        copies = {name: {key: array.copy() for key, array in mean.items()} for name, mean in means.items()}
        self.state.apply(copies, spec, learning_rate=rate, flow_rates={}, ema_decay=0.9)
        self.state.finished["align"] = self.state.finished.get("align", 0) + 1
        self.store.commit(self.state)

    def reload(self) -> None:
        self.state = RunStore(self.store.path.parent).load(study_digest="study", groups=dict(self.initial))


@pytest.mark.parametrize("reload", [False, True])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_steps_equal_torch_on_minus_the_update(name: str, reload: bool, tmp_path: Path) -> None:
    start = RNG.standard_normal((5, 3)).astype(np.float32)
    updates = [1e-3 * RNG.standard_normal((5, 3)).astype(np.float32) for _ in range(6)]
    ours = Keeper(tmp_path, group={"w": start})
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = (
        torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99), eps=1e-12)
        if name == "adam"
        else torch.optim.SGD([theirs], lr=1e-2)
    )
    averaged = start.copy()
    for update in updates:
        ours.round(OptimizerSpec(name=name), 1e-2, group={"w": update})
        if reload:
            ours.reload()
        theirs.grad = -torch.from_numpy(update)
        optimizer.step()
        averaged = 0.9 * averaged + 0.1 * theirs.detach().numpy()
    np.testing.assert_allclose(ours.state.groups["group"]["w"], theirs.detach().numpy(), rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(ours.state.ema["group"]["w"], averaged, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("length", [0.5, 8.0])
def test_a_longer_update_is_scaled_to_the_bound_over_the_whole_group_and_a_shorter_one_left(
    length: float, tmp_path: Path
) -> None:
    update = {"b": np.array([4.0], dtype=np.float32), "w": np.array([3.0, 0.0], dtype=np.float32)}
    update = {name: np.float32(length / 5) * array for name, array in update.items()}
    ours = Keeper(tmp_path, group={name: np.zeros_like(array) for name, array in update.items()})
    ours.round(OptimizerSpec(name="sgd", max_update_norm=2.0), 0.1, group=update)
    moved = np.concatenate([ours.state.groups["group"]["w"], ours.state.groups["group"]["b"]])
    np.testing.assert_allclose(moved, 0.1 * min(length, 2.0) / 5 * np.array([3.0, 0.0, 4.0]), rtol=1e-5)


@pytest.mark.parametrize("length", [1e-6, 40.0])
def test_a_normalised_step_moves_a_group_by_the_learning_rate_however_long_its_update_is(
    length: float, tmp_path: Path
) -> None:
    update = {"b": np.array([4.0], dtype=np.float32), "w": np.array([3.0, 0.0], dtype=np.float32)}
    update = {name: np.float32(length / 5) * array for name, array in update.items()}
    ours = Keeper(tmp_path, group={name: np.zeros_like(array) for name, array in update.items()})
    ours.round(OptimizerSpec(name="normalised_sgd"), 0.1, group=update)
    moved = np.concatenate([ours.state.groups["group"]["w"], ours.state.groups["group"]["b"]])
    np.testing.assert_allclose(moved, 0.1 / 5 * np.array([3.0, 0.0, 4.0]), rtol=1e-5)


def test_an_update_of_zeros_moves_nothing_when_it_is_normalised(tmp_path: Path) -> None:
    ours = Keeper(tmp_path, group={"w": np.ones(2, np.float32)})
    ours.round(OptimizerSpec(name="normalised_sgd"), 0.1, group={"w": np.zeros(2, np.float32)})
    np.testing.assert_array_equal(ours.state.groups["group"]["w"], 1.0)


def test_a_group_that_was_not_trained_keeps_its_count_and_moments(tmp_path: Path) -> None:
    ours = Keeper(tmp_path, ax={"w": np.zeros(3, np.float32)}, bx={"w": np.zeros(3, np.float32)})
    update = {"w": np.ones(3, dtype=np.float32)}
    for turn in range(4):
        ours.round(OptimizerSpec(), 0.1, **({"ax": update, "bx": update} if turn == 0 else {"ax": update}))
    assert (ours.state.trained["ax"].step, ours.state.trained["bx"].step) == (4, 1)
    np.testing.assert_allclose(ours.state.groups["bx"]["w"], 0.1, rtol=1e-5)  # Adam's first step is as long as the rate


def test_a_step_opens_as_many_files_for_a_hundred_tensors_as_for_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, real = [], RunStore.file
    monkeypatch.setattr(RunStore, "file", lambda store, name: (opened.append(name), real(store, name))[1])
    counts = []
    for tensors in (2, 100):
        update = {f"w{number:03d}": np.ones(3, np.float32) for number in range(tensors)}
        (tmp_path / str(tensors)).mkdir()
        ours = Keeper(tmp_path / str(tensors), group=update)
        ours.round(OptimizerSpec(), 0.1, group=update)
        opened.clear()
        ours.round(OptimizerSpec(), 0.1, group=update)
        counts.append(len(opened))
    assert counts[0] == counts[1] > 0


def test_the_rate_falls_linearly_from_the_stage_s_to_its_final_fraction() -> None:
    stage, optimizer = StageSpec(name="align", rounds=5, learning_rate=1.0), OptimizerSpec()
    rates = [learning_rate(stage, optimizer, round_number=number) for number in range(1, 6)]
    np.testing.assert_allclose(rates, np.linspace(1.0, 0.05, 5))
    single = StageSpec(name="align", rounds=1, learning_rate=1.0)
    assert learning_rate(single, optimizer, round_number=1) == 1.0


def test_the_average_moves_a_tenth_of_the_way_at_decay_nine_tenths() -> None:
    ema = np.zeros(2, dtype=np.float32)
    average(ema, np.ones(2, dtype=np.float32), decay=0.9)
    np.testing.assert_allclose(ema, 0.1, rtol=1e-6)

"""Work that leaves the process: it gives what it gives in place, only what it trains comes back, and errors are heard.

An accelerator is not at hand in tests, so the processor stands for it: everything but the moving is the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from medm2g.errors import ConfigInvalid, InputInvalid
from medm2g.pretrain import Machine, pretrain
from medm2g.pretrain.draws import StageBatches
from medm2g.pretrain.loop import random_of
from tests.medm2g.test_pretrain import _data, _state, fresh

__all__ = ["fresh"]


class Elsewhere(Machine):
    """As if the processor were a device apart."""

    @property
    def elsewhere(self) -> bool:
        return True


def test_every_phase_gives_elsewhere_what_it_gives_here(fresh: Callable, tmp_path: Path) -> None:
    steps = {"codec": 3, "text_codec": 2, "align": 4, "trunks": 7, "guide": 3}
    here, there = (
        pretrain(fresh(), _data(), out=tmp_path / name, steps=steps, seed=5, machine=machine)
        for name, machine in (("here", Machine(cores=1)), ("there", Elsewhere(cores=4)))
    )
    born = _state(fresh())
    for name, value in _state(here).items():
        torch.testing.assert_close(_state(there)[name], value, atol=1e-4, rtol=1e-3)
    assert sum(not torch.equal(value, born[name]) for name, value in _state(there).items()) > 300
    curves = [(tmp_path / name / "curve.csv").read_text().splitlines() for name in ("here", "there")]
    assert sorted(row.split(",")[0] for row in curves[0]) == sorted(row.split(",")[0] for row in curves[1])


def test_only_what_trains_comes_back_and_the_result_with_it() -> None:
    network = nn.ModuleDict({"own": nn.BatchNorm1d(3), "other": nn.Linear(2, 2)})
    before, told, home = network["other"].weight.detach().clone(), [], os.getpid()
    network.to = lambda device: network._apply(torch.clone)  # memory of its own, as on a device

    def work(progress: Callable) -> tuple[int, torch.Tensor]:
        progress("phase", 0.5, 1.0)
        with torch.no_grad():
            network["own"].weight.fill_(7.0)
            network["own"].running_mean.fill_(8.0)
            network["other"].weight.fill_(9.0)
        return os.getpid(), torch.arange(5)

    process, found = Elsewhere().run(
        work, moves=[network], trains=[network["own"]], progress=lambda *values: told.append(values)
    )
    assert process != home and found.tolist() == [0, 1, 2, 3, 4] and told == [("phase", 0.5, 1.0)]
    assert network["own"].weight.tolist() == [7.0] * 3 and network["own"].running_mean.tolist() == [8.0] * 3
    assert torch.equal(network["other"].weight, before)
    assert Machine().run(lambda _: os.getpid(), moves=[network], trains=[]) == home


def test_an_error_and_a_death_are_heard() -> None:
    def fails(progress: object) -> None:
        raise InputInvalid("planted")

    def dies(progress: object) -> None:
        os._exit(3)

    with pytest.raises(InputInvalid, match="planted"):
        Elsewhere().run(fails, moves=[], trains=[])
    with pytest.raises(RuntimeError, match="exit code 3"):
        Elsewhere().run(dies, moves=[], trains=[])


def test_batches_drawn_ahead_are_those_drawn_when_asked_for(fresh: Callable) -> None:
    from medm2g.pretrain import PublicPatients
    from medm2g.pretrain.diffuse import PublicDiffuseLoss
    from medm2g.pretrain.styles import HospitalStyles

    generator, data = fresh(), _data()
    patients = PublicPatients(generator, data)
    patients.encode()
    styles = HospitalStyles(generator, 1)
    stage = PublicDiffuseLoss(generator, patients, flows=generator.flows, styles=styles)
    people = data.split(0.25, seed=1)[0]
    asked, ahead = (
        StageBatches(stage, patients, ["xray", "text"], people, batch_size=4, seed=3, workers=workers)
        for workers in (0, 2)
    )
    with torch.no_grad():
        for step in range(5):
            torch.testing.assert_close(ahead.loss(step), asked.loss(step))
    places = ((3, 1), (3, 2), (1, 3), (1, 1))
    seeds = [random_of(*place).initial_seed() for place in places]
    assert len(set(seeds)) == 4 and seeds == [random_of(*place).initial_seed() for place in places]


def test_a_device_that_is_not_there_is_refused() -> None:
    assert Machine.named("cpu", 3) == Machine(torch.device("cpu"), 3)
    for name, words in (("gpu", "choose cpu or cuda"), ("meta", "choose cpu or cuda")):
        with pytest.raises(ConfigInvalid, match=words):
            Machine.named(name, 2)
    if not torch.cuda.device_count():
        with pytest.raises(ConfigInvalid, match="no CUDA device"):
            Machine.named("cuda", 2)

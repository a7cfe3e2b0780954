"""A run that stopped goes on as if it had not; what is damaged or incomplete is never trained on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.digests import digest_folder
from server.app import StudyResult
from server.errors import CheckpointFailed, CheckpointInvalid
from server.tensor_file import TensorFile, TensorWriter
from tests.server.conftest import MakeSites, MakeStudy, groups_in, same


def test_a_run_stopped_after_any_round_and_resumed_equals_the_uninterrupted_one(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    whole = play("whole")
    for stop in range(1, 7):
        sites = fake_sites(make_study())  # hospitals stay up while the coordinator restarts
        stopped = play(f"stop-{stop}", sites=sites, stop_after=stop)
        assert not stopped.completed
        assert stopped.generator is None
        resumed = play(f"stop-{stop}", sites=sites, resume=True)
        assert same(groups_in(resumed), groups_in(whole))
        assert [(r.stage, r.round_number, r.learning_rate) for r in resumed.records] == [
            (r.stage, r.round_number, r.learning_rate) for r in whole.records
        ]
        assert resumed.generator is not None
        assert whole.generator is not None
        assert digest_folder(resumed.generator) == digest_folder(whole.generator)


def test_a_crash_between_the_line_and_the_checkpoint_repeats_the_round_and_writes_it_once(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = play("whole")
    sites = fake_sites(make_study())
    play("crash", sites=sites, stop_after=3)
    with monkeypatch.context() as patch:
        patch.setattr("server.run_store._flush", _full_disk)
        with pytest.raises(CheckpointFailed, match="No space left on device.*make room"):
            play("crash", sites=sites, resume=True)
    resumed = play("crash", sites=sites, resume=True)
    assert same(groups_in(resumed), groups_in(whole))
    assert len(resumed.records) == 7


def _full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_in_the_middle_of_a_file_leaves_the_round_before_and_no_half_file(
    play: Callable[..., StudyResult],
    make_study: MakeStudy,
    fake_sites: MakeSites,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    whole = play("whole")
    sites = fake_sites(make_study())
    play("full", sites=sites, stop_after=3)
    written = []
    put = TensorWriter.put

    def full_after_five(self: TensorWriter, name: str, array: np.ndarray) -> None:
        written.append(name)
        if len(written) > 5:
            _full_disk()
        put(self, name, array)

    with monkeypatch.context() as patch:
        patch.setattr(TensorWriter, "put", full_after_five)
        with pytest.raises(CheckpointFailed):
            play("full", sites=sites, resume=True)
    left = {path.name for path in (tmp_path / "full" / "checkpoint").iterdir()}
    assert left == {f"{group}.{number:06d}.safetensors" for group, number in AFTER_THREE_ROUNDS}
    resumed = play("full", sites=sites, resume=True)
    assert same(groups_in(resumed), groups_in(whole))


AFTER_THREE_ROUNDS = [
    *[(f"alignment.{flow}", 2) for flow in ("ct", "xray")],
    *[(f"diffusion.{flow}", 3) for flow in ("ct", "text", "xray")],
]


def test_a_damaged_checkpoint_is_refused_and_never_trained_on(play: Callable[..., StudyResult], tmp_path: Path) -> None:
    play(stop_after=3)
    path = tmp_path / "run" / "checkpoint" / "diffusion.ct.000003.safetensors"
    content = bytearray(path.read_bytes())
    content[-1 - 4 * 3 * 29] ^= 1  # one bit of a number, somewhere in the tensors
    for damage in (bytes(content), content[:-8], b""):
        path.write_bytes(damage)
        with pytest.raises(CheckpointInvalid, match="damaged"):
            play(resume=True)


def test_moments_are_let_go_when_their_stage_is_done_and_old_files_after_every_round(
    play: Callable[..., StudyResult], tmp_path: Path
) -> None:
    play(stop_after=3)
    files = {path.name: TensorFile(path) for path in (tmp_path / "run" / "checkpoint").iterdir()}
    assert set(files) == {f"{group}.{number:06d}.safetensors" for group, number in AFTER_THREE_ROUNDS}
    kinds = {name: {key.partition("|")[0] for key in file} for name, file in files.items()}
    assert kinds["alignment.ct.000002.safetensors"] == {"last", "ema"}
    assert kinds["diffusion.ct.000003.safetensors"] == {"last", "ema", "first", "second"}

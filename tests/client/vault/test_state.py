"""The memory of rounds: one name, one set of inputs, one reply, whatever moment the process died at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.vault import state as state_module
from client.vault.durable import write_durably
from client.vault.errors import ReplayMismatch, StateDamaged
from client.vault.state import KEPT_ROUNDS, RoundName, RoundState
from protocol.codes import Code
from protocol.requests import TrainReply

NAME = RoundName(study_digest="a" * 64, stage="align", round_number=1, inputs_digest="b" * 64)
OTHER = replace(NAME, inputs_digest="c" * 64)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[RoundState]:
    opened = RoundState(tmp_path)
    yield opened
    opened.close()


def reply(name: RoundName = NAME) -> TrainReply:
    """Names in no alphabetical order, a scalar, an empty group: what a round trip must not disturb."""
    updates = {
        "z/one": {
            "w": np.arange(6, dtype=np.float32).reshape(2, 3),
            "a": np.ones((1, 1), np.float32),
            "gate": np.full((), 0.5, np.float32),
        },
        "a/two": {},
    }
    return TrainReply(
        code=Code.OK,
        site="north",
        inputs_digest=name.inputs_digest,
        updates=updates,
        event_digest="d" * 64,
        metrics={"epsilon_spent": 1.25},
    )


def same(one: TrainReply, other: TrainReply) -> bool:
    arrays = [
        [(g, n, a.shape, a.dtype, a.tobytes()) for g, group in r.updates.items() for n, a in group.items()]
        for r in (one, other)
    ]
    return arrays[0] == arrays[1] and replace(one, updates={}) == replace(other, updates={})


def test_a_finished_reply_comes_back_exactly_and_after_a_restart(state: RoundState, tmp_path: Path) -> None:
    assert state.finished(NAME) is None
    assert state.begin(NAME) == 1
    assert state.finished(NAME) is None
    state.finish(NAME, reply())
    again = RoundState(tmp_path)
    for memory in (state, again):
        kept = memory.finished(NAME)
        assert kept is not None and same(kept, reply())
    assert again.finished_rounds(NAME.study_digest) == {"align": 1}
    again.close()


def test_other_inputs_for_a_round_that_began_are_refused_before_and_after_it_finished(state: RoundState) -> None:
    state.begin(NAME)
    assert state.begin(NAME) == 2
    for finish in (lambda: None, lambda: state.finish(NAME, reply())):
        finish()
        with pytest.raises(ReplayMismatch):
            state.finished(OTHER)
        with pytest.raises(ReplayMismatch):
            state.begin(OTHER)


def test_a_reply_that_was_written_but_not_marked_counts(state: RoundState) -> None:
    state.begin(NAME)
    state.finish(NAME, reply())
    state._database.execute("UPDATE rounds SET finished = 0")
    kept = state.finished(NAME)
    assert kept is not None and same(kept, reply())


def test_a_reply_that_outlived_its_row_answers_its_own_inputs_only(state: RoundState) -> None:
    state.begin(NAME)
    state.finish(NAME, reply())
    state._database.execute("DELETE FROM rounds")
    assert state.finished(NAME) is not None
    with pytest.raises(ReplayMismatch):
        state.finished(OTHER)


def test_old_replies_are_let_go_and_say_so(state: RoundState) -> None:
    for round_number in range(1, KEPT_ROUNDS + 3):
        name = replace(NAME, round_number=round_number)
        state.begin(name)
        state.finish(name, reply())
    with pytest.raises(StateDamaged, match="no longer kept"):
        state.finished(NAME)
    assert state.finished(replace(NAME, round_number=KEPT_ROUNDS + 2)) is not None
    assert state.finished_rounds(NAME.study_digest) == {"align": KEPT_ROUNDS + 2}


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("client.vault.durable.os.fsync", full)
    with pytest.raises(OSError):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o077 == 0


def test_a_round_whose_reply_could_not_be_kept_is_not_finished(
    state: RoundState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.begin(NAME)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken, pytest.raises(OSError):
        broken.setattr(state_module, "write_durably", full)
        state.finish(NAME, reply())
    assert state.finished(NAME) is None
    assert state.begin(NAME) == 2

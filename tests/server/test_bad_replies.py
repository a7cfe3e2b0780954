"""Replies that must not count: malformed, not finite, oversized, of unknown groups, replayed, given twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from protocol.codes import Code
from protocol.records import PACKED, reply_to_record
from protocol.requests import TrainReply, TrainRequest
from server.app import StudyResult, run_study
from simulations.local_grid import LocalGrid
from tests.server.conftest import MakeSites, MakeStudy, groups_in, same

Spoil = Callable[[TrainRequest, TrainReply], RecordDict | TrainReply]


def _group(request: TrainRequest) -> str:
    return request.trains[0]


def _poke(
    request: TrainRequest, reply: TrainReply, value: bytes | None, shape: tuple[Any, ...] | None = None
) -> RecordDict:
    """Change the bytes or the shape of one honest group on the wire."""
    record = reply_to_record(reply)
    array = record[_group(request)][PACKED]
    if value is not None:
        array.data = value
        array.shape = (len(value),)
    if shape is not None:
        array.shape = shape
    return record


def _other_shapes(request: TrainRequest, reply: TrainReply) -> TrainReply:
    """The same names and as many numbers, shaped otherwise."""
    turned = {name: array.T.copy() for name, array in reply.updates[_group(request)].items()}
    return replace(reply, updates={**reply.updates, _group(request): turned})


def _with(reply: TrainReply, /, **records: Any) -> RecordDict:
    return RecordDict(dict(reply_to_record(reply)) | records)


def _infinite(request: TrainRequest, reply: TrainReply) -> RecordDict:
    """The last two bytes of a group in fp16 are its last tensor's last number."""
    record = reply_to_record(reply, codec="float16-scaled")
    data = record[_group(request)][PACKED].data
    return _poke(request, reply, data[:-2] + np.array(np.inf, dtype="<f2").tobytes())


def _overflowing(request: TrainRequest, reply: TrainReply) -> RecordDict:
    """Every exponent and every value as large as eight bits can be: 127 * 2^127."""
    data = reply_to_record(reply)[_group(request)][PACKED].data
    begin = 8 + int.from_bytes(data[:8], "little")
    return _poke(request, reply, data[:begin] + b"\x7f" * (len(data) - begin))


def _oversized(request: TrainRequest, reply: TrainReply) -> TrainReply:
    return replace(reply, updates={name: {"w": np.zeros(120_000, np.float32)} for name in request.trains})


def _huge(request: TrainRequest, reply: TrainReply) -> TrainReply:
    return replace(
        reply,
        updates={
            group: {name: np.full_like(array, 1e6) for name, array in arrays.items()}
            for group, arrays in reply.updates.items()
        },
    )


class _Replay:
    """Answers every round with its first reply."""

    def __init__(self) -> None:
        self.first: TrainReply | None = None

    def __call__(self, request: TrainRequest, reply: TrainReply) -> TrainReply:
        if self.first is None and reply.code is Code.OK:
            self.first = reply
        return self.first or reply


BAD: dict[str, tuple[Spoil, str]] = {
    "no-reply-record": (lambda q, r: RecordDict(), "malformed-reply"),
    "unknown-code": (lambda q, r: _with(r, reply=ConfigRecord({"code": "patient-4711"})), "malformed-reply"),
    "truncated": (lambda q, r: _poke(q, r, b"12345"), "malformed-reply"),
    "text-in-the-shape": (lambda q, r: _poke(q, r, None, ("a", "b")), "malformed-reply"),
    "npy-arrays": (lambda q, r: _with(r, **{_group(q): ArrayRecord([np.ones(3)])}), "malformed-reply"),
    "non-finite": (_infinite, "non-finite"),
    "overflowing": (_overflowing, "non-finite"),
    "oversized": (_oversized, "oversized"),
    "unknown-group": (lambda q, r: replace(r, updates={**r.updates, "diffusion/pet": {}}), "unknown-group"),
    "missing-group": (lambda q, r: replace(r, updates={}), "missing-group"),
    "wrong-shape": (_other_shapes, "wrong-shape"),
    "huge": (_huge, "norm-exceeded"),
    "wrong-site": (lambda q, r: replace(r, site="south"), "wrong-site"),
    "refused-by-policy": (
        lambda q, r: TrainReply(code=Code.POLICY_REFUSED, site="north", inputs_digest="", incident="abc123"),
        "policy-refused",
    ),
    "relay-failed": (
        lambda q, r: TrainReply(code=Code.SITE_FAILED, site="", inputs_digest="", incident="abc123"),
        "site-failed",
    ),
    "asks-for-ever": (lambda q, r: replace(r, code=Code.NEEDS_GROUPS, missing=q.trains, updates={}), "asked-twice"),
    "asks-for-what-it-may-not-read": (
        lambda q, r: replace(r, code=Code.NEEDS_GROUPS, missing=("cross_guidance/ct",), updates={}),
        "asked-twice",
    ),
}


@pytest.mark.parametrize("fault", list(BAD))
def test_a_bad_reply_is_dropped_by_name_and_the_run_completes_as_without_that_site(
    fault: str,
    play: Callable[..., StudyResult],
    make_study: MakeStudy,
    fake_sites: MakeSites,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spoil, status = BAD[fault]
    study = make_study(stages=[{"name": "align", "rounds": 1}, {"name": "diffuse", "rounds": 1}])
    with caplog.at_level(logging.DEBUG):
        result = play("spoilt", study=study, sites=fake_sites(study, north=spoil))
    assert result.completed
    assert {record.sites["north"].status for record in result.records} == {status}
    assert all(record.accepted == ["south", "both"] for record in result.records)
    assert "4711" not in caplog.text
    without = {name: site for name, site in fake_sites(study).items() if name != "north"}
    assert same(groups_in(result), groups_in(play("without", study=study, sites=without)))


def test_a_replayed_reply_is_dropped_from_the_second_round_on(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    study = make_study()
    result = play(sites=fake_sites(study, north=_Replay()))
    statuses = [record.sites["north"].status for record in result.records]
    assert statuses == ["accepted", *["replayed"] * 6]


def test_a_site_that_raises_is_named_and_its_words_go_nowhere(
    play: Callable[..., StudyResult],
    make_study: MakeStudy,
    fake_sites: MakeSites,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def raises(request: TrainRequest, reply: TrainReply) -> TrainReply:
        raise RuntimeError("patient 4711 John Doe")

    with caplog.at_level(logging.DEBUG):
        result = play(sites=fake_sites(make_study(), south=raises))
    assert result.completed
    assert {record.sites["south"].status for record in result.records} == {"unreachable"}
    written = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"4711" not in written
    assert "4711" not in caplog.text


def test_a_site_that_answers_twice_is_counted_once(
    tmp_path: Path,
    generator_folder: Path,
    make_study: MakeStudy,
    fake_sites: MakeSites,
    task_identity: None,
    play: Callable[..., StudyResult],
) -> None:
    class Twice(LocalGrid):
        def pull_messages(self, message_ids: Any) -> Iterator[Message]:
            for reply in super().pull_messages(message_ids):
                yield reply
                yield reply

    whole, study = play("whole"), make_study()
    result = run_study(Twice(fake_sites(study)), study, generator_folder=generator_folder, out=tmp_path / "run")
    assert same(groups_in(result), groups_in(whole))

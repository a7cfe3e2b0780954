"""Whole studies on the local grid: sites of different flows, bad replies, dead sites, quorums and resumes."""

from __future__ import annotations

import errno
import json
import logging
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from safetensors.numpy import load_file

from protocol.codec import decode_update, encode_update
from protocol.codes import Code
from protocol.digests import digest_folder
from protocol.records import PACKED, reply_to_record
from protocol.requests import TrainReply, TrainRequest
from protocol.study import Study
from protocol.version import VERSION
from server.app import StudyResult, run_study
from server.errors import CheckpointFailed, CheckpointInvalid, GeneratorInvalid, NotEnoughSites, QuorumMissed
from server.generator_folder import open_groups
from server.rounds import RoundLog
from server.tensor_file import TensorFile, TensorWriter
from simulations.local_grid import LocalGrid

MakeStudy = Callable[..., Study]
MakeSites = Callable[..., dict[str, Any]]
MakeGrid = Callable[..., LocalGrid]


@pytest.fixture
def play(
    tmp_path: Path, generator_folder: Path, make_study: MakeStudy, fake_sites: MakeSites, grid_of: MakeGrid
) -> Callable[..., StudyResult]:
    """Run the study of conftest in `tmp_path/<out>`; `sites` replaces the honest ones."""

    def run(out: str = "run", study: Study | None = None, sites: dict[str, Any] | None = None, **options: Any) -> Any:
        study = study or make_study()
        grid = grid_of(sites or fake_sites(study))
        return run_study(grid, study, generator_folder=generator_folder, out=tmp_path / out, **options)

    return run


def groups_in(result: StudyResult) -> dict[str, np.ndarray]:
    assert result.generator is not None
    return {
        f"{path.parent.name}/{name}": array
        for path in sorted((result.generator / "groups").rglob("*.safetensors"))
        for name, array in load_file(path).items()
    }


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


# --- the road ---------------------------------------------------------------------------------------------------------


def test_a_study_trains_every_group_that_its_sites_declare_and_leaves_the_rest(
    play: Callable[..., StudyResult], generator_folder: Path
) -> None:
    result = play()
    assert result.completed
    assert [(record.stage, record.round_number) for record in result.records] == [
        *[("align", n) for n in (1, 2)],
        *[("diffuse", n) for n in (1, 2, 3)],
        *[("guide", n) for n in (1, 2)],
    ]
    assert result.records[0].trained == {"alignment/ct": 2, "alignment/xray": 2}
    assert result.records[2].trained == {"diffusion/ct": 2, "diffusion/text": 3, "diffusion/xray": 2}
    before = open_groups(result.study, generator_folder)
    assert len(before) == 8
    assert result.generator is not None
    for name, arrays in before.items():
        last = load_file(result.generator / "groups" / f"{name}.safetensors")
        averaged = load_file(result.generator / "groups_ema" / f"{name}.safetensors")
        for key, array in arrays.items():
            assert not np.array_equal(last[key], array)
            # The average started where the study did and lags behind the last weights.
            assert np.abs(averaged[key] - array).max() < np.abs(last[key] - array).max()
    assert (result.generator / "codecs" / "xray.bin").read_bytes() == b"frozen"
    assert "| north | xray, text | 100 | 7 | 7.000 (0.001) |" in (result.generator / "card.md").read_text()


def test_the_generator_is_the_optimizer_over_the_brute_force_masked_mean(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites, generator_folder: Path
) -> None:
    study = make_study(stages=[{"name": "align", "rounds": 1, "learning_rate": 0.5}], optimizer={"name": "sgd"})
    sites = fake_sites(study)
    result = play(study=study, sites=sites)
    expected = open_groups(study, generator_folder)["alignment/xray"]
    north, both = (
        decode_update(encode_update(sites[name].update(sites[name].seen[0], "alignment/xray")), max_bytes=1 << 20)
        for name in ("north", "both")
    )
    for name, array in groups_in(result).items():
        key = name.partition("/")[2]
        if key in expected:
            mean = (1.0 * north[key] + 0.5 * both[key]) / 1.5
            np.testing.assert_allclose(array, expected[key] + 0.5 * mean, rtol=1e-5, atol=1e-5)


def test_a_flow_s_groups_move_by_the_rate_that_the_stage_gives_it(
    play: Callable[..., StudyResult], make_study: MakeStudy, generator_folder: Path
) -> None:
    stage = {"name": "align", "rounds": 1, "learning_rate": 0.5, "flow_rates": {"ct": 2.0}}
    result = play(study=make_study(stages=[stage], optimizer={"name": "normalised_sgd"}))
    assert result.generator is not None
    for name, distance in (("alignment/xray", 0.5), ("alignment/ct", 1.0)):
        before = open_groups(result.study, generator_folder)[name]
        last = load_file(result.generator / "groups" / f"{name}.safetensors")
        moved = sum(float(np.square(last[key].astype(np.float64) - before[key]).sum()) for key in before) ** 0.5
        assert moved == pytest.approx(distance, rel=1e-4)


def test_two_runs_of_the_same_study_leave_the_same_generator(play: Callable[..., StudyResult]) -> None:
    assert same(groups_in(play("first")), groups_in(play("second")))


def test_each_line_names_every_site_with_its_bytes_and_epsilon(
    play: Callable[..., StudyResult], tmp_path: Path
) -> None:
    result = play()
    line = json.loads((tmp_path / "run" / "rounds.jsonl").read_text().splitlines()[3])
    assert set(line["sites"]) == {"north", "south", "both"}
    for outcome in line["sites"].values():
        assert outcome["status"] == "accepted"
        assert outcome["bytes_up"] > 100
        assert outcome["bytes_down"] > outcome["bytes_up"]  # exact groups go down, half as wide updates come up
        assert outcome["metrics"]["epsilon_spent"] == 4.0
    assert result.sites["south"].rounds == 7
    assert result.sites["south"].epsilon == 7.0
    assert result.sites["south"].bytes_down == sum(record.sites["south"].bytes_down for record in result.records)


# --- groups by digest -------------------------------------------------------------------------------------------------


def test_a_site_that_lacks_groups_gets_them_within_the_round_and_once(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    sites = fake_sites(make_study())
    play(sites=sites)
    guide = [request for request in sites["north"].seen if request.stage == "guide"]
    assert [(request.round_number, len(request.groups)) for request in guide] == [(1, 2), (1, 5), (2, 2)]
    assert guide[0].inputs_digest == guide[1].inputs_digest


def test_a_site_that_joins_at_guide_trains_with_the_same_frozen_groups_as_the_others(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    sites = fake_sites(make_study())
    late = sites["both"]

    def not_before_guide(message: Message, context: Any) -> Message:
        if len(sites["north"].used) < 5:
            raise ConnectionError("not yet here")
        return late(message, context)

    result = play(sites=sites | {"both": not_before_guide})
    joined = [record.stage for record in result.records if "both" in record.accepted]
    assert joined == ["guide", "guide"]
    frozen = {name: digest for name, digest in late.used[0].items() if not name.startswith("cross_guidance")}
    assert frozen.keys() >= {"alignment/xray", "diffusion/ct", "diffusion/text"}
    for other in ("north", "south"):
        shared = {name: digest for name, digest in sites[other].used[5].items() if name in frozen}
        assert shared
        assert shared.items() <= frozen.items()


# --- bad replies ------------------------------------------------------------------------------------------------------

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


# --- who is who -------------------------------------------------------------------------------------------------------


def test_only_named_sites_of_this_version_that_approved_the_study_are_asked(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    study = make_study(federation={"quorum": 1})
    sites = fake_sites(study)
    stranger = replace(sites["north"], name="stranger", seen=[])
    sites["south"].version = "0.0.9"
    sites["both"].study_digest = "another"
    result = play(study=study, sites=sites | {"stranger": stranger})
    assert all(record.accepted == ["north"] and set(record.sites) == {"north"} for record in result.records)
    assert not (stranger.seen or sites["south"].seen or sites["both"].seen)


def test_a_node_cannot_answer_by_a_name_that_its_key_is_not_registered_under(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    sites = fake_sites(make_study())
    sites["south"].name = "north"
    result = play(sites={name: sites[name] for name in ("south", "north", "both")})  # the impostor is asked first
    assert all(record.accepted == ["north", "both"] for record in result.records)
    assert not sites["south"].seen


def test_in_a_deployment_a_node_without_a_registered_name_is_nobody(
    generator_folder: Path, make_study: MakeStudy, fake_sites: MakeSites, task_identity: None, tmp_path: Path
) -> None:
    class Unnamed(LocalGrid):
        def get_nodes(self) -> Any:
            nodes = list(super().get_nodes())
            nodes[0].name = ""
            return nodes

    study = make_study(stages=[{"name": "align", "rounds": 1}])
    for deployed, accepted in ((False, ["north", "south", "both"]), (True, ["south", "both"])):
        grid, out = Unnamed(fake_sites(study)), tmp_path / f"run-{deployed}"
        result = run_study(grid, study, generator_folder=generator_folder, out=out, only_registered=deployed)
        assert result.records[0].accepted == accepted


def test_too_few_sites_end_the_run_before_it_begins_and_say_which_are_missing(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    sites = fake_sites(make_study())
    sites["south"].study_digest = "another"
    with pytest.raises(NotEnoughSites, match="south: has not approved this study, both: not heard of"):
        play(sites={name: sites[name] for name in ("north", "south")})


def test_a_stage_that_cannot_reach_its_quorum_is_refused_at_the_start(
    play: Callable[..., StudyResult], make_study: MakeStudy
) -> None:
    sites = [{"name": n, "flows": ["text"], "declared_patients": 60} for n in ("a", "b")]
    with pytest.raises(NotEnoughSites, match="Stage align reaches 0 sites"):
        play(study=make_study(sites=sites))


# --- quorum, deadline, resume -----------------------------------------------------------------------------------------


class Silent(LocalGrid):
    """A grid on which some sites' replies never come."""

    silent: frozenset[str] = frozenset()

    def pull_messages(self, message_ids: Any) -> Iterator[Message]:
        for message_id in message_ids:
            message = self._waiting.get(message_id)
            name = self._names[message.metadata.dst_node_id] if message else ""
            if name not in self.silent or message.metadata.message_type == "query":
                yield from super().pull_messages([message_id])


def test_a_missed_quorum_ends_after_the_deadline_with_the_rounds_before_it_safe(
    tmp_path: Path,
    generator_folder: Path,
    make_study: MakeStudy,
    fake_sites: MakeSites,
    task_identity: None,
    play: Callable[..., StudyResult],
) -> None:
    study = make_study(federation={"quorum": 2, "deadline_seconds": 0.3})
    sites = fake_sites(study)
    grid = Silent(sites)
    arguments: dict[str, Any] = {"generator_folder": generator_folder, "out": tmp_path / "run"}
    run_study(grid, study, stop_after=3, **arguments)
    grid.silent = frozenset({"south", "both"})
    with pytest.raises(QuorumMissed, match=r"south: no-reply, both: no-reply.*3 rounds are safe"):
        run_study(grid, study, resume=True, **arguments)
    log = RoundLog(tmp_path / "run" / "rounds.jsonl").read()
    assert [record.completed for record in log] == [True, True, True, False]
    grid.silent = frozenset({"south"})  # one missing is within the quorum
    result = run_study(grid, study, resume=True, stop_after=4, **arguments)
    assert result.records[-1].accepted == ["north", "both"]
    assert result.records[-1].sites["south"].status == "no-reply"


def test_a_site_whose_relay_crashed_over_a_question_is_asked_again_within_the_round(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    whole = play("whole")
    crashes = []

    def crashes_once_a_round(request: TrainRequest, reply: TrainReply) -> TrainReply:
        if (request.stage, request.round_number) not in crashes and reply.code is Code.OK:
            crashes.append((request.stage, request.round_number))
            raise ConnectionError("killed")
        return reply

    result = play("crashing", sites=fake_sites(make_study(), north=crashes_once_a_round))
    assert len(crashes) == 7
    assert all(record.accepted == ["north", "south", "both"] for record in result.records)
    assert same(groups_in(result), groups_in(whole))


class Restarting(LocalGrid):
    """Swallows one node's question and then shows that the node came anew, as after a kill and a restart."""

    swallowed: list[str] = []
    arrivals = 0

    def pull_messages(self, message_ids: Any) -> Iterator[Message]:
        for message_id in message_ids:
            message = self._waiting.get(message_id)
            north = message is not None and self._names[message.metadata.dst_node_id] == "north"
            if north and message is not None and message.metadata.message_type == "train":
                if message_id not in self.swallowed and not self.arrivals:
                    self.swallowed.append(message_id)
                if message_id in self.swallowed:
                    continue
            yield from super().pull_messages([message_id])

    def get_nodes(self) -> Any:
        nodes = list(super().get_nodes())
        for node in nodes:
            if node.node_id == 1:
                self.arrivals += bool(self.swallowed)
                node.last_activated_at = f"arrival {min(self.arrivals, 1)}"
        return nodes


def test_a_site_that_came_anew_is_asked_again_and_its_update_counted_once(
    tmp_path: Path,
    generator_folder: Path,
    make_study: MakeStudy,
    fake_sites: MakeSites,
    task_identity: None,
    play: Callable[..., StudyResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.exchange.LOOK_SECONDS", 0.05)
    whole = play("whole")
    study = make_study()
    grid = Restarting(fake_sites(study))
    result = run_study(grid, study, generator_folder=generator_folder, out=tmp_path / "run")
    assert len(grid.swallowed) == 1
    assert all(record.accepted == ["north", "south", "both"] for record in result.records)
    assert same(groups_in(result), groups_in(whole))


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


def test_a_run_folder_is_never_overwritten_nor_resumed_by_another_study(
    play: Callable[..., StudyResult], make_study: MakeStudy
) -> None:
    play(stop_after=1)
    with pytest.raises(CheckpointInvalid, match="already holds a run"):
        play()
    other = make_study(optimizer={"name": "sgd"})
    with pytest.raises(CheckpointInvalid, match="another study"):
        play(study=other, resume=True)


def test_another_generator_than_the_study_s_is_refused(
    play: Callable[..., StudyResult], make_study: MakeStudy, generator_folder: Path
) -> None:
    study = make_study()
    (generator_folder / "codecs" / "xray.bin").write_bytes(b"thawed")
    with pytest.raises(GeneratorInvalid, match="not the one the study names"):
        play(study=study)


@pytest.mark.parametrize(
    ("family", "subset", "stored"),
    [("diffusion", "norms", "attention"), ("alignment", "norms", "all"), ("guidance", "gates", "all")],
)
def test_a_generator_divided_for_another_subset_is_refused_with_what_to_do(
    play: Callable[..., StudyResult], make_study: MakeStudy, family: str, subset: str, stored: str
) -> None:
    study = make_study(training={f"{family}_subset": subset})
    told = rf"training {family} `{stored}` instead of `{subset}`: .*set_subsets\(Subsets\(.*{family}='{subset}'"
    with pytest.raises(GeneratorInvalid, match=told):
        play(study=study)


def test_a_generator_whose_configuration_cannot_be_read_is_refused(
    play: Callable[..., StudyResult], make_study: MakeStudy, generator_folder: Path
) -> None:
    for content in ('{"diffusion_subsets": "style"}', "[", "[]"):
        (generator_folder / "config.json").write_text(content)
        with pytest.raises(GeneratorInvalid, match="diffusion_subsets|not valid JSON|JSON object"):
            play(study=make_study())


# --- memory -----------------------------------------------------------------------------------------------------------


def test_one_reply_is_alive_at_a_time_for_any_number_of_sites(
    tmp_path: Path, generator_folder: Path, make_study: MakeStudy, fake_sites: MakeSites, task_identity: None
) -> None:
    names = [f"site-{number}" for number in range(8)]
    study = make_study(
        sites=[{"name": name, "flows": ["ct"], "declared_patients": 60} for name in names],
        stages=[{"name": "align", "rounds": 2}],
    )
    alive: list[weakref.ref[Message]] = []
    most = []

    class Counting(LocalGrid):
        def _deliver(self, message: Message) -> Message:
            reply = super()._deliver(message)
            if message.metadata.message_type == "train":
                most.append(sum(reference() is not None for reference in alive))
                alive.append(weakref.ref(reply))
            return reply

    run_study(Counting(fake_sites(study)), study, generator_folder=generator_folder, out=tmp_path / "run")
    assert len(most) == 16
    assert max(most) == 0  # when a site has just answered, every earlier reply is gone


def test_the_study_digest_holds_the_version_so_other_code_is_another_study(make_study: MakeStudy) -> None:
    study = make_study()
    assert study.digest(version=VERSION) != study.digest(version=VERSION + ".1")

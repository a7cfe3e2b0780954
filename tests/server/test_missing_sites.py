"""Sites that are silent, crash over a question or come anew; rounds that miss their quorum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message

from protocol.codes import Code
from protocol.requests import TrainReply, TrainRequest
from server.app import StudyResult, run_study
from server.errors import NotEnoughSites, QuorumMissed
from server.rounds import RoundLog
from simulations.local_grid import LocalGrid
from tests.server.conftest import MakeSites, MakeStudy, groups_in, same


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

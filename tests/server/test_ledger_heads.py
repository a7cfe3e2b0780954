"""A site whose ledger shrinks has forgotten spending: its reply is dropped, and the record names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.requests import TrainReply, TrainRequest
from protocol.study import Study
from server.app import run_study

MakeStudy = Callable[..., Study]


@pytest.fixture
def play(
    tmp_path: Path, generator_folder: Path, make_study: MakeStudy, fake_sites: Any, grid_of: Any
) -> Callable[..., list[dict[str, Any]]]:
    """Run the study with one site whose ledger heads are given in the order of its rounds; the lines of the log."""

    def run(heads: list[str], **options: Any) -> list[dict[str, Any]]:
        study = make_study()
        given = iter(heads)

        def named(request: TrainRequest, reply: TrainReply) -> TrainReply:
            return replace(reply, event_digest=next(given)) if reply.updates else reply

        grid = grid_of(fake_sites(study, north=named))
        run_study(grid, study, generator_folder=generator_folder, out=tmp_path / "run", **options)
        return [json.loads(line) for line in (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()]

    return run


def head(number: int, letter: str = "a") -> str:
    return f"{number}:{letter * 64}"


def test_the_round_record_keeps_each_sites_head(play: Any) -> None:
    lines = play([head(3 + 2 * n) for n in range(7)])
    north = [line["sites"]["north"] for line in lines]
    assert [site["ledger_sequence"] for site in north] == [3, 5, 7, 9, 11, 13, 15]
    assert all(site["ledger_digest"] == "a" * 64 for site in north)
    assert {line["sites"]["south"]["ledger_sequence"] for line in lines} == {0}  # it names none


@pytest.mark.parametrize("old", [head(3), head(5), head(5, "b"), ""])
def test_a_ledger_that_shrinks_or_stands_still_is_dropped_by_name_and_the_study_goes_on(play: Any, old: str) -> None:
    lines = play([head(3), head(5), old, *[head(9 + n) for n in range(4)]])
    statuses = [line["sites"]["north"]["status"] for line in lines]
    assert statuses == ["accepted", "accepted", "ledger-rewound", *["accepted"] * 4]
    assert all(line["completed"] for line in lines)


@pytest.mark.parametrize("nonsense", ["e" * 64, "x:" + "a" * 64, "7:short", "-1:" + "a" * 64])
def test_a_head_that_cannot_be_read_is_a_malformed_reply(play: Any, nonsense: str) -> None:
    lines = play([nonsense, *[head(9 + n) for n in range(6)]])
    assert lines[0]["sites"]["north"]["status"] == "malformed-reply"


def test_a_resumed_run_remembers_the_heads_of_the_rounds_before(play: Any) -> None:
    play([head(30), head(40)], stop_after=2)
    lines = play([head(35), *[head(50 + n) for n in range(4)]], resume=True)
    assert [line["sites"]["north"]["status"] for line in lines][2:] == ["ledger-rewound", *["accepted"] * 4]

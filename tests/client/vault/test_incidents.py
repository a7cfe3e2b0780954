"""What goes wrong stays here: a code and a number leave, the text lies in one closed file."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.vault import training
from client.vault.incidents import IncidentLog
from privacy.errors import BudgetExceeded
from protocol.codes import Code
from protocol.records import reply_to_record
from protocol.requests import TrainRequest
from protocol.study import Study

PLANTED = "Erika Mustermann, born 1964-08-12, MRN 4711"


def test_a_planted_identifier_reaches_only_the_sites_own_incident_log(
    make_site: Callable[..., Any],
    make_study: Callable[..., Study],
    make_request: Callable[..., TrainRequest],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    site, study = make_site(), make_study()
    vault = site.vault()
    vault.approve(study)

    def broken(*_: Any) -> None:
        raise ValueError(f"cannot read /data/{PLANTED}.dcm")

    monkeypatch.setattr(training, "local_steps", broken)
    with caplog.at_level(logging.DEBUG):
        reply = vault.train(make_request(study, "align"))
    assert reply.code is Code.SITE_FAILED and reply.incident
    assert PLANTED not in repr(reply) and PLANTED not in str(dict(reply_to_record(reply)))
    assert PLANTED not in caplog.text and PLANTED not in "".join(capfd.readouterr())
    holding = [path for path in site.folder.rglob("*") if path.is_file() and PLANTED.encode() in path.read_bytes()]
    assert holding == [site.folder / "incidents.log"]
    line = json.loads(holding[0].read_text())
    assert line["incident"] == reply.incident and PLANTED in line["traceback"]


def test_the_log_is_closed_to_others_rotates_and_cannot_be_forged(tmp_path: Path) -> None:
    path = tmp_path / "incidents.log"
    log = IncidentLog(path)
    log.record(ValueError('first\n{"incident": "forged"}'))
    log._handler.maxBytes = 2_000
    for _ in range(20):
        log.record(ValueError("x" * 300))
    log.close()
    kept = sorted(tmp_path.glob("incidents.log*"))
    assert len(kept) == 5 and all(file.stat().st_mode & 0o077 == 0 for file in kept)
    for file in kept:
        assert all("forged" not in json.loads(line)["incident"] for line in file.read_text().splitlines())


def test_codes_come_from_the_closed_table(tmp_path: Path) -> None:
    class Strange(Exception):
        code = f"failed-for-{PLANTED}"

    log = IncidentLog(tmp_path / "incidents.log")
    assert log.record(Strange()).code is Code.SITE_FAILED
    assert log.record(KeyError(PLANTED)).code is Code.SITE_FAILED
    assert log.record(BudgetExceeded("nothing left")).code is Code.BUDGET_EXCEEDED
    log.close()


def test_a_log_that_cannot_be_written_costs_the_text_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = IncidentLog(tmp_path / "missing" / "incidents.log")
    assert log.record(ValueError(PLANTED)).code is Code.SITE_FAILED
    assert PLANTED not in "".join(capfd.readouterr())
    log.close()

"""`fedm2g site` init, approve, withdraw, ledger: what is said before anything is signed, and what each leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from click.testing import Result
from typer.testing import CliRunner

from client import joining_commands, site_options
from client.commands import app
from client.joining import ENROLMENT
from client.relay_settings import RelayPlaces
from client.site_setup import SiteUnusable
from client.vault.approval import Approvals
from client.vault.errors import VaultError
from client.vault.settings import VaultSettings
from privacy.errors import PrivacyError
from protocol.enrolment import Enrolment
from protocol.study import Study
from protocol.version import VERSION


def _run(*words: object, answers: str = "") -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=answers)


def _sentence(result: Result, kind: type[Exception]) -> str:
    assert isinstance(result.exception, kind), result.output
    return str(result.exception)


@pytest.fixture
def site(make_site: Callable[..., Any]) -> Path:
    made = make_site()
    VaultSettings(generator=str(made.generator_folder)).write(made.folder)
    return Path(made.folder)


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study(federation={"release_grid_seconds": 30.0})


@pytest.fixture
def study_file(tmp_path: Path, study: Study) -> Path:
    """As a coordinator writes it: not bound to a generator yet."""
    path = tmp_path / "study.toml"
    values = study.model_copy(update={"generator_digest": ""}).model_dump(mode="json", exclude_none=True)
    path.write_text(tomli_w.dumps(values))
    return path


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits at the terminal."""
    for module in (site_options, joining_commands):
        monkeypatch.setattr(module, "interactive", lambda: True)


OTHER_CURVE = [
    {"name": "xray", "intensity": [[0, -1], [100, 0], [4095, 1]]},
    {"name": "ct"},
    {"name": "text", "kind": "text"},
]


def approvals(site: Path) -> list[Path]:
    return sorted((site / "state" / "approvals").glob("*.json"))


def test_init_makes_the_keys_here_and_only_a_public_file_is_for_others(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    result = _run("init", "--name", "mercy", "--dir", folder, "--superlink", "superlink.example:8000")
    enrolment = Enrolment.read(folder / ENROLMENT)
    assert enrolment.name == "mercy" and enrolment.fingerprint in result.output
    text = (folder / ENROLMENT).read_bytes()
    secrets = [*(folder / "keys").iterdir(), folder / "relay" / "node_key"]
    assert len(secrets) == 5 and all(path.stat().st_mode & 0o077 == 0 for path in secrets)
    for path in secrets:
        assert path.read_bytes() not in text and path.read_bytes().hex().encode() not in text
    assert RelayPlaces(folder / "relay").read().superlink == "superlink.example:8000"


def test_init_asks_whoever_gives_no_name_and_refuses_where_nobody_is(tmp_path: Path, person: None) -> None:
    answers = "mercy\n120\nxray,text\n4\nsuperlink.example:8000\n"
    assert _run("init", "--dir", tmp_path / "a", answers=answers).exit_code == 0
    enrolment = Enrolment.read(tmp_path / "a" / ENROLMENT)
    assert (enrolment.name, enrolment.declared_patients, enrolment.declared_flows) == ("mercy", 120, ("xray", "text"))
    assert "max_epsilon = 4.0" in (tmp_path / "a" / "site.toml").read_text()


def test_init_without_a_name_or_a_terminal_is_wrong_usage(tmp_path: Path) -> None:
    assert _run("init", "--dir", tmp_path / "a").exit_code == 2 and not (tmp_path / "a").exists()


@pytest.mark.parametrize("words", [["--superlink", "https://a:1"], ["--superlink", "a"], ["--ca", "absent.crt"]])
def test_an_address_or_certificate_that_cannot_be_leaves_nothing_behind(tmp_path: Path, words: list[str]) -> None:
    assert _sentence(_run("init", "--name", "a", "--dir", tmp_path / "s", *words), SiteUnusable)
    assert not (tmp_path / "s").exists()


def test_connect_writes_down_where_the_coordinator_is_and_keeps_the_key(tmp_path: Path) -> None:
    _run("init", "--name", "mercy", "--dir", tmp_path / "s")
    key = (tmp_path / "s" / "relay" / "node_key").read_bytes()
    _run("connect", "--relay-dir", tmp_path / "s" / "relay", "--superlink", "[::1]:8000")
    assert RelayPlaces(tmp_path / "s" / "relay").read().superlink == "[::1]:8000"
    assert (tmp_path / "s" / "relay" / "node_key").read_bytes() == key


def test_approve_says_what_runs_costs_and_leaves_then_asks_then_signs(
    site: Path, study: Study, study_file: Path, person: None
) -> None:
    refused = _run("approve", study_file, "--dir", site, answers="n\n")
    assert "Not approved; nothing was written." in refused.output and approvals(site) == []
    agreed = _run("approve", study_file, "--dir", site, answers="y\n")
    digest = study.digest(version=VERSION)
    said = " ".join(agreed.output.split())
    for words in (
        "align: 2 rounds of 1 step", "diffusion/xray", "Together with south", "epsilon 8 at delta 8.3e-03 for each",
        "Spent before: 0 of 20", "replies of", "multiples of 30 s", "12 declared patients", "Never: images", digest,
    ):  # fmt: skip
        assert words in said, words
    assert [path.stem for path in approvals(site)] == [digest]
    again = _run("approve", study_file, "--dir", site)
    assert "approved here already" in again.output


def test_nobody_approves_by_being_absent(site: Path, study_file: Path) -> None:
    result = _run("approve", study_file, "--dir", site)
    assert result.exit_code == 2 and approvals(site) == []


def test_what_is_said_to_leave_is_what_leaves(site: Path, study: Study, study_file: Path, make_request: Any) -> None:
    from client.vault.vault import Vault
    from protocol.records import record_bytes, reply_to_record

    figures = json.loads(_run("approve", study_file, "--dir", site, "--yes", "--json").stdout)
    vault = Vault(site, generator_folder=VaultSettings.read(site).generator_folder())
    reply = vault.train(make_request(study, "align"))
    vault.close()
    assert sorted(reply.updates) == figures["groups"]["align"]
    assert figures["bytes_per_reply"]["align"] == pytest.approx(record_bytes(reply_to_record(reply)), rel=0.02)
    assert figures["private"] and figures["epsilon"] <= 8.0


def test_a_study_without_privacy_is_said_so_in_capitals(
    make_site: Callable[..., Any], make_study: Callable[..., Study], tmp_path: Path, person: None
) -> None:
    made = make_site(allow_non_private=True)
    VaultSettings(generator=str(made.generator_folder)).write(made.folder)
    study = make_study(federation={"release_grid_seconds": 30.0}, privacy={"enabled": False})
    (tmp_path / "s.toml").write_text(tomli_w.dumps(study.model_dump(mode="json", exclude_none=True)))
    said = _run("approve", tmp_path / "s.toml", "--dir", made.folder, answers="n\n").output
    assert "WITHOUT DIFFERENTIAL PRIVACY" in said and "UPDATES WITHOUT NOISE" in said


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ({"federation": {}}, PrivacyError, "set a grid"),
        ({"privacy": {"max_epsilon": 9.0}}, PrivacyError, "allows 8 a study"),
        ({"training": {"diffusion_subset": "norms"}}, VaultError, "diffusion `attention` instead of `norms`"),
        ({"training": {"guidance_subset": "gates"}}, VaultError, "guidance `all` instead of `gates`"),
        ({"flows": OTHER_CURVE}, VaultError, "flow xray along another tone curve"),
        ({"training": {"without": ["alignment"]}}, VaultError, "without nothing instead of without `alignment`"),
    ],
)
def test_a_study_that_would_be_refused_is_refused_before_anybody_is_asked(
    site: Path,
    make_study: Callable[..., Study],
    tmp_path: Path,
    change: dict[str, Any],
    kind: type[Exception],
    sentence: str,
) -> None:
    study = make_study(**{"federation": {"release_grid_seconds": 30.0}} | change)
    (tmp_path / "s.toml").write_text(tomli_w.dumps(study.model_dump(mode="json", exclude_none=True)))
    assert sentence in _sentence(_run("approve", tmp_path / "s.toml", "--dir", site, "--yes"), kind)
    assert approvals(site) == []


def test_the_proposal_is_exactly_what_is_signed(site: Path, study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []
    proposed = Approvals.proposed
    monkeypatch.setattr(Approvals, "proposed", lambda *a, **k: plans.append(proposed(*a, **k)) or plans[-1])
    _run("approve", study_file, "--dir", site, "--yes")
    assert len(plans) == 2 and plans[0] == plans[1]  # once for the words, once for the signature


def test_withdraw_says_what_can_and_cannot_be_undone_and_holds_for_good(
    site: Path, study: Study, study_file: Path, person: None
) -> None:
    _run("approve", study_file, "--dir", site, answers="y\n")
    kept = _run("withdraw", study_file, "--dir", site, answers="n\n")
    said = " ".join(kept.output.split())
    for words in ("Cannot be undone", "never given back", "is never answered again", "Nothing was changed"):
        assert words in said
    assert "Withdrawn." in _run("withdraw", study.digest(version=VERSION)[:12], "--dir", site, answers="y\n").output
    again = _run("approve", study_file, "--dir", site, answers="y\n")
    assert "has withdrawn from the study" in _sentence(again, VaultError)


def test_withdrawing_from_what_was_never_approved_names_what_was(site: Path, study: Study, study_file: Path) -> None:
    assert "(none)" in _sentence(_run("withdraw", "abcdef0123", "--dir", site, "--yes"), SiteUnusable)
    _run("approve", study_file, "--dir", site, "--yes")
    assert study.digest(version=VERSION)[:12] in _sentence(_run("withdraw", "abcdef0123", "--dir", site), SiteUnusable)


def test_the_ledger_is_shown_entry_by_entry_and_verified(site: Path, study: Study, study_file: Path) -> None:
    assert "has not begun" in _sentence(_run("ledger", "--dir", site), SiteUnusable)
    _run("approve", study_file, "--dir", site, "--yes")
    shown = _run("ledger", "--dir", site).output
    assert "approved" in shown and study.digest(version=VERSION)[:12] in shown and "signature verifies" in shown
    entries = json.loads(_run("ledger", "--dir", site, "--json").stdout)
    assert [entry["kind"] for entry in entries] == ["opened", "approved"]


def test_stop_and_cancel_where_nothing_runs_say_so(site: Path) -> None:
    assert "Nothing ran" in _run("stop", "--dir", site).output
    assert "start the vault" in str(_run("cancel", "--dir", site).exception)
    assert json.loads(_run("status", "--dir", site, "--json").stdout)["vault"] == {"running": False}

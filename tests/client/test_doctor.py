"""`fedm2g site check`: what it sees of the machine and the folders, in time, and that it changes nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.commands import app
from client.doctor import examination, folders, holdings, machine
from client.doctor.finding import Finding, State
from client.records.store import RecordStore
from client.relay_settings import RelayPlaces
from client.site_setup import SiteUnusable
from privacy.policy import SitePolicy


def _run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    made = _run("init", "--name", "mercy", "--dir", tmp_path / "site", "--flows", "xray,text", "--runtime-port", 9191)
    assert made.exit_code == 0, made.output
    return tmp_path / "site"


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_every_line_says_how_it_is_and_what_to_do_and_nothing_is_changed(site: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in site.rglob("*"))
    started = time.monotonic()
    result = _run("check", "--dir", site, "--json")
    assert time.monotonic() - started < 10.0
    assert result.exit_code == 3, "no patients yet"
    lines = json.loads(result.stdout)
    names = [line["name"] for line in lines]
    wanted = "policy; site folder; keys; relay folder; two users; vault; disk; disk encryption; swap; GPU; versions"
    for name in f"{wanted}; generator; coordinator; patients; records: xray; records: text; budget".split("; "):
        assert name in names
    assert all(line["do"] for line in lines if line["state"] in ("warn", "fail"))
    assert sorted((path, path.stat().st_mtime_ns) for path in site.rglob("*")) == before
    words = _run("check", "--dir", site).output
    assert "FAIL" in words and "-> Ingest" in words and "before this site can train" in words


def test_what_hangs_is_told_as_such_within_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "DEADLINE_SECONDS", 0.3)
    looks = [("network", lambda: time.sleep(5) or []), ("disk", lambda: [machine.disk(Path("/"))])]
    found = by_name(examination._all_of(looks))  # type: ignore[arg-type]
    assert found["network"].state is State.FAIL and "too long" in found["network"].says and "disk" in found


def test_a_look_that_breaks_shows_the_class_and_never_the_text() -> None:
    def breaks() -> list[Finding]:
        raise ValueError("Doe^John 1961")

    (finding,) = examination._all_of([("records", breaks)])
    assert finding.state is State.UNKNOWN and "ValueError" in finding.says and "Doe" not in finding.says


@pytest.mark.parametrize("name", ["keys", "ledger.sqlite", "."])
def test_a_folder_or_file_that_others_may_read_is_a_failure(site: Path, name: str) -> None:
    assert folders.site_folder(site).state is State.OK
    path = site / name
    path.touch()
    path.chmod(0o755 if path.is_dir() else 0o644)
    assert folders.site_folder(site).state is State.FAIL


def test_a_relay_key_that_others_may_read_is_a_failure(site: Path) -> None:
    places = RelayPlaces(site / "relay")
    assert folders.relay_folder(places).state is State.OK
    places.node_key.chmod(0o640)
    assert folders.relay_folder(places).state is State.FAIL
    assert folders.two_users(site, places).state is State.WARN
    if os.geteuid() == 0:
        os.chown(places.folder, 64124, -1)
        assert folders.two_users(site, places).state is State.OK


def _device(sys_block: Path, name: str, *, crypt: bool, below: list[str]) -> None:
    place = sys_block / name
    (place / "slaves").mkdir(parents=True)
    if crypt:
        (place / "dm").mkdir()
        (place / "dm" / "uuid").write_text("CRYPT-LUKS2-0123\n")
    for other in below:
        (place / "slaves" / other).symlink_to(sys_block / other)


def test_encryption_is_found_anywhere_below_the_file_system(tmp_path: Path) -> None:
    _device(tmp_path, "8:1", crypt=False, below=[])
    _device(tmp_path, "253:0", crypt=True, below=["8:1"])
    _device(tmp_path, "253:1", crypt=False, below=["253:0"])  # a volume on an encrypted disk
    numbers = {name: os.makedev(*map(int, name.split(":"))) for name in ("8:1", "253:0", "253:1", "9:9")}
    said = {name: machine.encrypted_below(number, sys_block=tmp_path) for name, number in numbers.items()}
    assert said == {"8:1": False, "253:0": True, "253:1": True, "9:9": None}


def test_swap_in_clear_is_a_warning(tmp_path: Path) -> None:
    table = tmp_path / "swaps"
    table.write_text("Filename Type Size Used Priority\n")
    assert machine.swap(table).state is State.OK
    table.write_text("Filename Type Size Used Priority\n/swapfile file 1 0 -2\n")
    assert machine.swap(table).state is State.WARN
    table.write_text("Filename Type Size Used Priority\n/dev/zram0 partition 1 0 100\n")
    assert machine.swap(table).state is State.OK


def test_records_and_patients_are_held_against_the_declaration(site: Path) -> None:
    RecordStore.create(site).close()
    policy = SitePolicy.read(site / "site.toml")
    found = by_name(holdings.look(site, policy))
    assert found["patients"].state is found["records: xray"].state is State.FAIL and found["budget"].state is State.OK
    assert "0 in the store, 50 declared" in found["patients"].says


def test_holdings_are_looked_at_as_the_folders_owner(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def owner_only(folder: Path, job: Callable[[], Any], *, seconds: float) -> Any:
        assert folder == site
        raise SiteUnusable("asked as the owner")

    monkeypatch.setattr(holdings, "as_owner", owner_only)
    (found,) = holdings.look(site, SitePolicy.read(site / "site.toml"))
    assert found.state is State.FAIL and found.do == "asked as the owner"

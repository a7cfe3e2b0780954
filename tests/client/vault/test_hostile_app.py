"""Hostile app code under the relay's user: it may ask the vault for what the policy allows, and for nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.vault.generators import shared_generator
from client.vault.settings import VaultSettings
from client.vault.vault import Vault
from protocol.study import Study
from protocol.version import VERSION

ROOT = Path(__file__).resolve().parents[3]
USER, GROUP = 64123, 64200
APP = Path(__file__).with_name("hostile_app.py")


def _may_change_users() -> bool:
    if os.geteuid() != 0:
        return False
    code = f"import os; os.setgroups([]); os.setgid({USER}); os.setuid({USER})"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def hostile(
    build_site: Callable[..., Any], start_daemon: Any, make_study: Callable[..., Study], generator_folder: Path
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run the app against a site; returns what it got. `user=0` plants the fault: it keeps the vault's own rights."""
    if not _may_change_users():
        pytest.skip("only root may run a process as a second user: run the tests as root, or in a container")
    folder = Path(tempfile.mkdtemp(prefix="fedm2g-", dir="/tmp"))
    folder.chmod(0o711)
    site = build_site(folder)
    run = folder / "run"
    run.mkdir()
    os.chown(run, -1, GROUP)
    run.chmod(0o2750)
    VaultSettings(generator=str(generator_folder), socket=str(run / "vault.sock")).write(site.folder)
    stages = [{"name": "align", "rounds": 1, "sampling_probability": 0.3}]
    study = make_study(stages=stages, federation={"release_grid_seconds": 0.1})
    vault = site.vault(deployment=True)
    plan = vault.approve(study).plan
    vault.close()
    daemon = start_daemon(site)
    shared = shared_generator(generator_folder)

    def tried(*, user: int = USER, only: tuple[str, ...] = ()) -> dict[str, Any]:
        told = {
            "site": str(site.folder),
            "socket": str(run / "vault.sock"),
            "process": daemon.process.pid,
            "study": study.digest(version=VERSION),
            "shapes": {name: shared.shapes(name) for name in study.groups_of("align", study.site("north"))},
            "blocks": [str(path.relative_to(site.folder)) for path in (site.folder / "records").rglob("*.block*")],
            "user": user,
            "only": only,
            "group": GROUP,
        }
        (folder / "told.json").write_text(json.dumps(told))
        command = [sys.executable, str(APP), str(folder / "told.json")]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        return found | {"alive": daemon.process.poll() is None, "plan": plan, "site": site}

    yield tried
    daemon.kill()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def got(hostile: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return hostile()


def test_it_runs_as_another_user_without_any_capability(got: dict[str, Any]) -> None:
    assert got["as"] == USER and got["capabilities"] == ""


def test_it_reads_no_file_of_the_site(got: dict[str, Any]) -> None:
    assert got["files"] == [] and got["folder"] == "PermissionError"


def test_it_reaches_neither_the_vaults_memory_nor_its_process_nor_the_operators_socket(got: dict[str, Any]) -> None:
    assert got["memory"] == "PermissionError" and got["trace"] == "Operation not permitted"
    assert got["kill"] == "PermissionError" and got["alive"]
    assert got["operator socket"] == "VaultUnreachable" and got["cancel"] == "VaultUnreachable"


def test_it_cannot_stand_in_for_the_vault(got: dict[str, Any]) -> None:
    assert got["replace the socket"] == got["beside the socket"] == "PermissionError"


def test_it_is_told_of_no_other_study_and_of_no_progress(got: dict[str, Any]) -> None:
    assert got["describe another study"] == {"studies": [], "held": []}
    assert got["status"] == ["site", "version"]


def test_one_round_with_parameters_of_its_own_choice_is_a_noised_release_and_charged(got: dict[str, Any]) -> None:
    """At worst it gets what any server gets: this is what differential privacy is for."""
    first = got["first round"]
    assert first["code"] == "ok" and first["metrics"] == ["epsilon_spent"]
    assert first["std"] == pytest.approx(got["plan"].noise_multiplier / (0.3 * 12), rel=0.1)
    vault = Vault(got["site"].folder, generator_folder=got["site"].generator_folder)
    assert [entry.kind for entry in vault._ledger.entries()] == ["opened", "approved", "reserved", "committed"]
    vault.close()


def test_asking_again_gives_the_same_bytes_and_forged_settings_change_nothing(got: dict[str, Any]) -> None:
    first = got["first round"]
    assert got["the same again"] == first and got["forged settings"] == {"code": "ok"}
    assert got["forged settings in the message"] == {"code": "ok", "std": pytest.approx(first["std"])}


@pytest.mark.parametrize(
    ("attempt", "code"),
    [
        ("the same round with other inputs", "replay-mismatch"),
        ("a round more", "budget-exceeded"),
        ("round zero", "budget-exceeded"),
        ("another stage", "malformed"),
        ("another study", "study-unknown"),
        ("a path as study", "study-unknown"),
        ("undeclared groups", "malformed"),
        ("no groups", "malformed"),
    ],
)
def test_everything_else_is_a_code_and_nothing_more(got: dict[str, Any], attempt: str, code: str) -> None:
    assert got[attempt] == {"code": code, "metrics": [], "groups": []}


def test_planted_the_same_app_with_the_vaults_own_rights_reads_everything(hostile: Callable[..., Any]) -> None:
    """So the tests above would notice a site whose two processes are one user. (Last: it kills the vault.)"""
    found = hostile(user=0, only=("files", "operator socket", "memory", "kill"))
    assert "keys/signing.key" in found["files"] and "records/index.sqlite" in found["files"]
    assert found["operator socket"] is False and found["memory"] != "PermissionError" and not found["alive"]

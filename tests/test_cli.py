"""The command: every mistake is one sentence on standard error that says what to do, with a documented exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fedm2g
from protocol.offline import OFFLINE

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "studies" / "demo.toml"


def _run(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "fedm2g", *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_the_version_is_the_one_in_every_digest() -> None:
    assert _run("--version").stdout.strip() == f"fedm2g {fedm2g.__version__}"


def test_help_documents_the_exit_codes() -> None:
    shown = " ".join(_run("--help").stdout.split())
    for words in ("2 usage", "3 unusable input", "4 refused by policy", "5 run failed"):
        assert words in shown


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["simulate", "absent.toml"], 3, "There is no study at"),
        (["simulate", "broken.toml"], 3, "not valid TOML"),
        (["simulate", "odd.toml"], 3, "In the study, "),
        (
            ["simulate", str(DEMO), "--compare", "--arms", "alone-x", "--out", "made"],
            3,
            "There is no arm alone-x: choose",
        ),
        (["generate", "absent-folder", "--to", "xray"], 3, "generator folder or the word"),
        (["evaluate", "absent-folder", "--data", "."], 3, "generator folder or the word"),
        (["site", "status", "--dir", "absent"], 3, ""),
    ],
)
def test_an_unusable_input_is_one_sentence(tmp_path: Path, words: list[str], code: int, sentence: str) -> None:
    (tmp_path / "broken.toml").write_text("name = ")
    (tmp_path / "odd.toml").write_text('name = "x"\nsurprise = 1\n')
    done = _run(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "--engine", "warp"],
        ["simulate", "--arms", "federated-8"],
        ["generate", "shipped"],
        ["nonsense"],
        ["generate"],
    ],
)
def test_wrong_usage_exits_with_two(words: list[str]) -> None:
    done = _run(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def _raise(error: BaseException) -> int:
    """Exit code of the command when something inside raises `error`."""
    code = f"""
import fedm2g
from {type(error).__module__} import {type(error).__name__}
def fails(): raise {type(error).__name__}({error.args!r}[0])
fedm2g.app = fails
fedm2g.main()
"""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False).returncode


def test_every_kind_of_error_has_its_documented_exit_code() -> None:
    from medm2g.errors import FolderInvalid
    from privacy.errors import BudgetExceeded
    from protocol.errors import StudyInvalid
    from server.errors import QuorumMissed
    from simulations.errors import RunFailed

    assert _raise(StudyInvalid("x")) == _raise(FolderInvalid("x")) == 3
    assert _raise(BudgetExceeded("x")) == 4
    assert _raise(RunFailed("x")) == _raise(QuorumMissed("x")) == 5
    assert _raise(KeyboardInterrupt("x")) == 130


def test_an_unexpected_error_shows_its_class_and_never_its_text() -> None:
    code = "import fedm2g\ndef fails(): raise ValueError('Doe^John 1961-02-03')\nfedm2g.app = fails\nfedm2g.main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ValueError" in done.stderr and "Doe" not in done.stderr and "1961" not in done.stderr


def test_the_offline_variables_are_set_before_flower_is_imported() -> None:
    code = (
        "import os, sys\n"
        "import fedm2g, protocol.offline\nfrom typer.testing import CliRunner\n"
        "result = CliRunner().invoke(fedm2g.app, ['simulate', 'absent.toml'])\n"
        "assert not any(name == 'flwr' for name in sys.modules), 'flwr came first'\n"
        "assert all(os.environ[name] == value for name, value in protocol.offline.OFFLINE.items())\n"
    )
    clean = {k: v for k, v in os.environ.items() if k not in OFFLINE}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _descendants(process: int) -> set[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended since its parent was asked
        return set()
    below = set(map(int, children))
    return below.union(*map(_descendants, below))


def _runs(process: int) -> bool:
    """False for one that has ended and that nobody has asked how, too."""
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_run_that_is_terminated_takes_its_processes_along(tmp_path: Path) -> None:
    """As a cluster's scheduler does it: SIGTERM to the command alone, here while its rival trains beside it."""
    study, out = tmp_path / "study.toml", tmp_path / "run"
    study.write_text((ROOT / "studies" / "demo.toml").read_text().replace("patients = 480", "patients = 100"))
    process = subprocess.Popen(
        [sys.executable, "-m", "fedm2g", "simulate", str(study), "--out", str(out)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (out / "rounds.jsonl").is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    started = _descendants(process.pid)
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert started
    until = time.monotonic() + 1.0  # Python's own tracker of resources ends when its pipe does, just after
    while (left := [child for child in started if _runs(child)]) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left

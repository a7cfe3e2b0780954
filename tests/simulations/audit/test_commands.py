"""The audit commands: help is light, a failed check is exit code 5, a mistake is one sentence before anything heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

import fedm2g
from privacy.audit.check import CheckResult
from simulations.errors import InputInvalid

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = ("mechanism", "empirical", "release", "updates", "twin", "report")


def test_help_of_every_audit_loads_nothing_heavy() -> None:
    code = (
        "import sys, fedm2g\nfrom typer.testing import CliRunner\n"
        f"for name in {COMMANDS}:\n"
        "    assert CliRunner().invoke(fedm2g.app, ['audit', name, '--help']).exit_code == 0, name\n"
        "heavy = {'torch', 'matplotlib', 'flwr', 'scipy', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def _installed(monkeypatch: pytest.MonkeyPatch, *, passed: bool) -> None:
    """An installed mechanism whose one check says so."""
    module = ModuleType("privacy.audit.mechanism_checks")
    module.check_mechanism = lambda: [CheckResult("noise", "It is there.", passed, "0.5", "0.9")]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "privacy.audit.mechanism_checks", module)


def test_a_check_that_fails_is_exit_code_five_and_its_figure_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, passed=False)
    shown = CliRunner().invoke(fedm2g.app, ["audit", "mechanism"])
    assert (
        shown.exit_code == 5 and "FAILED  noise: It is there." in shown.output and "would notice: 0.9" in shown.output
    )
    _installed(monkeypatch, passed=True)
    held = CliRunner().invoke(fedm2g.app, ["audit", "mechanism", "--json"])
    assert held.exit_code == 0 and json.loads(held.output)["passed"]


def test_a_build_without_mechanism_checks_is_refused_and_never_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "privacy.audit.mechanism_checks", None)
    result = CliRunner().invoke(fedm2g.app, ["audit", "mechanism"])
    assert isinstance(result.exception, InputInvalid)


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "empirical", "absent.toml"],
        ["audit", "twin", "absent.toml"],
        ["audit", "report", "absent"],
        ["audit", "release", "absent", "--members", "a", "--nonmembers", "b"],
    ],
)
def test_a_mistake_is_told_before_anything_heavy_is_loaded(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys, fedm2g\nfrom typer.testing import CliRunner\n"
        f"result = CliRunner().invoke(fedm2g.app, {words!r})\n"
        "assert fedm2g._exit_code(result.exception) == 3, result.exception\n"
        "assert 'diffusers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=True)


def test_half_a_claim_is_wrong_usage(small_generator: Path) -> None:
    words = ["audit", "release", str(small_generator), "--members", "a", "--nonmembers", "b", "--epsilon", "3"]
    assert CliRunner().invoke(fedm2g.app, words).exit_code == 2

"""The room as others meet it: light imports, real exports, codes of the closed table, a harmless allocator."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import privacy
from privacy import allocator, errors
from protocol.codes import Code

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "module", ["privacy", "privacy.policy", "privacy.keys", "privacy.ledger", "privacy.accounting"]
)
def test_importing_what_the_relay_needs_imports_no_torch(module: str) -> None:
    check = f"import sys, {module}; sys.exit(bool({{'torch', 'dp_accounting', 'opacus'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0


def test_every_export_exists_under_its_own_name() -> None:
    for name in privacy.__all__:
        assert getattr(privacy, name).__name__ == name
    with pytest.raises(AttributeError):
        privacy.no_such_thing  # noqa: B018


def test_every_error_has_a_code_of_the_closed_table() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PrivacyError)]
    assert len(kinds) > 8
    assert {kind.code for kind in kinds} <= {str(code) for code in Code}


def test_every_critical_pitfall_names_a_test_that_exists() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    critical = [row for row in rows if "| critical |" in row]
    assert len(critical) >= 12
    for row in critical:
        named = re.findall(r"`(test_\w+)\.py::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            (path,) = (ROOT / "tests").rglob(f"{file}.py")
            assert f"def {test}(" in path.read_text(encoding="utf-8"), test


def test_keeping_freed_memory_is_done_on_glibc_and_harmless_twice() -> None:
    script = "from privacy.allocator import keep_freed_memory as k; print(k(), k()); x = bytearray(10**8); del x"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    on_glibc = allocator.platform.libc_ver()[0] == "glibc"
    assert done.stdout.split() == [str(on_glibc)] * 2


def test_keeping_freed_memory_does_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    assert allocator.keep_freed_memory.__wrapped__() is False

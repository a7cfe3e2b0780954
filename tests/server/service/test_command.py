"""`fedm2g serve` refuses to start in one sentence, before anything heavy is loaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["absent-folder"], "generator folder or the word"),
        (["shipped"], "give --token-file"),
        (["shipped", "--bind", "0.0.0.0", "--token-file", "fresh"], "give --tls-cert and --tls-key"),
        (["shipped", "--tls-cert", "x.pem", "--token-file", "fresh"], "two files"),
        (["shipped", "--token-file", "loose"], "chmod 600"),
    ],
)
def test_a_start_that_would_not_be_safe_is_refused(tmp_path: Path, words: list[str], sentence: str) -> None:
    (tmp_path / "loose").write_text("x" * 40)
    (tmp_path / "loose").chmod(0o644)
    code = (
        "import sys, fedm2g\n"
        "try:\n    fedm2g.main()\n"
        "finally:\n    assert 'torch' not in sys.modules and 'grpc' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_the_page_of_documentation_names_every_option_with_its_default() -> None:
    import typer.main

    import fedm2g

    documented = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    for parameter in typer.main.get_command(fedm2g.app).commands["serve"].params:
        option = next((name for name in parameter.opts if name.startswith("--")), None)
        if option in (None, "--help"):
            continue
        assert f"`{option}`" in documented, option
        if option.startswith("--max") or option in ("--concurrency", "--queue", "--timeout"):
            assert re.search(rf"`{option}` \|[^|]*\| {parameter.default:g} \|", documented), option

"""Runs benchmarks and writes what they print into docs/benchmarks.md, each in its place: `make bench`.

    python benchmarks/run.py [NAME]...

The page has a block for each, between a line `<!-- NAME: command -->` and the end of the fenced block below it; the
command is run as it stands there. What is read out of the figures is written by hand around the blocks.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
BLOCK = re.compile(r"<!-- (?P<name>[a-z-]+): (?P<command>.+?) -->\n\n```text\n(?P<output>.*?)```\n", re.DOTALL)


def main(names: list[str]) -> int:
    """Run those named, or all; each block is written as soon as its figures are there."""
    blocks = {found["name"]: found["command"] for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}
    if unknown := [name for name in names if name not in blocks]:
        print(f"There is no benchmark {unknown[0]}: choose from {', '.join(blocks)}.", file=sys.stderr)
        return 2
    for name in names or list(blocks):
        print(f"{name}: {blocks[name]}", flush=True)
        output = _output(blocks[name])
        _write(name, output)
        print(output, flush=True)
    return 0


def _output(command: str) -> str:
    """What the command prints; settings like `OMP_NUM_THREADS=1` may stand before it, and `python` is this one."""
    words = shlex.split(command)
    settings = dict(word.split("=", 1) for word in words if re.fullmatch(r"[A-Z_]+=\S*", word))
    rest = [sys.executable if word == "python" else word for word in words if word.split("=", 1)[0] not in settings]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"} | settings
    done = subprocess.run(rest, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip("\n") + "\n"


def _write(name: str, output: str) -> None:
    """Put it in its block; everything else on the page stays."""

    def filled(found: re.Match[str]) -> str:
        old = f"```text\n{found['output']}```"
        return found[0].replace(old, f"```text\n{output}```") if found["name"] == name else found[0]

    PAGE.write_text(BLOCK.sub(filled, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

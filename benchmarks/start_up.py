"""How long the command takes to answer: `fedm2g --help` and a bare Python beside it, medians of 15. Prints a table."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TURNS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "fedm2g --help": [str(Path(sys.executable).parent / "fedm2g"), "--help"],
    "fedm2g site --help": [str(Path(sys.executable).parent / "fedm2g"), "site", "--help"],
}


def main() -> None:
    """In turns, so that all see the same machine."""
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(TURNS):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
            found[name].append(time.perf_counter() - began)
    for name, seconds in found.items():
        print(f"{name:20} {statistics.median(seconds):5.2f} s")


if __name__ == "__main__":
    main()

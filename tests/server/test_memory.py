"""The ServerApp's memory, measured by the benchmark's own program at a small size, over Flower's own push and pull."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "server_memory.py"
#: Interpreter, headers and message trees grow a little with the work and not with the groups.
SLACK_BYTES = 24e6


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel's high-water mark is Linux's")
@pytest.mark.parametrize("groups", [1, 3])
def test_the_server_holds_at_most_three_times_the_stage_s_groups_and_one_reply_whatever_the_number_of_sites(
    groups: int,
) -> None:
    options = ["--sites", "6", "--update-megabytes", "40", "--groups", str(groups), "--json"]
    done = subprocess.run([sys.executable, BENCHMARK, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    above = {phase: peak - figures["idle"] for phase, peak in figures["peaks"].items()}
    assert set(above) == {"push", "pull and fold", "apply and checkpoint"}
    assert max(above.values()) <= 3 * figures["groups"] + figures["reply"] + SLACK_BYTES, above

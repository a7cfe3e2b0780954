"""How long a round takes outside the vaults: a real federation on loopback, TLS, node keys, vault daemons.

    python benchmarks/round_latency.py --sites 3 --rounds 8

Of each round it takes the ServerApp's wall seconds and subtracts those of the slowest vault, which holds its reply for
the release grid. What remains is Flower's polling on both sides, a process per message at each site, transfers, the
checks and the checkpoint. Beside it stands when the first step of training was done, in the vault that was last. All
sites share this machine, which a real consortium's do not, and each starts a Python process per message: on few cores
that, and not the polling, decides.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1"}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fedm2g-latency-"))
    try:
        rounds, vaults, first_steps, load = measure(folder, options.sites, options.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    outside = [seconds - vaults[name] for name, seconds in rounds.items()]
    print(f"{options.sites} sites on {os.cpu_count()} cores, load average {load:.1f}")
    print(f"{'round':12} {'s':>6} {'slowest vault':>14} {'first step':>11} {'outside':>8}")
    for (name, seconds), rest in zip(rounds.items(), outside, strict=True):
        print(f"{name:12} {seconds:6.2f} {vaults[name]:14.2f} {first_steps[name]:11.2f} {rest:8.2f}")
    print(
        f"outside the vaults: median {statistics.median(outside):.2f} s, without the first round "
        f"{statistics.median(outside[1:]):.2f} s; first step after the request reached the slowest vault: median "
        f"{statistics.median(first_steps.values()):.2f} s"
    )


def measure(
    folder: Path, sites: int, rounds: int
) -> tuple[dict[str, float], dict[str, float], dict[str, float], float]:
    """Seconds of each round, of its slowest vault and to the latest first step there; the machine's load meanwhile."""
    from server.rounds import RoundLog
    from tests.deployment.federation import federation

    names = {f"site-{number}": ("xray",) for number in range(sites)}
    with federation(folder, names) as running:
        for site in running.sites.values():
            site.kill("vault")
            program = str(ROOT / "benchmarks" / "timed_vault.py")
            notes = str(site.output / f"{site.name}.jsonl")
            site.run_program("vault", program, notes, "--site-dir", str(site.folder))
        stages = [{"name": "align", "rounds": rounds, "sampling_probability": 0.1, "learning_rate": 1e-3}]
        path = running.write_study("latency", stages=stages, privacy={"enabled": False})
        study = running.prepare(path)
        for site in running.sites.values():
            site.approve(study)
        running.fedm2g("run", str(path))
        running.wait_for_state("latency", "completed", "failed", seconds=3600)
        load = os.getloadavg()[0]
        records = RoundLog(running.places.run("latency") / "rounds.jsonl").read()
        slowest: dict[str, float] = {}
        first: dict[str, float] = {}
        for site in running.sites.values():
            for line in (site.output / f"{site.name}.jsonl").read_text().splitlines():
                note = json.loads(line)
                slowest[note["round"]] = max(slowest.get(note["round"], 0.0), note["seconds"])
                first[note["round"]] = max(first.get(note["round"], 0.0), note.get("first_step", 0.0))
        return {f"{record.stage}-{record.round_number}": record.seconds for record in records}, slowest, first, load


if __name__ == "__main__":
    main()

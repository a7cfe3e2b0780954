"""Many virtual sites of small data in one simulation: time, memory, and what the federation itself costs a site-round.

    OMP_NUM_THREADS=1 python benchmarks/many_sites.py [SITES] [ROUNDS] [--engine local|ray]

Every site is whole: folder, keys, policy, ledger, an ingested store of four phantoms of one flow. Prints one line: wall
seconds by part, the peak of memory, and the milliseconds of a site-round that are not the vault's training.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ |= {
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}

import tomli_w
from rich.progress import Progress

from medm2g.subsets import Subsets
from protocol.study import Study
from simulations.evaluation import EvaluationSettings
from simulations.simulate import Simulation, simulate

PATIENTS = 4


def study_of(sites: int, rounds: int) -> dict[str, object]:
    """The demo's flows, so that the shipped generator fits, and sites that hold X-rays only."""
    demo = Study.read(Path(__file__).resolve().parents[1] / "studies" / "demo.toml")
    site = {"flows": ["xray"], "declared_patients": PATIENTS, "private": False, "population": "hospital-xray"}
    stage = {"name": "diffuse", "rounds": rounds, "learning_rate": 0.1, "sampling_probability": 0.5}
    return {
        "name": "many-sites",
        "flows": demo.model_dump(mode="json")["flows"],
        "sites": [site | {"name": f"site-{number:05d}"} for number in range(sites)],
        "stages": [stage],
        "privacy": {"enabled": False},
        "training": Subsets.of(demo.training).settings(),
        "federation": {"quorum": sites},
    }


def main() -> None:
    """Run it and print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sites", nargs="?", type=int, default=1000)
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--engine", default="local")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fedm2g-many-"))
    try:
        path = folder / "study.toml"
        path.write_text(tomli_w.dumps(study_of(options.sites, options.rounds)), encoding="utf-8")
        simulation = Simulation(
            path,
            out=folder / "run",
            engine=options.engine,
            privacy=False,
            public_continued=False,
            per_flow=32,
            evaluation=EvaluationSettings(sampling_seeds=(1,), num_inference_steps=2),
        )
        with Progress(disable=True) as progress:
            summary = simulate(simulation, progress=progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    costs = {name: value for name, value in summary.items() if name.endswith("_seconds")}
    overhead = 1e3 * (costs.get("federation_seconds") or float("nan")) / (options.sites * options.rounds)
    parts = ", ".join(f"{name.removesuffix('_seconds')} {value:.1f}" for name, value in costs.items() if value)
    print(
        f"{options.sites} sites, {options.rounds} rounds, {options.engine}: seconds {parts}; "
        f"peak {summary['peak_rss_bytes'] / 2**30:.2f} GiB; {overhead:.1f} ms per site-round beside training"
    )


if __name__ == "__main__":
    main()

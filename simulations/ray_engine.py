"""Flower's own simulation engine (Ray), for many virtual sites and clusters: the same server code and the same relay.

Slower to start than the local grid by seconds, but sites run in other processes and several at once. A virtual site is
known by its `partition-id`, which indexes the study's list of sites; what a relay must know beyond that (where the
sites' folders lie) reaches Ray's workers as environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from protocol.study import Study
from server.app import StudyResult, run_study
from simulations.errors import RunFailed

#: Flower and Ray call home unless told otherwise, and SuperLink installs from a registry (notes: flower, section 2.2).
CLOSED_NETWORK: Mapping[str, str] = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
LOOPBACK = "127.0.0.1"
#: The virtual nodes are registered while the server already runs; this is far more than that takes.
JOIN_SECONDS = 60.0
#: Messages pass through Flower's link state, not Ray's shared memory, so its default (30 % of the machine) is wasted.
OBJECT_STORE_BYTES = 256 * 2**20


def run_study_on_ray(
    study: Study,
    client_app: ClientApp,
    *,
    environment: Mapping[str, str],
    cpus: int,
    cpus_per_site: float = 1.0,
    **options: Any,
) -> StudyResult:
    """Run a study with one virtual node per site of its list.

    environment: variables that the relay reads in Ray's workers (`environment_of`).
    cpus: of the machine, for Ray; cpus / cpus_per_site sites run at once.
    options: those of `server.app.run_study` (generator_folder, out, resume, ...); `on_round` runs in this process.
    Raises what `run_study` raises.
    """
    results: list[StudyResult] = []
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        results.append(run_study(grid, study, **{"join_seconds": JOIN_SECONDS} | options))

    with _environment({**CLOSED_NETWORK, **environment}):
        from flwr.simulation import run_simulation  # after the environment: importing it already starts telemetry

        run_simulation(
            server_app,
            client_app,
            num_supernodes=len(study.sites),
            backend_config=_backend(cpus=cpus, cpus_per_site=cpus_per_site),
        )
    if not results:
        raise RunFailed("Ray ended without a result: run the study on the local grid to see why.")
    return results[0]


def environment_of(site_dirs: Sequence[Path], *, generator: Path) -> dict[str, str]:
    """What `client.relay` must know in Ray's workers: the sites' folders, in the order of the study's sites."""
    from client.vault.in_process import GENERATOR, SITE_DIRS

    folders = os.pathsep.join(str(folder.resolve()) for folder in site_dirs)
    return {SITE_DIRS: folders, GENERATOR: str(generator.resolve())}


def _backend(*, cpus: int, cpus_per_site: float) -> dict[str, Any]:
    return {
        "init_args": {
            "num_cpus": cpus,
            "_node_ip_address": LOOPBACK,
            "object_store_memory": OBJECT_STORE_BYTES,
            "log_to_driver": False,
        },
        "client_resources": {"num_cpus": cpus_per_site, "num_gpus": 0.0},
    }


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the block; Ray's processes inherit them when it starts, and Flower adds its PYTHONPATH."""
    before = {name: os.environ.get(name) for name in (*values, "PYTHONPATH")}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

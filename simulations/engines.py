"""Runs a study over simulated sites: on the local grid, or on Flower's Ray engine. Vaults live in-process."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from client import relay
from client.vault.errors import VaultError
from client.vault.in_process import GENERATOR, SITE_DIRS, vault_of
from privacy.errors import PrivacyError
from protocol.study import Study
from server.app import StudyResult, run_study
from simulations.local_grid import LocalGrid
from simulations.scenario import SimulatedSite

ENGINES = ("local", "ray")


def approve(study: Study, sites: Sequence[SimulatedSite], generator_folder: Path) -> None:
    """Let every site look at the study. Raises the first refusal with the site's name before its sentence."""
    for site in sites:
        try:
            vault_of(_node_config(site, generator_folder)).approve(study)
        except (PrivacyError, VaultError) as error:
            raise type(error)(f"Site {site.spec.name} refuses the study: {error}") from None


def run(
    engine: str, study: Study, sites: Sequence[SimulatedSite], *, generator_folder: Path, out: Path, **options: Any
) -> StudyResult:
    """Run it. options: those of `server.app.run_study` (resume, stop_after, on_round). Raises ServerError."""
    if engine == "ray":
        return _on_ray(study, sites, generator_folder=generator_folder, out=out, **options)
    logging.getLogger("flwr").setLevel(logging.WARNING)  # the progress bar says what its lines would
    configs = {site.spec.name: _node_config(site, generator_folder) for site in sites}
    grid = LocalGrid({site.spec.name: relay.app for site in sites}, node_configs=configs)
    vaults = [vault_of(config) for config in configs.values()]
    return run_study(
        grid,
        study,
        generator_folder=generator_folder,
        out=out,
        training_clock=lambda: sum(vault.training_seconds for vault in vaults),
        **options,
    )


def _on_ray(
    study: Study, sites: Sequence[SimulatedSite], *, generator_folder: Path, out: Path, **options: Any
) -> StudyResult:
    from simulations.ray_engine import run_study_on_ray

    folders = os.pathsep.join(str(site.folder.resolve()) for site in sites)
    return run_study_on_ray(
        study,
        relay.app,
        environment={SITE_DIRS: folders, GENERATOR: str(generator_folder.resolve())},
        cpus=os.cpu_count() or 1,
        generator_folder=generator_folder,
        out=out,
        **options,
    )


def _node_config(site: SimulatedSite, generator_folder: Path) -> dict[str, str]:
    return {"site-dir": str(site.folder.resolve()), "generator": str(generator_folder.resolve())}

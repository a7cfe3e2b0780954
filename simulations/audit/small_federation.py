"""A federation of one small site, trained by the study's own machinery: vault, relay, rounds, server optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.study import Study
from server.generator_folder import bind
from simulations import engines
from simulations.errors import RunFailed
from simulations.generators import initial_folder
from simulations.scenario import build_phantom_sites, fill_with_phantoms, prepare_site
from simulations.simulate import IMAGE_SIZES

OUTSIDER_SEED = 66_000
"""Far from the seeds of sites, of held-out phantoms, of canary studies and of the referee."""


@dataclass(frozen=True)
class Trained:
    """What came of it."""

    initial: Path
    """The public generator it started from."""
    generator: Path
    members: Path
    """The site's folder."""


def train(study: Study, folder: Path, *, on_round: Callable[[], None]) -> Trained:
    """Build the study's one site from phantoms and train. Raises PrivacyError, ServerError."""
    initial = initial_folder(study, into=folder / "initial")
    study = bind(study.model_copy(update={"generator_digest": ""}), initial)
    (site,) = build_phantom_sites(study, folder / "sites", size=IMAGE_SIZES[study.preset])
    engines.approve(study, [site], initial)
    result = engines.run(
        "local", study, [site], generator_folder=initial, out=folder / "run", on_round=lambda record, state: on_round()
    )
    if result.generator is None:
        raise RunFailed("The small federation ended without a generator: look at its rounds.jsonl.")
    return Trained(initial, result.generator, site.folder)


def outsiders(study: Study, folder: Path, *, site: int, patients: int) -> Path:
    """A site folder with phantoms of that site's population that no site holds, by the same road."""
    spec = study.sites[site]
    prepare_site(study, spec, folder)
    fill_with_phantoms(
        folder,
        patients=patients,
        seed=OUTSIDER_SEED + 100 * study.training.seed + site,
        population=spec.population or "public",
        flows=spec.flows,
        size=IMAGE_SIZES[study.preset],
    )
    return folder

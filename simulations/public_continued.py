"""The honest rival of a private federation: the same compute on more public phantoms, in the open.

The same study without privacy (no clipping, no noise, the same trained groups, sampling, steps and server optimizer),
over sites that hold phantoms of the public hospitals that the generator has not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from protocol.study import Study
from simulations import engines
from simulations.phantoms.public import PUBLIC
from simulations.scenario import build_phantom_sites
from simulations.study_file import without_privacy

POPULATION = PUBLIC
#: Away from the seeds of pre-training and of the study's own sites.
_SEED_OFFSET = 50_000


def continue_in_public(
    study: Study,
    generator_folder: Path,
    folder: Path,
    *,
    size: int,
    on_round: Callable[[int], None] = lambda _: None,
) -> Path:
    """Run it in `folder` and return the generator that came out."""
    public = without_privacy(study)
    sites = build_phantom_sites(public, folder / "sites", size=size, population=POPULATION, seed_offset=_SEED_OFFSET)
    engines.approve(public, sites, generator_folder)
    result = engines.run(
        "local",
        public,
        sites,
        generator_folder=generator_folder,
        out=folder,
        on_round=lambda _, state: on_round(state.rounds_done),
    )
    assert result.generator is not None
    return result.generator

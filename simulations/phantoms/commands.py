"""What `fedm2g phantoms` does: check what was asked, write the hospital's export, say what was written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulations.errors import InputInvalid
from simulations.phantoms.export import EVERYTHING, FLOWS_OF, export_hospital
from simulations.phantoms.physics import PhysicsConfig
from simulations.phantoms.public import POPULATION_NAMES

if TYPE_CHECKING:
    from rich.progress import Progress

DEFAULT_POPULATION = "hospital-university"


def write_hospital(
    out: Path,
    *,
    patients: int,
    seed: int,
    population: str = DEFAULT_POPULATION,
    flows: tuple[str, ...] | None = None,
    size: int = 64,
    lateral: bool = False,
    processes: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write an invented hospital's export and return what `--json` prints. Raises InputInvalid.

    flows: None for all that this hospital keeps. lateral: beside each frontal X-ray.
    """
    population = DEFAULT_POPULATION if population == "default" else population
    _check(out, population, flows, size)
    task = progress.add_task("Phantoms", total=patients) if progress else None

    def on_patient() -> None:
        if progress and task is not None:
            progress.advance(task)

    physics = PhysicsConfig()
    files = export_hospital(
        out,
        patients=patients,
        seed=seed,
        population=population,
        flows=flows,
        physics=physics,
        size=size,
        lateral=lateral,
        processes=processes,
        on_patient=on_patient,
    )
    return {
        "out": str(out),
        "population": population,
        "patients": patients,
        "seed": seed,
        "flows": list(flows or FLOWS_OF.get(population, EVERYTHING)),
        "dicom_files": files,
        "physics": physics.digest(),
    }


def _check(out: Path, population: str, flows: tuple[str, ...] | None, size: int) -> None:
    if population not in POPULATION_NAMES:
        raise InputInvalid(f"There is no population called {population}: choose one of {sorted(POPULATION_NAMES)}.")
    if unknown := set(flows or ()) - set(EVERYTHING):
        raise InputInvalid(f"Phantoms have no flow {sorted(unknown)}: choose some of {list(EVERYTHING)}.")
    if flows is not None and not set(flows) - {"text"}:
        raise InputInvalid("A report needs an image to be about: add at least one image flow.")
    if not 16 <= size <= 512:
        raise InputInvalid(f"Phantoms are drawn at 16 to 512 pixels, not {size}: choose a size in between.")
    if out.exists() and any(out.iterdir()):
        raise InputInvalid(f"The folder {out} is not empty: choose an empty or new one.")

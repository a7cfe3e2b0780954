"""`fedm2g consortium run STUDY.toml`: check everything that can be known beforehand, then start a ServerApp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomli_w

from protocol.study import Study
from protocol.version import VERSION
from server.app import check_reachable
from server.bundle import build_bundle
from server.consortium.enrolling import check_enrolled, enrolled, register_all
from server.consortium.operator import operator
from server.consortium.places import ConsortiumPlaces, write_private
from server.deployed import generator_folder
from server.errors import ConsortiumUnusable
from server.generator_folder import bind, open_groups
from server.progress import ENDED, STARTING, Progress, ProgressFile
from server.run_store import RunStore

RUN_ID = "run_id"


@dataclass(frozen=True)
class Launched:
    """What `launch` did."""

    study: Study
    digest: str
    """What hospitals approve."""
    out: Path
    study_file: Path
    """The study, bound to its generator: the file that hospitals get."""
    run_id: int | None
    """None where it was only prepared."""


def prepare(places: ConsortiumPlaces, study_file: Path, *, generator: Path | None = None) -> tuple[Study, Path]:
    """The study as it would run, and its generator. Raises ConsortiumUnusable, StudyInvalid, GeneratorInvalid."""
    places.read()
    study = Study.read(study_file)
    check_enrolled(study, enrolled(places))
    if study.federation.release_grid_seconds <= 0.0:
        raise ConsortiumUnusable(
            "The study releases replies at once, which shows how long a step took, so every hospital would refuse it: "
            "set federation.release_grid_seconds."
        )
    check_reachable(study)
    folder = generator_folder(study, str(generator or "")).resolve()
    study = bind(study, folder)
    open_groups(study, folder)
    return study, folder


def launch(
    places: ConsortiumPlaces,
    study_file: Path,
    *,
    generator: Path | None = None,
    resume: bool = False,
    join_seconds: float = 600.0,
    only_prepare: bool = False,
) -> Launched:
    """Start, or resume, the study's run; it goes on in the coordinator. Raises ServerError, StudyInvalid.

    join_seconds: how long the run waits for its sites to come and to approve.
    only_prepare: write the study for the hospitals, check it, and start nothing.
    """
    study, folder = prepare(places, study_file, generator=generator)
    out, digest = places.run(study.name), study.digest(version=VERSION)
    before = Progress.read(out)
    if before is not None and before.state not in ENDED:
        raise ConsortiumUnusable(f"Study {study.name} runs already: see `fedm2g consortium status`.")
    _check_folder(study.name, digest, out, before, resume=resume)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    bound = out / "study.toml"
    write_private(bound, tomli_w.dumps(study.model_dump(mode="json", exclude_none=True)).encode())
    if only_prepare:
        return Launched(study, digest, out, bound, None)
    bundle = build_bundle(places.flower_home / "bundle")
    with operator(places) as coordinator:
        register_all(places, coordinator)
        ProgressFile(out, before or Progress(study=study.name)).say(
            study_digest=digest, state=STARTING, awaited=(), missing={}, message=""
        )
        run_id = coordinator.start_run(
            bundle.path.read_bytes(),
            {
                "study": str(bound),
                "generator": str(folder),
                "out": str(out),
                "resume": resume,
                "join-seconds": float(join_seconds),
            },
        )
    write_private(out / RUN_ID, str(run_id).encode())
    return Launched(study, digest, out, bound, run_id)


def stop(places: ConsortiumPlaces, study_name: str) -> None:
    """Stop the ServerApp of a study; its checkpoint stays. Raises ConsortiumUnusable, CoordinatorUnreachable."""
    try:
        run_id = int((places.run(study_name) / RUN_ID).read_text())
    except (OSError, ValueError):
        raise ConsortiumUnusable(f"There is no run of a study called {study_name}.") from None
    with operator(places) as coordinator:
        coordinator.stop_run(run_id)


def _check_folder(name: str, digest: str, out: Path, before: Progress | None, *, resume: bool) -> None:
    begun = RunStore(out).exists()
    if resume and not begun:
        raise ConsortiumUnusable(f"There is nothing to resume of study {name}: run it without --resume.")
    if begun and not resume:
        raise ConsortiumUnusable(
            f"Study {name} has run before: go on with --resume, or give the new study another name."
        )
    if resume and before is not None and before.study_digest not in ("", digest):
        raise ConsortiumUnusable(
            f"Study {name} was begun with another study.toml, generator or version (its digest differs): resume with "
            "those, or give the new study another name."
        )

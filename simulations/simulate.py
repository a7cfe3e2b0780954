"""`fedm2g simulate`: a whole study on this machine, from records to generator, summary and report.

In order: build the sites, let each approve the study, train (beside it, the same compute on public phantoms), judge the
generator before, after and instead, and write it all down.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from medm2g.subsets import Subsets
from protocol.study import Study
from server.app import StudyResult
from server.generator_folder import bind
from simulations import engines
from simulations.clock import Clock
from simulations.errors import InputInvalid
from simulations.evaluation import EvaluationSettings
from simulations.generators import divided_anew, generator_folder
from simulations.held_out import HeldOut
from simulations.held_out_phantoms import held_out_phantoms
from simulations.phantoms import PhysicsConfig
from simulations.public_continued import PublicRival, half_of_the_threads
from simulations.real_sites import build_sites_from
from simulations.scenario import SimulatedSite, build_phantom_sites
from simulations.snapshots import Snapshots
from simulations.study_file import read_study, write_study
from simulations.summary import Costs, Outcome, SiteSummary, summarise, write_summary
from simulations.verdicts import Verdicts, judge_all, show

WORK = "work"
"""Below the run folder: the sites, and what is needed to resume."""
LEFT_BY_A_RUN = (
    "generator",
    "study.toml",
    "rounds.jsonl",
    "checkpoint",
    "checkpoint.json",
    "summary.json",
    "report.html",
    WORK,
)
IMAGE_SIZES = {"tiny": 64, "base": 256}


@dataclass(frozen=True)
class Simulation:
    """One call of the command."""

    study_path: Path
    data: Path | None = None
    out: Path | None = None
    engine: str = "local"
    privacy: bool = True
    resume: bool = False
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    per_flow: int = 256
    """Held-out records per flow."""
    public_continued: bool = True
    stop_after: int | None = None
    """Rounds after which to stop, to be resumed."""
    referee_folder: Path | None = None
    """The shipped one by default."""
    judges: int | None = None
    """Processes that judge; None for one per core, 0 for none but this one."""


def simulate(simulation: Simulation, *, progress: Progress) -> dict[str, Any]:
    """Run it and return what `summary.json` holds; empty for a run that was stopped early.

    Raises StudyInvalid, InputInvalid, PrivacyError (a site refuses), ServerError (a round failed).
    """
    clock = Clock()
    study = read_study(simulation.study_path, private=simulation.privacy)
    out = simulation.out or Path("runs") / study.name
    folder, wanted = generator_folder(study.generator, preset=study.preset), Subsets.of(study.training)
    fits = Subsets.stored_in(folder) == wanted
    if fits:
        study = bind(study, folder)  # before an old run is cleared: a generator that is refused must cost nothing
    _open_folder(out, resume=simulation.resume)
    if not fits:
        folder = divided_anew(folder, wanted, out / WORK / "initial")
        study = bind(study, folder)
    write_study(out / "study.toml", study)
    with clock.measure("preparation"):
        sites, held_out = _prepared(simulation, study, out, progress)
        engines.approve(study, sites, folder)
    snapshots = Snapshots(out / WORK / "snapshots", study, folder, clock)
    with half_of_the_threads(), ExitStack() as stack:
        rival, why_not = _rival(simulation, study, folder, out)
        if rival is not None:
            stack.enter_context(rival)
        with clock.measure("run"), _bar(progress, "training", sum(stage.rounds for stage in study.stages)) as bar:
            result = engines.run(
                simulation.engine,
                study,
                sites,
                generator_folder=folder,
                out=out,
                resume=simulation.resume,
                stop_after=simulation.stop_after,
                on_round=snapshots.watch(lambda done: progress.update(bar, completed=done)),
            )
        if not result.completed:
            return {}
        assert result.generator is not None
        with clock.measure("continuation"):
            public = None if rival is None else _waited_for(rival, study, progress)
    with clock.measure("evaluation"):
        verdicts = judge_all(
            {"before": folder, "after": result.generator} | ({"public_continued": public} if public else {}),
            snapshots.folders,
            held_out,
            simulation.evaluation,
            study=study,
            referee_folder=simulation.referee_folder,
            progress=progress,
            why_not_continued=why_not,
            workers=simulation.judges,
        )
    sampling = simulation.evaluation.as_record(simulation.referee_folder)
    outcome = _outcome(study, sites, result, verdicts, clock, invented=held_out.invented, sampling=sampling)
    with clock.measure("report"):
        show(out / "report.html", outcome, verdicts, held_out, simulation.evaluation, folder, result.generator)
    summary = summarise(outcome)
    write_summary(out / "summary.json", summary)
    for leftover in ("public", "snapshots"):
        shutil.rmtree(out / WORK / leftover, ignore_errors=True)
    return summary


def _open_folder(out: Path, *, resume: bool) -> None:
    """Make room for a run: an old run's own files go, anybody else's folder is refused."""
    if resume:
        if not (out / "checkpoint.json").is_file():
            raise InputInvalid(f"There is nothing to resume in {out}: run without --resume.")
        return
    if out.is_dir() and any(out.iterdir()) and not (out / "study.toml").is_file():
        raise InputInvalid(f"{out} holds something that is not a run: choose another folder with --out.")
    for name in LEFT_BY_A_RUN:
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)


def _prepared(
    simulation: Simulation, study: Study, out: Path, progress: Progress
) -> tuple[list[SimulatedSite], HeldOut]:
    size, folder = IMAGE_SIZES[study.preset], out / WORK / "sites"
    ready = [SimulatedSite(spec, folder / spec.name) for spec in study.sites]
    if simulation.data is not None:
        if not simulation.data.is_dir():
            raise InputInvalid(f"There is no folder {simulation.data}: give --data a folder of images or DICOM.")
        with _bar(progress, "reading records", len(study.sites)) as bar:
            sites, records = build_sites_from(
                study,
                folder,
                simulation.data,
                size=size,
                keep=simulation.resume,
                on_site=lambda _: progress.advance(bar),
            )
        return sites, records.held_out(per_flow=simulation.per_flow)
    if not simulation.resume:
        with _bar(progress, "building phantom sites", sum(site.declared_patients for site in study.sites)) as bar:
            ready = build_phantom_sites(study, folder, size=size, on_patient=lambda count: progress.advance(bar, count))
    with _bar(progress, "drawing held-out phantoms", None) as bar:
        held_out = held_out_phantoms(
            study, per_flow=simulation.per_flow, size=size, on_patient=lambda: progress.advance(bar)
        )
    return ready, held_out


def _rival(simulation: Simulation, study: Study, folder: Path, out: Path) -> tuple[PublicRival | None, str]:
    """What the same compute on public phantoms makes of the public generator; or why nobody is to ask."""
    if not simulation.public_continued or simulation.stop_after is not None:
        return None, "The public continuation was not asked for."
    if simulation.data is not None:
        return None, "Measured on phantoms only: there are no more public images of these kinds."
    return PublicRival(study, folder, out / WORK / "public", size=IMAGE_SIZES[study.preset]), ""


def _waited_for(rival: PublicRival, study: Study, progress: Progress) -> Path:
    with _bar(progress, "the same compute in public", sum(stage.rounds for stage in study.stages)) as bar:
        return rival.wait(lambda done: progress.update(bar, completed=done))


def _outcome(
    study: Study,
    sites: list[SimulatedSite],
    result: StudyResult,
    verdicts: Verdicts,
    clock: Clock,
    *,
    invented: bool,
    sampling: dict[str, Any],
) -> Outcome:
    training = [record.training_seconds for record in result.records]
    trained = sum(seconds for seconds in training if seconds is not None)
    known = all(seconds is not None for seconds in training)
    costs = Costs(
        wall_seconds=clock.elapsed(),
        training_seconds=trained if known else None,
        evaluation_seconds=clock.spent("evaluation") + clock.spent("snapshots") + clock.spent("continuation"),
        preparation_seconds=clock.spent("preparation"),
        federation_seconds=clock.spent("run") - clock.spent("snapshots") - (result.training_seconds or 0.0)
        if known
        else None,
        peak_rss_bytes=_peak_bytes(),
    )
    return Outcome(
        study=study,
        digest=result.study_digest,
        costs=costs,
        sites=[_site_summary(study, site, result) for site in sites],
        before=verdicts.before,
        after=verdicts.after,
        public_continued=verdicts.public_continued,
        held_out_accuracy=verdicts.held_out_accuracy,
        sampling=sampling,
        physics=PhysicsConfig().digest() if invented else None,
    )


def _site_summary(study: Study, site: SimulatedSite, result: StudyResult) -> SiteSummary:
    spec, totals = site.spec, result.sites[site.spec.name]
    private = study.privacy.enabled and spec.private
    return SiteSummary(
        name=spec.name,
        private=private,
        epsilon=totals.epsilon if private else None,
        delta=study.privacy.delta_fraction / spec.declared_patients if private else None,
        max_epsilon=study.privacy.max_epsilon,
        declared_patients=spec.declared_patients,
        rounds=totals.rounds,
        bytes_up=totals.bytes_up,
        bytes_down=totals.bytes_down,
        flows=spec.flows,
        patient_ids=site.patient_ids,
    )


def _peak_bytes() -> int:
    """Upper bound on what the run held at once: this process's peak, and its largest child's for every core."""
    own, child = (resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own + child * max(1, min(4, os.cpu_count() or 1))


@contextmanager
def _bar(progress: Progress, what: str, total: int | None) -> Iterator[Any]:
    task = progress.add_task(what, total=total)
    yield task
    progress.update(task, total=progress.tasks[task].completed if total is None else total, completed=total)
    progress.stop_task(task)

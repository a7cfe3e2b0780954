"""Judges the generators of one run together, and turns figures and samples into the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from medm2g.threads import one_thread
from protocol.study import Study
from simulations.evaluation import EvaluationSettings
from simulations.held_out import HeldOut
from simulations.judging import Panel
from simulations.report import Showing, write_report
from simulations.summary import Outcome, Quality


@dataclass(frozen=True)
class Verdicts:
    """Figures of every generator of a run."""

    before: Quality
    after: Quality
    public_continued: Quality
    curve: Mapping[str, list[tuple[int, float]]]
    """Flow to (rounds done, Fréchet distance), all of the first sampling seed: a sketch, not a figure."""
    held_out_accuracy: Mapping[str, float]


def judge_all(
    generators: Mapping[str, Path],
    snapshots: Mapping[int, Path],
    held_out: HeldOut,
    settings: EvaluationSettings,
    *,
    study: Study,
    referee_folder: Path | None,
    progress: Progress,
    why_not_continued: str,
    workers: int | None = None,
) -> Verdicts:
    """Judge `before`, `after` and, where there is one, `public_continued`."""
    flows = [flow.name for flow in study.flows]
    images = [flow for flow in flows if flow in held_out.flows]
    rounds = sum(stage.rounds for stage in study.stages)
    parts = len(generators) * len(flows) * len(settings.sampling_seeds) + len(snapshots) * len(images)
    bar = progress.add_task("judging", total=parts)

    def tell() -> None:
        progress.advance(bar)

    with Panel(held_out, settings, flows=flows, referee_folder=referee_folder, workers=workers) as panel:
        asked = {name: panel.summon(folder, note_done=tell) for name, folder in generators.items()}
        seed = settings.sampling_seeds[:1]
        sketched = {
            done: panel.summon(folder, sampling_seeds=seed, flows=images, note_done=tell)
            for done, folder in snapshots.items()
        }
        found = {name: verdict.wait() for name, verdict in asked.items()}
        sketches = {done: verdict.wait() for done, verdict in sketched.items()}
        accuracy = panel.held_out_accuracy()
    return Verdicts(
        before=found["before"],
        after=found["after"],
        public_continued=found.get("public_continued", Quality({}, not_measured=why_not_continued)),
        curve=_curve({0: found["before"], **sketches, rounds: found["after"]}, images) if sketches else {},
        held_out_accuracy=accuracy,
    )


def _curve(sketches: Mapping[int, Quality], flows: list[str]) -> dict[str, list[tuple[int, float]]]:
    curve = {
        flow: [
            (done, quality.flows[flow].frechet[0]) for done, quality in sketches.items() if quality.flows[flow].frechet
        ]
        for flow in flows
    }
    return {flow: points for flow, points in curve.items() if points}


@one_thread()
def show(
    path: Path,
    outcome: Outcome,
    verdicts: Verdicts,
    held_out: HeldOut,
    settings: EvaluationSettings,
    before: Path,
    after: Path,
) -> None:
    """Draw the samples and write the report."""
    from simulations.samples import SampleBook
    from simulations.text_memory import RememberingTextEncoder

    encoder = RememberingTextEncoder()
    first, last = (settings.opened(folder, text_encoder=encoder) for folder in (before, after))
    book = SampleBook(held_out, settings, seed=outcome.study.training.seed)
    counts = sorted({len(flow.images) for flow in held_out.flows.values()})
    number = "–".join(str(count) for count in sorted({counts[0], counts[-1]})) if counts else "no"
    kind = "phantoms" if held_out.invented else "records of patients"
    showing = Showing(
        tasks=book.tasks(last, before=first),
        invented=held_out.invented,
        held_out_note=f"{number} held-out {kind} with as many generated",
        seeds=len(settings.sampling_seeds),
        quality_by_round=verdicts.curve,
    )
    write_report(path, outcome, showing)

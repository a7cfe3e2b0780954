"""What each way between flows carries: the same tasks with one of them silent, with both, and with none.

Aligned tokens say *what* a source shows (central alignment), environment tokens *where* (cross-guidance). A generator
that loses nothing without one of them has not learnt to use it. With both silent a flow knows its prompt only: one
generator per modality. Nothing is trained anew: what would have become of one that never had a pathway is another
question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev

from medm2g.generator import Generator
from medm2g.sampling import AnyToAnyPipeline
from simulations.evaluate.reports import finding_f1
from simulations.evaluate.translations import translation_figures
from simulations.evaluation import OmniscientReferee

SILENT: Mapping[str, tuple[str, ...]] = {
    "both": (),
    "cross-guidance alone": ("alignment",),
    "alignment alone": ("cross_guidance",),
    "neither": ("alignment", "cross_guidance"),
}
"""By what is left: which pathways are silent."""
SEEDS = 3
SAMPLES = 2
PAIRS = 24
"""Of each translation: fewer than its own figure is of, since it is drawn twelve times."""


def pathway_figures(
    generator: Generator, judge: OmniscientReferee, *, seed: int, on_turn: Callable[[], None] = lambda: None
) -> dict[str, dict[str, list[float]]]:
    """By what is left, then by task: one figure for each of `SEEDS` sampling seeds. PSNR of the mean of `SAMPLES` by
    route, F1 of findings with their sides for reports; tasks that the records do not support are left out."""
    found: dict[str, dict[str, list[float]]] = {left: {} for left in SILENT}
    for left, silent in SILENT.items():
        pipeline = AnyToAnyPipeline(generator, without=silent, grain=False)
        for turn in range(SEEDS):
            for task, value in task_figures(pipeline, judge, seed + turn).items():
                found[left].setdefault(task, []).append(value)
            on_turn()
    return found


def task_figures(pipeline: AnyToAnyPipeline, judge: OmniscientReferee, seed: int) -> dict[str, float]:
    """By task: PSNR of the mean of `SAMPLES` over at most `PAIRS` pairs, and F1 of findings for reports."""
    held_out, text_flow = judge.held_out, pipeline.generator.text_flow
    made = translation_figures(pipeline, held_out.pairs, seed=seed, samples=SAMPLES, most=PAIRS)
    values = {route: float(found[f"mean_of_{SAMPLES}"]["psnr"]) for route, found in made.items()}
    if text_flow is not None and held_out.reports:
        written = judge.write_reports(pipeline, text_flow, held_out.reports, seed=seed)
        if (f1 := finding_f1(written, held_out.reports)) is not None:
            values[text_flow] = f1
    return values


def worse_without(figures: Mapping[str, Mapping[str, Sequence[float]]], left: str, task: str) -> bool | None:
    """Whether the task is worse with only `left` than with both; None where it was not measured."""
    both, one = figures["both"].get(task), figures[left].get(task)
    return is_worse(one, both) if both and one else None


def is_worse(part: Sequence[float], whole: Sequence[float]) -> bool:
    """Whether figures of equal seeds are lower by more than two deviations of the difference."""
    differences = [more - less for more, less in zip(whole, part, strict=True)]
    return fmean(differences) > 2 * stdev(differences)

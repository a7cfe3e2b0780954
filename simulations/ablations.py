"""What MedM2G's parts are worth, each left out while training: python -m simulations.ablations

`[training] without = [...]` of a study leaves a part out of public pre-training and of its rounds alike. Two trainings
are short enough for three seeds on two cores:

* `guide`, anew, on the shipped codecs, alignment and denoisers: with alignment, and without (no aligned token in any
  context, no contrast). Without cross-guidance nothing is left to train, and without both a flow knows its prompt only:
  one generator per modality.
* `align`, anew: with the visual invariant, and without. What a linear read-out of its spatial features, fitted on
  public patients, tells of findings and sides in a hospital that it never saw: of images as they are, and as another
  scanner might have shown them (`medm2g/views.py`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from torch import Tensor

from medm2g.anchors import AnchorBank
from medm2g.config import Part
from medm2g.generator import Generator
from medm2g.pretrain.align import train_align
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicData, PublicPatients
from medm2g.pretrain.guide import train_guide
from medm2g.pretrain.loop import PhaseBudget
from medm2g.sampling import AnyToAnyPipeline
from medm2g.threads import one_thread
from medm2g.views import draw_settings, photometric
from protocol.study import Study
from simulations.evaluate.pathways import is_worse, task_figures
from simulations.evaluation import EvaluationSettings, OmniscientReferee
from simulations.generators import open_generator
from simulations.held_out_phantoms import held_out_phantoms
from simulations.phantoms import EVERYTHING, cohort, render_cohort
from simulations.phantoms.public import PUBLIC
from simulations.pretrain_command import only
from simulations.public_phantoms import public_data
from simulations.train_referee import labelled

SEEDS = (0, 1, 2)
PATIENTS, GUIDE_STEPS, ALIGN_STEPS = 1500, 250, 250
ALIGNED_FLOWS = ("ct", "mri_t1")
STRANGERS = "hospital-university"
RIDGE = 30.0
Figures = dict[str, dict[str, list[float]]]
"""By variant, then by task: a figure for each seed."""


def guidance_figures(data: PublicData, anchors: AnchorBank, shipped: Generator, judge: OmniscientReferee) -> Figures:
    """Translations (PSNR) and reports (F1 of findings) by what the generator has."""
    variants: dict[str, tuple[Part, ...]] = {
        "everything": (),
        "without alignment": ("alignment",),
        "without cross-guidance": ("cross_guidance",),
        "one per modality": ("alignment", "cross_guidance"),
    }
    found: Figures = {name: {} for name in variants}
    for seed in SEEDS:
        for name, without in variants.items():
            generator = newborn(shipped, "environments.", "adapters.", without=without, seed=seed)
            if "cross_guidance" not in without:
                with training(generator, data) as told:
                    train_guide(generator, anchors=anchors, budget=PhaseBudget(steps=GUIDE_STEPS), seed=seed, **told)
            with one_thread():
                figures = task_figures(AnyToAnyPipeline(generator, grain=False), judge, seed)
            for task, value in figures.items():
                found[name].setdefault(task, []).append(value)
            print(seed, name, {task: round(value, 2) for task, value in figures.items()}, flush=True)
    return found


def invariant_figures(data: PublicData, anchors: AnchorBank, shipped: Generator) -> Figures:
    """Share of findings that a read-out of the spatial features names rightly, by flow and by how images are shown."""
    part = only(data, {*ALIGNED_FLOWS, data.text_flow})
    learnt = labelled(render_cohort(cohort(PUBLIC, 800, seed=31), ALIGNED_FLOWS))
    strange = labelled(render_cohort(cohort(STRANGERS, 400, seed=32), ALIGNED_FLOWS))
    variants: dict[str, tuple[Part, ...]] = {"everything": (), "without the invariant": ("visual_invariant",)}
    found: Figures = {name: {} for name in variants}
    for seed in SEEDS:
        for name, without in variants.items():
            generator = newborn(shipped, "alignment.", without=without, seed=seed)
            with training(generator, part) as told:
                train_align(generator, anchors=anchors, budget=PhaseBudget(steps=ALIGN_STEPS), seed=seed, **told)
            for flow in ALIGNED_FLOWS:
                read = _Reading.of(generator, flow, learnt[flow].images, learnt[flow].labels)
                images = torch.as_tensor(strange[flow].images)[:, None].float()
                random = torch.Generator().manual_seed(seed)
                shown = {
                    "as they are": images,
                    "as another scanner's": photometric(images, draw_settings(images, generator=random)),
                }
                for how, views in shown.items():
                    share = float((read.labels(views) == strange[flow].labels).mean())
                    found[name].setdefault(f"{flow}, {how}", []).append(share)
            print(seed, name, {task: round(values[-1], 3) for task, values in found[name].items()}, flush=True)
    return found


class _Reading:
    """A ridge regression from spatial features to labels."""

    def __init__(self, generator: Generator, flow: str, weights: Tensor, mean: Tensor, classes: np.ndarray) -> None:
        self.generator, self.flow = generator, flow
        self.weights, self.mean, self.classes = weights, mean, classes

    @classmethod
    def of(cls, generator: Generator, flow: str, images: np.ndarray, labels: np.ndarray) -> _Reading:
        """Fitted on unit images (n, s, s) and their labels."""
        features = _spatial(generator, flow, torch.as_tensor(images)[:, None].float())
        mean, classes = features.mean(0), np.unique(labels)
        wanted = torch.as_tensor((labels[:, None] == classes).astype(np.float64))
        centred = features - mean
        gram = centred @ centred.T + RIDGE * torch.eye(len(centred), dtype=torch.float64)
        return cls(generator, flow, centred.T @ torch.linalg.solve(gram, wanted - wanted.mean(0)), mean, classes)

    def labels(self, images: Tensor) -> np.ndarray:
        """(n,)"""
        scores = (_spatial(self.generator, self.flow, images) - self.mean) @ self.weights
        return np.asarray(self.classes[scores.argmax(1).numpy()])


@torch.no_grad()
def _spatial(generator: Generator, flow: str, images: Tensor) -> Tensor:
    """(n, 2048) float64."""
    return torch.cat([generator.align(flow, part).spatial.flatten(1).double() for part in images.split(128)])


def newborn(shipped: Generator, *parts: str, without: tuple[Part, ...], seed: int) -> Generator:
    """The shipped generator with these of its networks as at birth, and without those parts of MedM2G."""
    torch.manual_seed(seed)
    generator = Generator(replace(shipped.config, without=without), shipped.text_encoder)
    kept = {name: value for name, value in shipped.state_dict().items() if not name.startswith(parts)}
    generator.load_state_dict(kept, strict=False)
    return generator


@contextmanager
def training(generator: Generator, data: PublicData) -> Iterator[dict]:
    """What a phase of public pre-training is told."""
    patients = PublicPatients(generator, data)
    patients.encode()
    patients.align()
    learners, validation = data.split(0.05, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        curve = CurveWriter(Path(folder) / "curve.csv")
        yield {"patients": patients, "training": learners, "validation": validation, "curve": curve}


def page(guidance: Figures, invariant: Figures) -> str:
    """Markdown."""
    return f"""# What the parts are worth, left out while training

Written by `python -m simulations.ablations`. {PATIENTS} public phantoms; mean of {len(SEEDS)} training seeds
(deviation). A star: worse than with everything by more than two deviations of the difference. `[training] without` of a
study leaves the same parts out.

## Alignment and cross-guidance

Stage `guide` anew, {GUIDE_STEPS} steps of two targets, on the shipped codecs, alignment and denoisers. PSNR of the mean
of 2 in dB over 24 pairs of the demo's hospitals, none of whose patients was trained on; `text`: F1 of findings with
their sides. Without cross-guidance nothing is left to train, and the seeds are those of sampling.

{_table(guidance)}
## The visual invariant

Stage `align` anew, {ALIGN_STEPS} steps of each flow. Share of findings, with their sides, that a linear read-out of the
spatial features names rightly in a hospital that neither of them saw.

{_table(invariant)}"""


def _table(figures: Figures) -> str:
    whole, variants = figures["everything"], list(figures)
    lines = [f"| task | {' | '.join(variants)} |", "| --- " * (len(variants) + 1) + "|"]
    for task in whole:
        cells = [_cell(figures[name][task], whole[task]) for name in variants]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float], whole: Sequence[float]) -> str:
    digits = 3 if max(map(abs, [*values, *whole])) <= 1 else 2
    star = "*" if values is not whole and is_worse(values, whole) else ""
    return f"{fmean(values):.{digits}f} ({stdev(values):.{digits}f}){star}"


def main() -> None:
    """See the module's docstring."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--page", type=Path, default=Path("docs/ablations.md"))
    options = arguments.parse_args()
    torch.set_num_threads(1)
    shipped = open_generator("shipped")
    anchors = shipped.anchors
    data = public_data(render_cohort(cohort(PUBLIC, PATIENTS, seed=0), EVERYTHING))
    invariant = invariant_figures(data, anchors, shipped)
    study: Study = Study.read(Path(__file__).resolve().parents[1] / "studies" / "demo.toml")
    judge = OmniscientReferee(held_out_phantoms(study, per_flow=128, size=64), EvaluationSettings())
    guidance = guidance_figures(data, anchors, shipped, judge)
    options.page.write_text(page(guidance, invariant), encoding="utf-8")


if __name__ == "__main__":
    main()

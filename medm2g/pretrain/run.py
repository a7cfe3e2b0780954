"""The whole of pre-training: phases in order, each saved when it is done, so that a killed run loses one phase at most.

`out` holds `generator/` (a generator folder, after every phase), `curve.csv` and `phases.json` (what is done).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medm2g.anchors import AnchorBank, build_anchors
from medm2g.errors import ConfigInvalid, FolderInvalid
from medm2g.generator import Generator
from medm2g.pretrain.align import train_align
from medm2g.pretrain.codecs import train_codecs
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicData, PublicPatients
from medm2g.pretrain.guide import train_guide
from medm2g.pretrain.loop import PhaseBudget, Progress, no_progress
from medm2g.pretrain.text_codec import train_text_codec
from medm2g.pretrain.trunks import train_trunks

#: Phases in order, with their share of the time. Alignment precedes the trunks, which read its tokens.
PHASES: Mapping[str, float] = {"codec": 0.07, "text_codec": 0.05, "align": 0.11, "trunks": 0.67, "guide": 0.10}
VALIDATION_SHARE = 0.05
"""Of the public patients."""


@dataclass(frozen=True)
class _Run:
    """What every phase is given."""

    generator: Generator
    patients: PublicPatients
    anchors: AnchorBank
    training: frozenset[int]
    validation: frozenset[int]
    curve: CurveWriter
    progress: Progress
    seed: int
    threads: int | None


def pretrain(
    generator: Generator,
    data: PublicData,
    *,
    out: Path,
    budget_minutes: float | None = None,
    steps: Mapping[str, int] | None = None,
    phases: Sequence[str] = tuple(PHASES),
    seed: int = 0,
    threads: int | None = 2,
    card: str | None = None,
    dtype: str = "float32",
    progress: Progress = no_progress,
) -> Generator:
    """Train the generator in place, and leave it in `out`/generator. Returns it.

    budget_minutes: time for all of `phases`, split by their shares; time of phases found finished is not given to the
    others. steps: instead of time, so many steps per phase (reproducible). Phases recorded as done in `out` are read
    back, not repeated. card: text for the generator's card. dtype: of the weights on disk when all is done
    (storage.save_pretrained); between phases they are float32. Raises ConfigInvalid.
    """
    budgets = _budgets(phases, budget_minutes, steps)
    if threads is not None:
        torch.set_num_threads(threads)
    done = _finished(out)
    if done:
        _read_back(generator, out / "generator")
    patients = PublicPatients(generator, data)
    training, validation = data.split(VALIDATION_SHARE, seed=seed)
    curve = CurveWriter(out / "curve.csv")
    anchors = build_anchors(generator.text_encoder)
    run = _Run(generator, patients, anchors, training, validation, curve, progress, seed, threads)
    for phase, budget in budgets.items():
        if phase in done:
            continue
        _train(phase, run, budget)
        done = [*done, phase]
        generator.save_pretrained(out / "generator", card=card)
        _write_json(out / "phases.json", done)
    if dtype != "float32":
        generator.save_pretrained(out / "generator", dtype=dtype, card=card)
    return generator


def _train(phase: str, run: _Run, budget: PhaseBudget) -> None:
    """One phase, on features as the phases before it left them."""
    shared: dict[str, Any] = {"training": run.training, "validation": run.validation, "budget": budget}
    shared |= {"curve": run.curve, "progress": run.progress, "seed": run.seed}
    if phase in ("trunks", "guide"):
        run.patients.encode()
        run.patients.align()
    if phase == "codec":
        train_codecs(run.generator, run.patients, **shared)
    elif phase == "text_codec":
        if run.generator.text_flow is not None and len(run.patients.data.texts):
            train_text_codec(run.generator, run.patients, **shared)
    elif phase == "align":
        train_align(run.generator, run.patients, anchors=run.anchors, threads=run.threads, **shared)
    elif phase == "trunks":
        train_trunks(run.generator, run.patients, threads=run.threads, **shared)
    else:
        train_guide(run.generator, run.patients, anchors=run.anchors, **shared)


def _budgets(
    phases: Sequence[str], budget_minutes: float | None, steps: Mapping[str, int] | None
) -> dict[str, PhaseBudget]:
    if unknown := [phase for phase in phases if phase not in PHASES]:
        raise ConfigInvalid(f"There is no pre-training phase {unknown[0]!r}: choose from {', '.join(PHASES)}.")
    if (budget_minutes is None) == (steps is None):
        raise ConfigInvalid("Give pre-training either `budget_minutes` or `steps` per phase.")
    ordered = [phase for phase in PHASES if phase in phases]
    if steps is not None:
        if missing := [phase for phase in ordered if phase not in steps]:
            raise ConfigInvalid(f"`steps` lacks the phase {missing[0]}: give a number for each.")
        return {phase: PhaseBudget(steps=steps[phase]) for phase in ordered}
    whole = sum(PHASES[phase] for phase in ordered)
    minutes = budget_minutes or 0.0
    return {phase: PhaseBudget(seconds=60 * minutes * PHASES[phase] / whole) for phase in ordered}


def _finished(out: Path) -> list[str]:
    path = out / "phases.json"
    if not path.is_file() or not (out / "generator" / "config.json").is_file():
        return []
    return [str(phase) for phase in json.loads(path.read_text(encoding="utf-8"))]


@torch.no_grad()
def _read_back(generator: Generator, folder: Path) -> None:
    """Take over the weights of an earlier, unfinished run of the same sizes."""
    found = Generator.from_pretrained(folder, text_encoder=generator.text_encoder)
    if found.config != generator.config:
        raise FolderInvalid(f"{folder.parent.name} holds a run of other sizes: choose another folder.")
    generator.load_state_dict(found.state_dict())


def _write_json(path: Path, values: object) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values) + "\n", encoding="utf-8")
    partial.replace(path)

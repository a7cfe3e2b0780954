"""The whole of pre-training: phases in order, each saved when it is done, so that a killed run loses one phase at most.

`out` holds `generator/` (a generator folder, after every phase), `curve.csv` and `phases.json` (what is done).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from medm2g.anchors import AnchorBank, build_anchors
from medm2g.errors import ConfigInvalid, FolderInvalid
from medm2g.generator import Generator
from medm2g.pretrain import align, codecs, guide, text_codec, trunks
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicData, PublicPatients
from medm2g.pretrain.loop import PhaseBudget, PhaseSettings, Progress, no_progress
from medm2g.pretrain.machine import Machine
from medm2g.threads import one_thread

#: Phases in order, with their share of the time. Alignment precedes the trunks, which read its tokens.
PHASES: Mapping[str, float] = {"codec": 0.12, "text_codec": 0.04, "align": 0.09, "trunks": 0.67, "guide": 0.08}
VALIDATION_SHARE = 0.05
"""Of the public patients."""
#: Of each phase: its file, which has its settings; what trains it; what of the generator that changes, where it is one
#: network (the others send each flow's to the machine by themselves).
_PHASES: Mapping[str, tuple[Any, Callable[..., int], tuple[str, ...]]] = {
    "codec": (codecs, codecs.train_codecs, ("codecs",)),
    "text_codec": (text_codec, text_codec.train_text_codec, ("codecs",)),
    "align": (align, align.train_align, ()),
    "trunks": (trunks, trunks.train_trunks, ()),
    "guide": (guide, guide.train_guide, ("environments", "adapters")),
}


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
    larger_batches: int
    flows: tuple[str, ...] | None
    """Those that go on from what they are, while the others stay; None: all, from their beginning."""
    phases: tuple[str, ...]
    """In order."""

    @property
    def speaks(self) -> bool:
        """Whether there is a report flow to train, and public text for it."""
        flow = self.generator.text_flow
        return flow is not None and len(self.patients.data.texts) > 0 and (self.flows is None or flow in self.flows)

    def settings(self, usual: PhaseSettings) -> PhaseSettings:
        """A phase's own, with the run's batches."""
        return replace(usual, batch_size=self.larger_batches * usual.batch_size)


def pretrain(
    generator: Generator,
    data: PublicData,
    *,
    out: Path,
    budget_minutes: float | None = None,
    steps: Mapping[str, int] | None = None,
    phases: Sequence[str] = tuple(PHASES),
    flows: Sequence[str] | None = None,
    seed: int = 0,
    machine: Machine | None = None,
    larger_batches: int = 1,
    card: str | None = None,
    dtype: str = "float32",
    progress: Progress = no_progress,
) -> Generator:
    """Train the generator in place, and leave it in `out`/generator. Returns it.

    budget_minutes: time for all of `phases`, split by their shares; time of phases found finished is not given to the
    others. steps: instead of time, so many steps per phase (reproducible). flows: go on with these flows of a generator
    that is trained already, and leave the others' networks as they are; phase `guide` is of all flows, who hear each
    other, and begins anew where `trunks` is before it. machine: two cores by default.
    larger_batches: factor for every phase's batch, for a device that a small one leaves idle. Phases recorded as done
    in `out` are read back, not repeated. card: text for the generator's card. dtype: of the weights on disk when all is
    done (storage.save_pretrained); between phases they are float32. Raises ConfigInvalid.
    """
    budgets = _budgets(phases, budget_minutes, steps)
    if flows is not None and (unknown := [flow for flow in flows if flow not in generator.flows]):
        raise ConfigInvalid(f"The generator has no flow {unknown[0]}: choose from {', '.join(generator.flows)}.")
    machine = machine or Machine()
    if machine.cores is not None:
        torch.set_num_threads(machine.cores)
    done = _finished(out)
    if done:
        _read_back(generator, out / "generator")
    patients = PublicPatients(generator, data, machine)
    training, validation = data.split(VALIDATION_SHARE, seed=seed)
    curve = CurveWriter(out / "curve.csv")
    anchors = machine.run(lambda _: build_anchors(generator.text_encoder), moves=[], trains=[])
    chosen = None if flows is None else tuple(flows)
    run = _Run(
        generator=generator,
        patients=patients,
        anchors=anchors,
        training=training,
        validation=validation,
        curve=curve,
        progress=progress,
        seed=seed,
        larger_batches=larger_batches,
        flows=chosen,
        phases=tuple(budgets),
    )
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
    generator, patients = run.generator, run.patients
    if phase in ("trunks", "guide") and not patients.latents:  # neither changes what these are computed with
        patients.encode()
        patients.align()
    module, train, trained = _PHASES[phase]
    told: dict[str, Any] = {"training": run.training, "validation": run.validation, "budget": budget}
    told |= {"curve": run.curve, "seed": run.seed, "settings": run.settings(module.SETTINGS)}
    if phase in ("align", "guide"):
        told["anchors"] = run.anchors
    if phase in ("codec", "align", "trunks"):
        told["flows"] = run.flows
    if phase == "text_codec" and not run.speaks:
        return
    if phase == "guide" and "cross_guidance" in generator.config.without:
        return
    if phase == "guide" and run.flows is not None and "trunks" in run.phases:
        _begin_guidance(generator)
    if not trained:  # a network of each flow, and each is sent to the machine by itself
        train(generator, patients, progress=run.progress, **told)
        return
    with one_thread():
        patients.machine.run(
            lambda progress: train(generator, patients, progress=progress, **told),
            moves=[generator],
            trains=[generator.get_submodule(name) for name in trained],
            progress=run.progress,
        )


@torch.no_grad()
def _begin_guidance(generator: Generator) -> None:
    """Cross-guidance as it is born: what guided other denoisers is a worse beginning than none (docs/LOG.md,
    2026-12-01: half a dB of CT)."""
    newborn = Generator(generator.config, text_encoder=generator.text_encoder)
    _, _, networks = _PHASES["guide"]
    for name in networks:
        generator.get_submodule(name).load_state_dict(newborn.get_submodule(name).state_dict())


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

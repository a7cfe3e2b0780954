"""Phase `trunks`: every denoiser, all its parameters, by the loss of stage `diffuse`.

With probability `SOURCE_PROMPTS` another image of the examination joins the prompt by its aligned tokens, so that
denoisers read aligned tokens as they read text (XGeM's multi-prompt training, notes/medm2g.md §4). The report's
denoiser has nothing else from which to learn what to write. Each public hospital has a style of its own (styles.py).
Attentions are kept from looking at one token only (attention_bound.py), and image denoisers also learn by other
patients' prompts (diffuse.py).

Flows of one modality (`mri_t1`, `mri_t2`, `mri_flair`) show the same findings in the same places, and where a text puts
a finding is the slowest thing to learn. So they begin as one denoiser, told apart by their styles alone, and become
three for the rest of the budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from medm2g.config import modality_of
from medm2g.generator import Generator
from medm2g.pretrain.attention_bound import AttentionBound
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicPatients
from medm2g.pretrain.diffuse import PublicDiffuseLoss
from medm2g.pretrain.draws import FixedValidation, StageBatches
from medm2g.pretrain.loop import PhaseBudget, PhaseSettings, Progress, no_progress, run_phase, training_only
from medm2g.pretrain.muon import matrices_of
from medm2g.pretrain.side_by_side import side_by_side
from medm2g.pretrain.styles import HospitalStyles

SETTINGS = PhaseSettings(learning_rate=4e-3, batch_size=64, matrix_rate=0.03, ema_decay=0.997)
"""X-ray, equal time of one core: validation .441 after 250 s, .465 after 282 s by AdamW alone (batches of 72)."""
TOGETHER = 0.6
"""Part of a modality's budget in which its flows are one denoiser."""
TEXT_STEPS = 1.5
"""Of an image denoiser's steps, where the budget counts steps: a step of the report's takes 0.4 of the time."""
STEPS: Mapping[str, float] = {"ct": 2.0, "xray": 1.5}
"""Likewise, by modality: in CT one denoiser draws chests and heads, and in X-ray places of findings come late."""
SOURCE_PROMPTS = 0.1
TEXT_SOURCE_PROMPTS = 0.6
GOING_ON = 0.6
"""Factor of both rates for denoisers that go on from what they are: the shipped ones did (docs/LOG.md, 2026-12-01)."""
CONTRAST = 1.0
"""Weight of losing by another's prompt (diffuse.py), of images."""
CONTRAST_PART = 0.6
"""Of the budget; plain loss alone has the rest, and gives the look back."""


@dataclass(frozen=True)
class _Trunks:
    """What training a denoiser needs, whichever it is."""

    generator: Generator
    patients: PublicPatients
    styles: HospitalStyles
    flows: tuple[str, ...]
    training: frozenset[int]
    validation: frozenset[int]
    curve: CurveWriter
    settings: PhaseSettings
    seed: int
    at_once: int
    """Modalities that train beside each other."""

    def modality(self, flows: Sequence[str], budget: PhaseBudget, progress: Progress) -> int:
        """The flows of one modality: together first, where there are several, then each by itself."""
        if len(flows) == 1:
            return self.run(f"trunks/{flows[0]}", flows, budget, self.settings, progress)
        with _one_denoiser(self.generator, flows):
            name = f"trunks/{modality_of(flows[0])}"
            steps = self.run(name, flows, _part(budget, TOGETHER), self.settings, _within(progress, 0.0, TOGETHER))
        alone = (1.0 - TOGETHER) / len(flows)
        settings = _slower(self.settings, 0.5)
        jobs = {flow: partial(self._alone, flow, settings) for flow in flows}
        told = _within(progress, TOGETHER, 1.0 - TOGETHER)
        at_once = len(flows) if self.patients.machine.elsewhere else 1
        apart = _part(budget, alone * len(flows))
        return steps + side_by_side("trunks", jobs, budget=apart, at_once=at_once, progress=told)

    def _alone(self, flow: str, settings: PhaseSettings, budget: PhaseBudget, progress: Progress) -> int:
        return self.run(f"trunks/{flow}", [flow], budget, settings, progress)

    def run(
        self, phase: str, flows: Sequence[str], budget: PhaseBudget, settings: PhaseSettings, progress: Progress
    ) -> int:
        """Train the denoiser of these flows and their styles. Returns the steps made."""
        styles = nn.ParameterDict({flow: self.styles.tables[flow] for flow in flows})
        return self.patients.machine.run(
            partial(self._train, phase, flows, budget, settings),
            moves=[self.generator, self.styles],
            trains=[self.generator.unets[flows[0]], styles],
            progress=progress,
        )

    def _train(
        self, phase: str, flows: Sequence[str], budget: PhaseBudget, settings: PhaseSettings, progress: Progress
    ) -> int:
        share = TEXT_SOURCE_PROMPTS if self.generator.text_flow in flows else SOURCE_PROMPTS
        prompts = share if self.patients.aligned else 0.0
        stage = PublicDiffuseLoss(
            self.generator, self.patients, flows=self.flows, styles=self.styles, source_prompts=prompts
        )
        contrast = 0.0 if self.generator.text_flow in flows else CONTRAST
        stage.contrast = contrast

        def tell(phase: str, done: float, seconds_left: float) -> None:
            stage.contrast = contrast if done < CONTRAST_PART else 0.0
            progress(phase, done, seconds_left)

        size, workers = settings.batch_size, self.patients.machine.workers(self.at_once)
        batches = StageBatches(
            stage, self.patients, flows, self.training, batch_size=size, seed=self.seed, workers=workers
        )
        return run_phase(
            phase,
            [*self.generator.unets[flows[0]].parameters(), *(self.styles.tables[flow] for flow in flows)],
            matrices=matrices_of(self.generator.unets[flows[0]]),
            batch_loss=AttentionBound(self.generator.unets[flows[0]]).bounded(batches.loss),
            validation_loss=FixedValidation(
                StageBatches(stage, self.patients, flows, self.validation, batch_size=size)
            ),
            settings=settings,
            budget=budget,
            curve=self.curve,
            progress=tell,
        )


def train_trunks(
    generator: Generator,
    patients: PublicPatients,
    *,
    training: frozenset[int],
    validation: frozenset[int],
    budget: PhaseBudget,
    curve: CurveWriter,
    settings: PhaseSettings = SETTINGS,
    progress: Progress = no_progress,
    seed: int = 0,
    flows: Sequence[str] | None = None,
) -> int:
    """Train the denoisers of the flows (of these only) that have latents. Returns the steps made, over all of them.

    flows: these go on from what they are, each by itself.
    """
    seen = tuple(flow for flow in generator.flows if flow in patients.latents)
    chosen = seen if flows is None else tuple(flow for flow in seen if flow in flows)
    styles = HospitalStyles(generator, 1 + patients.last_hospital, flows=chosen, seed=seed)
    parts = _modalities(chosen) if flows is None else [[flow] for flow in chosen]
    parts.sort(key=len, reverse=True)  # the longest first, the others beside it
    at_once = patients.machine.at_once(len(parts))
    if flows is not None:
        settings = _slower(settings, GOING_ON)
    trunks = _Trunks(generator, patients, styles, seen, training, validation, curve, settings, seed, at_once)
    jobs = {own[0]: partial(trunks.modality, own) for own in parts}
    counted = {generator.text_flow or "": TEXT_STEPS, **STEPS} if budget.steps is not None else {}
    weights = {own[0]: len(own) * counted.get(modality_of(own[0]), 1.0) for own in parts}
    own = [value for flow in chosen for value in (*generator.unets[flow].parameters(), styles.tables[flow])]
    with training_only(generator, own):
        steps = side_by_side("trunks", jobs, weights=weights, budget=budget, at_once=at_once, progress=progress)
    patients.machine.run(lambda _: styles.fold(generator), moves=[], trains=[generator.unets, generator.styles])
    return steps


def _modalities(flows: Sequence[str]) -> list[list[str]]:
    names = dict.fromkeys(modality_of(flow) for flow in flows)
    return [[flow for flow in flows if modality_of(flow) == name] for name in names]


@contextmanager
def _one_denoiser(generator: Generator, flows: Sequence[str]) -> Iterator[None]:
    """The first flow's denoiser stands for all of them; after the block each has a copy of what became of it."""
    own = {flow: generator.unets[flow] for flow in flows}
    shared = own[flows[0]]
    try:
        for flow in flows:
            generator.unets[flow] = shared
        yield
    finally:
        for flow, unet in own.items():
            generator.unets[flow] = unet
            with torch.no_grad():
                unet.load_state_dict(shared.state_dict())


def _slower(settings: PhaseSettings, factor: float) -> PhaseSettings:
    return replace(settings, learning_rate=factor * settings.learning_rate, matrix_rate=factor * settings.matrix_rate)


def _part(budget: PhaseBudget, share: float) -> PhaseBudget:
    if budget.steps is not None:
        return PhaseBudget(steps=max(1, round(share * budget.steps)))
    return PhaseBudget(seconds=share * (budget.seconds or 0.0))


def _within(progress: Progress, begins: float, share: float) -> Progress:
    """A part of a phase, told as the part of the whole that it is."""
    return lambda phase, done, seconds: progress(phase, begins + share * done, seconds)

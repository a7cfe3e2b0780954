"""Phase `trunks`: every denoiser, all its parameters, by the loss of stage `diffuse`.

With probability `SOURCE_PROMPTS` another image of the examination joins the prompt by its aligned tokens, so that
denoisers read aligned tokens as they read text (XGeM's multi-prompt training, notes/medm2g.md §4). The report's
denoiser has nothing else from which to learn what to write. Each public hospital has a style of its own (styles.py).
"""

from __future__ import annotations

from functools import partial

from medm2g.generator import Generator
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicPatients
from medm2g.pretrain.draws import FixedValidation, StageBatches
from medm2g.pretrain.loop import PhaseBudget, PhaseSettings, Progress, no_progress, run_phase, training_only
from medm2g.pretrain.side_by_side import side_by_side
from medm2g.pretrain.styles import HospitalStyles, PublicDiffuseLoss

SETTINGS = PhaseSettings(learning_rate=4e-3, batch_size=24, ema_decay=0.9985)
"""Measured on X-ray, 150 CPU seconds each: validation .429; batches of 48 at 2e-3 .480, of 24 at 2e-3 .460, of 24 at
8e-3 .438 (docs/LOG.md, 2026-11-24)."""
SOURCE_PROMPTS = 0.1
TEXT_SOURCE_PROMPTS = 0.6


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
    threads: int | None = None,
) -> int:
    """Train the denoisers of the flows that have latents. Returns the steps made, over all flows together."""
    flows = [flow for flow in generator.flows if flow in patients.latents]
    styles = HospitalStyles(generator, 1 + patients.last_hospital)
    own = {flow: [*generator.unets[flow].parameters(), styles.tables[flow]] for flow in flows}

    def train(flow: str, budget: PhaseBudget, progress: Progress) -> int:
        share = TEXT_SOURCE_PROMPTS if flow == generator.text_flow else SOURCE_PROMPTS
        prompts = share if patients.aligned else 0.0
        stage = PublicDiffuseLoss(generator, patients, flows=flows, styles=styles, source_prompts=prompts)
        batches = StageBatches(stage, patients, [flow], training, batch_size=settings.batch_size)
        held = FixedValidation(StageBatches(stage, patients, [flow], validation, batch_size=settings.batch_size))
        return run_phase(
            f"trunks/{flow}",
            own[flow],
            batch_loss=batches.loss,
            validation_loss=held,
            settings=settings,
            budget=budget,
            curve=curve,
            progress=progress,
            seed=seed,
        )

    jobs = {flow: partial(train, flow) for flow in flows}
    with training_only(generator, [value for values in own.values() for value in values]):
        steps = side_by_side("trunks", jobs, budget=budget, threads=threads, progress=progress)
    styles.fold(generator)
    return steps

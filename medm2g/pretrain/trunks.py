"""Phase `trunks`: every denoiser, all its parameters, by the loss of stage `diffuse`.

With probability `SOURCE_PROMPTS` another image flow of the patient joins the prompt by its aligned tokens, so that
denoisers read aligned tokens as they read text (XGeM's multi-prompt training, notes/medm2g.md §4).
"""

from __future__ import annotations

from medm2g.generator import Generator
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicPatients
from medm2g.pretrain.draws import FixedValidation, StageBatches
from medm2g.pretrain.loop import PhaseBudget, PhaseSettings, Progress, no_progress, run_phase, training_only
from medm2g.stages.diffuse import DiffuseLoss

SETTINGS = PhaseSettings(learning_rate=2e-3, batch_size=48, ema_decay=0.997)
SOURCE_PROMPTS = 0.1


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
) -> int:
    """Train the denoisers of the flows that have latents. Returns the steps made, over all flows together."""
    flows = [flow for flow in generator.flows if flow in patients.latents]
    stage = DiffuseLoss(generator, patients, flows=flows, source_prompts=SOURCE_PROMPTS if patients.aligned else 0.0)
    batches = StageBatches(stage, patients, flows, training, batch_size=settings.batch_size)
    held = FixedValidation(StageBatches(stage, patients, flows, validation, batch_size=settings.batch_size))
    parameters = [value for flow in flows for value in generator.unets[flow].parameters()]
    with training_only(generator, parameters):
        return run_phase(
            "trunks",
            parameters,
            batch_loss=batches.loss,
            validation_loss=held,
            settings=settings,
            budget=budget,
            curve=curve,
            progress=progress,
            seed=seed,
        )

"""Phase `guide`: environment encoders and adapters, by the loss of stage `guide`; target flows in turn, two in a step.

Two targets share the V's that they hear and nothing else, so each has a core of its own.
"""

from __future__ import annotations

from medm2g.anchors import AnchorBank
from medm2g.generator import Generator
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicPatients
from medm2g.pretrain.draws import FixedValidation, StageBatches
from medm2g.pretrain.loop import PhaseBudget, PhaseSettings, Progress, no_progress, run_phase, training_only
from medm2g.pretrain.muon import matrices_of
from medm2g.stages.guide import GuideLoss

SETTINGS = PhaseSettings(learning_rate=6e-3, batch_size=24, matrix_rate=0.05, ema_decay=0.995)


def train_guide(
    generator: Generator,
    patients: PublicPatients,
    *,
    anchors: AnchorBank,
    training: frozenset[int],
    validation: frozenset[int],
    budget: PhaseBudget,
    curve: CurveWriter,
    settings: PhaseSettings = SETTINGS,
    progress: Progress = no_progress,
    seed: int = 0,
) -> int:
    """Train the cross-guidance of the flows that have latents. Returns the steps made, of two targets each."""
    flows = [flow for flow in generator.flows if flow in patients.latents]
    stage = GuideLoss(generator, patients, flows=flows, anchors=anchors, targets_per_patient=len(flows))
    batches = StageBatches(
        stage,
        patients,
        flows,
        training,
        batch_size=settings.batch_size,
        seed=seed,
        workers=patients.machine.workers(),
    )
    held = FixedValidation(StageBatches(stage, patients, flows, validation, batch_size=settings.batch_size))
    parameters = [value for flow in flows for value in generator.whole(f"cross_guidance/{flow}").values()]
    alone = patients.machine.elsewhere or len(batches.flows) < 2  # two threads may not guide one denoiser
    threads = 1 if alone else patients.machine.at_once(2)
    with training_only(generator, parameters):
        return run_phase(
            "guide",
            parameters,
            matrices=matrices_of(generator),
            batch_loss=batches.loss,
            validation_loss=held,
            settings=settings,
            budget=budget,
            curve=curve,
            progress=progress,
            pair=True,
            threads=threads,
        )

"""Phase `align`: the stage's loss on public batches, plus the paper's in-batch form, which public data allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from torch import Tensor

from medm2g.anchors import AnchorBank
from medm2g.generator import Generator
from medm2g.losses import InBatchInfoNCE
from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicPatients
from medm2g.pretrain.draws import FixedValidation, StageBatches
from medm2g.pretrain.loop import PhaseBudget, PhaseSettings, Progress, no_progress, run_phase, training_only
from medm2g.pretrain.muon import matrices_of
from medm2g.pretrain.side_by_side import side_by_side
from medm2g.stages.align import AlignLoss

SETTINGS = PhaseSettings(learning_rate=2e-3, batch_size=48, ema_decay=0.99)
IN_BATCH_WEIGHT = 1.0
"""Measured on public phantoms, T1, 700 steps: the nearest report of another patient names the right finding and side in
79 % (42 % for the commonest). After 60 steps it is chance: this phase needs some 700 steps of each flow."""


class PublicAlignLoss(AlignLoss):
    """`AlignLoss` whose batch mean also pulls each image to its own text and away from the batch's other texts."""

    def loss_batch(self, kind: str, parameters: Mapping[str, Tensor], stacked: Mapping[str, Tensor]) -> Tensor:
        """Scalar; couples the rows of the batch: public training only."""
        weights = stacked["weight"]
        flat = {name: tensor.flatten(0, 1) for name, tensor in stacked.items()}
        aligned = self.embed(kind, parameters, flat)
        losses = self.values(aligned, flat).view_as(weights)
        own = ((losses * weights).sum(1) / weights.sum(1)).mean()
        return own + self.central_weight * IN_BATCH_WEIGHT * self._in_batch(aligned.embedding, flat)

    def _in_batch(self, embeddings: Tensor, flat: Mapping[str, Tensor]) -> Tensor:
        """First views of real records with text, in the anchors' coordinates."""
        bank = self.contrast.anchors
        told = (flat["has_text"] * flat["weight"]) > 0
        if not bool(told.any()):
            return embeddings.sum() * 0
        seen = bank.coordinates(embeddings[: len(told)][told])
        return InBatchInfoNCE(private=False)(seen, bank.coordinates(flat["positive"][told])).mean()


def train_align(
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
    flows: Sequence[str] | None = None,
) -> int:
    """Train the alignment of every image flow (of these flows only) that has public images. Returns the steps made."""
    seen = [flow for flow in generator.image_flows if flow in patients.images and (flows is None or flow in flows)]
    stage = PublicAlignLoss(generator, patients, flows=seen, anchors=anchors)
    reference = AlignLoss(generator, patients, flows=seen, anchors=anchors)
    own = {flow: list(generator.whole(f"alignment/{flow}").values()) for flow in seen}
    machine, size = patients.machine, settings.batch_size
    at_once = machine.at_once(len(seen))

    def train(flow: str, budget: PhaseBudget, progress: Progress) -> int:
        workers = machine.workers(at_once)
        batches = StageBatches(stage, patients, [flow], training, batch_size=size, seed=seed, workers=workers)
        held = FixedValidation(StageBatches(reference, patients, [flow], validation, batch_size=48))
        return run_phase(
            f"align/{flow}",
            own[flow],
            matrices=matrices_of(generator.alignment[flow]),
            batch_loss=batches.loss,
            validation_loss=held,
            settings=settings,
            budget=budget,
            curve=curve,
            progress=progress,
        )

    def job(flow: str, budget: PhaseBudget, progress: Progress) -> int:
        trained = [generator.alignment[flow]]
        return machine.run(partial(train, flow, budget), moves=[generator], trains=trained, progress=progress)

    jobs = {flow: partial(job, flow) for flow in seen}
    with training_only(generator, [value for values in own.values() for value in values]):
        return side_by_side("align", jobs, budget=budget, at_once=at_once, progress=progress)

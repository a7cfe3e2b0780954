"""The stages of a study: `align`, `diffuse`, `guide`. Each is a loss of one patient at a time.

loss = build_stage("diffuse", generator, patients, flows=("xray", "text"), records_per_patient=1,
                   timestep_draws=1, conditioning_dropout=0.1)
terms = loss.draw(pseudonym, generator=torch.Generator().manual_seed(seed))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medm2g.anchors import AnchorBank
from medm2g.errors import ConfigInvalid
from medm2g.generator import Generator
from medm2g.stages.align import AlignLoss
from medm2g.stages.diffuse import DiffuseLoss
from medm2g.stages.guide import GuideLoss
from medm2g.stages.source import PatientRecords, PatientSource, Term
from medm2g.stages.stage import Stage, stack_terms

__all__ = [
    "AlignLoss",
    "DiffuseLoss",
    "GuideLoss",
    "PatientRecords",
    "PatientSource",
    "Stage",
    "Term",
    "build_stage",
    "stack_terms",
]


def build_stage(
    name: str,
    generator: Generator,
    patients: PatientSource,
    *,
    flows: Sequence[str],
    records_per_patient: int,
    timestep_draws: int,
    conditioning_dropout: float,
    source_prompts: float = 0.0,
    flow_weights: Mapping[str, float] | None = None,
    anchors: AnchorBank | None = None,
) -> Stage:
    """The stage of that name for a site that declares `flows`. Raises ConfigInvalid.

    anchors: a bank built before, or None to encode it now (about a second). Aligning draws no timesteps;
    `source_prompts` is of `diffuse` alone. flow_weights: of the losses; a flow that is not named weighs 1.
    """
    stage: Stage
    if name == "diffuse":
        stage = DiffuseLoss(
            generator,
            patients,
            flows=flows,
            records_per_patient=records_per_patient,
            timestep_draws=timestep_draws,
            conditioning_dropout=conditioning_dropout,
            source_prompts=source_prompts,
        )
    elif name in ("align", "guide"):
        bank = anchors if anchors is not None else generator.anchors
        if name == "align":
            stage = AlignLoss(generator, patients, flows=flows, anchors=bank, records_per_patient=records_per_patient)
        else:
            stage = GuideLoss(
                generator,
                patients,
                flows=flows,
                anchors=bank,
                records_per_patient=records_per_patient,
                timestep_draws=timestep_draws,
                conditioning_dropout=conditioning_dropout,
            )
    else:
        raise ConfigInvalid(f"There is no stage called {name!r}: choose align, diffuse or guide.")
    stage.flow_weights = dict(flow_weights or {})
    return stage

"""Do generated images show what was asked of them, and does the unified space know what belongs together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from medm2g.generator import Generator
from medm2g.metrics.finding_scores import FindingScores, finding_scores
from medm2g.metrics.referee import Referee
from medm2g.metrics.retrieval import recall_at
from simulations.held_out import HeldOutFlow, HeldOutReport, Images

UNKNOWN = "No record's report says which one finding its image shows."


def finding_figures(flow: str, held: HeldOutFlow, made: Images, referee: Referee) -> dict[str, Any]:
    """The frozen classifier on generated images, and on the records that they were asked to resemble."""
    names = referee.config.labels
    known = [at for at, label in enumerate(held.labels) if label in names]
    if not known:
        return {"reason": UNKNOWN}
    asked = [str(held.labels[at]) for at in known]
    found = {
        name: finding_scores(referee.probabilities(flow, images[known]), names, asked)
        for name, images in (("made", made), ("real", held.images))
    }
    return {"records": len(known)} | {name: _record(scores) for name, scores in found.items()}


def _record(scores: FindingScores) -> dict[str, Any]:
    return {
        "accuracy": scores.accuracy,
        "auroc": scores.auroc,
        "mean_auroc": scores.mean_auroc if scores.auroc else None,
        "side": scores.side,
        "mean_side": scores.mean_side if scores.side else None,
    }


def retrieval_figures(generator: Generator, flow: str, reports: list[HeldOutReport]) -> dict[str, Any]:
    """Recall of each image's own report among all, and the reverse, by rank."""
    own = [report for report in reports if flow in report.sources]
    if len(own) < 2:
        return {"reason": "Fewer than two records of this flow have a report."}
    images = torch.tensor(np.stack([report.sources[flow] for report in own]))[:, None]
    with torch.no_grad():
        points = torch.cat([generator.align(flow, part).embedding.float() for part in images.split(64)])
    texts = [report.text for report in own]
    read = generator.encode_text(texts).pooled.float()
    coordinates = generator.anchors.coordinates
    return {"records": len(own)} | recall_at(coordinates(points), coordinates(read), texts)

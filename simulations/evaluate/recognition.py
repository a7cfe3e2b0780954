"""Is an image recognised as what it was drawn as: a small classifier of flows that has seen records only.

Of each flow's records the first half teaches it, the second says how far to believe it. A patient's records lie beside
each other, so at most one patient of a flow is in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medm2g.config import modality_of
from medm2g.metrics.referee import LabelledImages, Referee, train_referee
from simulations.held_out import Images

FEWEST = 32
"""Records of a flow that teach what it looks like, and as many that test."""
STEPS = 200
_BATCH = 32
_ANY = "any"
"""The classifier's only flow: it is not told which one an image is of."""


def recognition_figures(real: Mapping[str, Images], made: Mapping[str, Images], *, seed: int) -> dict[str, Any]:
    """By flow that has generated images: the share of them taken for this flow, and for any of its modality (a T1 taken
    for a T2 is still an MRI); the same of the records that did not teach. real, made: (n, s, s) unit images by flow.
    """
    flows = [flow for flow in real if len(real[flow]) >= 2 * FEWEST]
    if len(flows) < 2:
        reason = f"Fewer than two flows have {2 * FEWEST} records: there is nothing to take an image for instead."
        return {flow: {"reason": reason} for flow in made}
    classifier = _taught(flows, [real[flow][: len(real[flow]) // 2] for flow in flows], seed)
    figures: dict[str, Any] = {}
    for flow in made:
        if flow not in flows:
            figures[flow] = {"reason": f"Fewer than {2 * FEWEST} records of this flow."}
            continue
        half = len(real[flow]) // 2
        shown = {"made": made[flow], "real": real[flow][half:]}
        shares = {who: _shares(classifier, flows, flow, images) for who, images in shown.items()}
        figures[flow] = {"taught_by": half, **shares}
    return figures


def _taught(flows: Sequence[str], images: Sequence[Images], seed: int) -> Referee:
    labels = np.concatenate([np.full(len(own), number) for number, own in enumerate(images)])
    passes = max(1, round(STEPS / (len(labels) // _BATCH)))
    data = {_ANY: LabelledImages(np.concatenate(images), labels)}
    return train_referee(data, flows, passes=passes, batch_size=_BATCH, seed=seed)


def _shares(classifier: Referee, flows: Sequence[str], flow: str, images: Images) -> dict[str, float]:
    taken_for = [flows[number] for number in classifier.findings(_ANY, images)]
    return {
        "as_flow": float(np.mean([name == flow for name in taken_for])),
        "as_modality": float(np.mean([modality_of(name) == modality_of(flow) for name in taken_for])),
    }

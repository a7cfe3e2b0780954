"""Do generated images teach: a small classifier trained on them, and on records, tested on records that neither saw.

The records with a known finding are halved. From the prompts of the first half come the generated images; three
classifiers of one kind train on the half itself, on what was generated for it, and on both; the second half tests them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from medm2g.metrics.finding_scores import finding_scores
from medm2g.metrics.referee import LabelledImages, Referee, train_referee
from simulations.held_out import HeldOutFlow, Images

FEWEST = 64
"""Fewer labelled records teach a classifier nothing that could be told from chance."""
_PASSES = 30
_BATCH = 32


def utility_figures(flow: str, held: HeldOutFlow, made: Images, *, seed: int) -> dict[str, Any]:
    """Mean AUROC over findings, by what the classifier was trained on. made: one image per held-out record."""
    known = [at for at, label in enumerate(held.labels) if label is not None]
    if len(known) < FEWEST:
        return {"reason": f"Fewer than {FEWEST} records have one known finding: {len(known)}."}
    train, test = known[::2], known[1::2]
    asked = [str(held.labels[at]) for at in known]
    names = sorted(set(asked))
    numbers = {at: names.index(label) for at, label in zip(known, asked, strict=True)}
    sets = {
        "real": (held.images[train], train),
        "made": (made[train], train),
        "real_and_made": (np.concatenate([held.images[train], made[train]]), [*train, *train]),
    }
    figures: dict[str, Any] = {"train_records": len(train), "test_records": len(test)}
    for name, (images, rows) in sets.items():
        labelled = LabelledImages(images, np.array([numbers[row] for row in rows]))
        figures[name] = _tested(_trained(flow, labelled, names, seed), flow, held, test, names)
    return figures


def _trained(flow: str, labelled: LabelledImages, names: list[str], seed: int) -> Referee:
    return train_referee({flow: labelled}, names, passes=_PASSES, batch_size=_BATCH, seed=seed)


def _tested(classifier: Referee, flow: str, held: HeldOutFlow, test: list[int], names: list[str]) -> float | None:
    asked = [str(held.labels[at]) for at in test]
    scores = finding_scores(classifier.probabilities(flow, held.images[test]), names, asked)
    return scores.mean_auroc if scores.auroc else None

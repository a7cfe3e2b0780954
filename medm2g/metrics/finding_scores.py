"""Does a generated record mean what it was asked to mean: findings, and the sides that they are on.

Images are read by a classifier's probabilities, reports by the rule labeller (report_findings.py). Labels are spelt as
both spell them: `nodule-left`, `cardiomegaly`, and `none` for a healthy record.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from medm2g.errors import InputInvalid

HEALTHY = "none"
FEWEST = 5
"""Fewer records with or without a finding give no AUROC."""


@dataclass(frozen=True)
class FindingScores:
    """Of images that were asked to show one label each."""

    auroc: dict[str, float]
    """By finding, whatever its side: area under the ROC curve (0.5 is chance)."""
    side: dict[str, float]
    """By finding that has sides: how often the classifier's more probable side is the one asked for."""
    accuracy: float
    """How often the most probable label is the one asked for."""

    @property
    def mean_auroc(self) -> float:
        """Over findings."""
        return float(np.mean(list(self.auroc.values()))) if self.auroc else float("nan")

    @property
    def mean_side(self) -> float:
        """Over findings."""
        return float(np.mean(list(self.side.values()))) if self.side else float("nan")


def finding_scores(
    probabilities: npt.NDArray[np.floating], names: Sequence[str], asked: Sequence[str]
) -> FindingScores:
    """probabilities (n, labels) of the labels `names`, and the label that each image was asked to show.

    Raises InputInvalid for a label that the classifier does not know.
    """
    if unknown := sorted(set(asked) - set(names)):
        raise InputInvalid(f"The classifier does not know the label {unknown[0]}.")
    wanted, columns = np.array([name_of(label) for label in asked]), {name: at for at, name in enumerate(names)}
    auroc, side = {}, {}
    for finding in sorted({name_of(name) for name in names} - {HEALTHY}):
        own = [at for name, at in columns.items() if name_of(name) == finding]
        positive = wanted == finding
        if min(positive.sum(), (~positive).sum()) >= FEWEST:
            auroc[finding] = _auroc(probabilities[:, own].sum(1), positive)
        sides = [f"{finding}-left", f"{finding}-right"]
        sided = np.array([label in sides for label in asked])
        if all(name in columns for name in sides) and sided.sum() >= FEWEST:
            left, right = (probabilities[sided, columns[name]] for name in sides)
            to_left = np.array([label == sides[0] for label in asked])[sided]
            side[finding] = float(((left > right) == to_left).mean())
    best = probabilities.argmax(1)
    return FindingScores(
        auroc, side, float(np.mean([names[at] == label for at, label in zip(best, asked, strict=True)]))
    )


@dataclass(frozen=True)
class ReportScores:
    """Clinical F1 of written reports, micro over all findings with their sides, and by finding."""

    precision: float
    recall: float
    f1: float
    by_finding: dict[str, float] = field(default_factory=dict)


def report_scores(written: Sequence[Collection[str]], truth: Sequence[Collection[str]]) -> ReportScores:
    """Of the labels that each written report affirms with those that it should (micro-averaged).

    Raises ValueError for unequal or empty lists.
    """
    if len(written) != len(truth) or not truth:
        raise ValueError("each written report needs the labels that it should affirm, and there must be some")
    pairs = [(set(own), set(true)) for own, true in zip(written, truth, strict=True)]
    findings = sorted({name_of(label) for own, true in pairs for label in own | true})
    by_finding = {
        finding: _scores([(_of(own, finding), _of(true, finding)) for own, true in pairs])[2] for finding in findings
    }
    return ReportScores(*_scores(pairs), by_finding)


def name_of(label: str) -> str:
    """`nodule` of `nodule-left`."""
    return label.removesuffix("-left").removesuffix("-right")


def _of(labels: set[str], finding: str) -> set[str]:
    return {label for label in labels if name_of(label) == finding}


def _scores(pairs: Sequence[tuple[set[str], set[str]]]) -> tuple[float, float, float]:
    right = sum(len(own & true) for own, true in pairs)
    said, there = sum(len(own) for own, _ in pairs), sum(len(true) for _, true in pairs)
    precision, recall = right / said if said else 0.0, right / there if there else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0


def _auroc(scores: npt.NDArray[np.floating], positive: npt.NDArray[np.bool_]) -> float:
    """Mann-Whitney U over its largest value; ties count half."""
    ranks, count = rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))

"""Whether generated records mean what was asked: findings, sides, words, and neighbours in the unified space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medm2g.errors import InputInvalid
from medm2g.metrics.finding_scores import finding_scores, report_scores
from medm2g.metrics.referee import Referee
from medm2g.metrics.report_overlap import overlap
from medm2g.metrics.retrieval import recall_at

NAMES = ("none", "nodule-left", "nodule-right", "cardiomegaly")
ASKED = ["none"] * 10 + ["nodule-left"] * 10 + ["nodule-right"] * 10 + ["cardiomegaly"] * 10


def _sure(labels: list[str], *, of: float = 0.9) -> np.ndarray:
    found = np.full((len(labels), len(NAMES)), (1 - of) / (len(NAMES) - 1))
    found[np.arange(len(labels)), [NAMES.index(label) for label in labels]] = of
    return found


def test_findings_and_their_sides_are_scored_apart() -> None:
    right = finding_scores(_sure(ASKED), NAMES, ASKED)
    assert right.auroc == {"nodule": 1.0, "cardiomegaly": 1.0} and right.side == {"nodule": 1.0}
    assert (right.accuracy, right.mean_auroc, right.mean_side) == (1.0, 1.0, 1.0)
    mirrored = [{"nodule-left": "nodule-right", "nodule-right": "nodule-left"}.get(label, label) for label in ASKED]
    turned = finding_scores(_sure(mirrored), NAMES, ASKED)  # the finding is there, on the wrong side
    assert turned.auroc["nodule"] == 1.0 and turned.side["nodule"] == 0.0 and turned.accuracy == 0.5
    blind = finding_scores(np.full((40, 4), 0.25), NAMES, ASKED)
    assert blind.auroc == {"nodule": 0.5, "cardiomegaly": 0.5}  # ties count half
    few = finding_scores(_sure(ASKED[:24]), NAMES, ASKED[:24])
    assert "cardiomegaly" not in few.auroc and few.side == {"nodule": 1.0}
    with pytest.raises(InputInvalid, match="tumour"):
        finding_scores(_sure(ASKED), NAMES, ["tumour", *ASKED[1:]])


def test_auroc_is_that_of_torchmetrics() -> None:
    from torchmetrics.functional.classification import binary_auroc

    random = np.random.default_rng(2)
    probabilities = random.dirichlet(np.ones(4), size=40).round(1)  # with ties
    ours = finding_scores(probabilities, NAMES, ASKED).auroc["cardiomegaly"]
    theirs = binary_auroc(
        torch.as_tensor(probabilities[:, 3]), torch.tensor([a == "cardiomegaly" for a in ASKED]).long()
    )
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_clinical_f1_counts_findings_with_their_sides() -> None:
    truth = [{"nodule-left"}, {"effusion-right", "cardiomegaly"}, set()]
    scores = report_scores([{"nodule-left"}, {"effusion-left", "cardiomegaly"}, {"cardiomegaly"}], truth)
    assert (scores.precision, scores.recall) == pytest.approx((2 / 4, 2 / 3))
    assert scores.f1 == pytest.approx(4 / 7)
    assert scores.by_finding == pytest.approx({"nodule": 1.0, "effusion": 0.0, "cardiomegaly": 2 / 3})
    assert report_scores([set()], [set()]).f1 == 0.0
    with pytest.raises(ValueError, match="labels"):
        report_scores([set()], [])


def test_the_referee_gives_probabilities_of_what_it_was_taught() -> None:
    referee = Referee.load()
    images = np.random.default_rng(0).uniform(-1, 1, size=(5, 64, 64)).astype(np.float32)
    probabilities = referee.probabilities("xray", images)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == referee.findings("xray", images)).all()
    untaught = set(range(len(referee.config.labels))) - set(referee.config.flow_labels["xray"])
    assert untaught and (probabilities[:, sorted(untaught)] == 0).all()


def test_words_are_compared_as_the_reference_implementations_do() -> None:
    truth = ["Small nodule in the left lung. No effusion.", "Heart is enlarged."]
    same = overlap(truth, truth)
    assert same.bleu[0] == pytest.approx(1.0) and same.rouge_l == pytest.approx(1.0) and same.meteor > 0.98
    other = overlap(["small nodule in the right lung.", "hearts are enlarging."], truth)
    assert same.bleu[0] > other.bleu[0] > other.bleu[1] > other.bleu[2] >= other.bleu[3]
    assert 0.3 < other.rouge_l < 0.8 and 0.3 < other.meteor < 0.9
    stems = overlap(["hearts are enlarging."], ["heart is enlarged."])
    assert stems.meteor > 0.4 and stems.bleu[1] < 0.01  # METEOR's stems; BLEU sees other words
    assert overlap(["nothing alike"], ["small nodule"]).rouge_l == 0.0
    with pytest.raises(ValueError, match="should be"):
        overlap([], [])


def test_retrieval_finds_a_records_own_report_and_knows_chance() -> None:
    random = torch.Generator().manual_seed(0)
    points = F.normalize(torch.randn(40, 16, generator=random), dim=-1)
    reports = [f"Report {number}." for number in range(40)]
    exact = recall_at(points, points, reports)
    assert exact["image_to_text"] == {1: 1.0, 5: 1.0, 10: 1.0} == exact["text_to_image"]
    assert exact["chance"] == pytest.approx({1: 1 / 40, 5: 5 / 40, 10: 10 / 40})
    other = recall_at(points, torch.randn(40, 16, generator=random), reports)
    assert other["image_to_text"][1] < 0.2
    twins = [*reports[:20], *reports[:20]]  # every report twice: either is right
    assert recall_at(points, torch.cat([points[20:], points[:20]]), twins)["image_to_text"][1] == 1.0
    assert recall_at(points, points, twins)["chance"][1] == pytest.approx(2 / 40)
    with pytest.raises(ValueError, match="beside"):
        recall_at(points, points[:3], reports)

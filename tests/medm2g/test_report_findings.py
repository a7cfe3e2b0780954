"""The reader of reports: findings with their side, negation understood, on the phantoms' own wording and beyond."""

from __future__ import annotations

import pytest

from medm2g.metrics.report_findings import finding_labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Small nodule in the right lung, about 12 mm.", {"nodule-right"}),
        ("There is a large pleural effusion on the left. No pneumothorax.", {"effusion-left"}),
        ("Right sided airspace consolidation, moderate.", {"consolidation-right"}),
        ("The heart is enlarged, severe cardiomegaly.", {"cardiomegaly"}),
        ("The heart is not enlarged.", set()),
        ("No pleural effusion, no pneumothorax, the heart is not enlarged.", set()),
        ("No nodule, effusion or pneumothorax is seen on the left.", set()),
        ("No mass lesion, but a small left intraparenchymal haemorrhage.", {"bleed-left"}),
        ("Acute bleed in the right hemisphere, 14 mm.", {"bleed-right"}),
        ("Large mass in the left hemisphere with surrounding oedema, 30 mm.", {"tumour-left"}),
        ("The ventricles are enlarged, moderate ventriculomegaly.", {"ventriculomegaly"}),
        ("The ventricles are not enlarged. No white matter lesions.", set()),
        ("Multiple white matter lesions, in both hemispheres.", {"lesions"}),
        ("Effusion is not seen.", set()),
        ("Left effusion and right nodule.", {"effusion-left", "nodule-right"}),
        ("Normal study.", set()),
        ("", set()),
    ],
)
def test_findings_are_read_with_side_and_negation(text: str, labels: set[str]) -> None:
    assert finding_labels(text) == labels


def test_only_visible_findings_count() -> None:
    text = "Left nodule. Severe ventriculomegaly."
    assert finding_labels(text, visible={"ventriculomegaly"}) == {"ventriculomegaly"}


def test_swapping_the_sides_swaps_the_labels() -> None:
    assert finding_labels("Small left pneumothorax") == {"pneumothorax-left"}
    assert finding_labels("Small right pneumothorax") == {"pneumothorax-right"}

"""Recognition: records are taken for what they are, other things are not, and what cannot be said has a reason."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.evaluate import recognition
from simulations.held_out import Images


@pytest.fixture(scope="module")
def records() -> dict[str, Images]:
    """Three flows that differ as modalities do: a bright disc, a dark one, and stripes, in noise."""
    random = np.random.default_rng(4)
    rows, columns = np.mgrid[0:64, 0:64] / 32 - 1
    disc = (rows**2 + columns**2 < 0.5).astype(np.float32)
    shown = {"ct": disc - 0.5, "mri_t1": 0.5 - disc, "mri_t2": np.sin(12 * rows) / 2}
    return {flow: (image + random.normal(0, 0.2, (96, 64, 64))).astype(np.float32) for flow, image in shown.items()}


def test_images_are_taken_for_what_they_look_like(monkeypatch: pytest.MonkeyPatch, records: dict[str, Images]) -> None:
    monkeypatch.setattr(recognition, "STEPS", 60)
    made = {"ct": records["ct"], "mri_t1": records["mri_t2"]}  # a T1 that looks like a T2, and none of the third
    figures = recognition.recognition_figures(records, made, seed=0)
    assert set(figures) == set(made)
    assert figures["ct"]["made"] == {"as_flow": 1.0, "as_modality": 1.0}
    assert figures["mri_t1"]["made"] == {"as_flow": 0.0, "as_modality": 1.0}
    assert figures["mri_t1"]["real"]["as_flow"] == 1.0
    assert figures["ct"]["taught_by"] == 48


def test_an_image_of_another_modality_is_found_out(monkeypatch: pytest.MonkeyPatch, records: dict[str, Images]) -> None:
    monkeypatch.setattr(recognition, "STEPS", 60)
    figures = recognition.recognition_figures(records, {"ct": records["mri_t1"]}, seed=0)
    assert figures["ct"]["made"]["as_modality"] == 0.0
    assert figures["ct"]["real"]["as_modality"] == 1.0


def test_with_too_few_records_there_is_a_reason_instead(records: dict[str, Images]) -> None:
    few = {**records, "ct": records["ct"][: 2 * recognition.FEWEST - 1]}
    one = recognition.recognition_figures(
        {"ct": records["ct"], "mri_t1": records["mri_t1"][:10]}, {"ct": few["ct"]}, seed=0
    )
    assert "two flows" in one["ct"]["reason"]
    other = recognition.recognition_figures(few, {"ct": few["ct"]}, seed=0)
    assert "records of this flow" in other["ct"]["reason"]

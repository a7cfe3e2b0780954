"""Text drawn into images is found, untouched images are left alone, and a lone side marker is no text."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from client.records import dicom
from client.records.burned_text import shows_text
from client.records.reasons import Quarantined, Reason
from client.records.rules import ReadingRules

NAMES = ("DOE, JANE", "KOWALSKI^ANNA", "12/03/1954", "MRN 4482913", "15:42:07", "St. Mary's", "ID: 77120393", "F 063Y")


def _ellipse(size: int = 256) -> np.ndarray:
    """A body of smooth intensities in air, 0 to 255."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    return np.where(np.hypot(x / 0.4, y / 0.45) < 1.0, 120 + 60 * np.cos(9 * x) * np.cos(7 * y), 4.0).astype(np.float32)


def _with_text(plane: np.ndarray, text: str, height: int, where: tuple[int, int], grey: int = 255) -> np.ndarray:
    picture = Image.fromarray(np.clip(plane, 0, 255).astype(np.uint8))
    ImageDraw.Draw(picture).text(where, text, fill=grey, font=ImageFont.load_default(size=height))
    return np.asarray(picture, dtype=np.float32)


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("height", [12, 18])
def test_names_dates_and_numbers_in_a_corner_are_text(text: str, height: int) -> None:
    assert shows_text(_with_text(_ellipse(), text, height, (4, 4)))
    assert shows_text(255.0 - _with_text(_ellipse(), text, height, (4, 230)))  # dark on bright


@pytest.mark.parametrize("marker", ["L", "R", "AP"])
def test_a_lone_marker_of_side_or_view_is_none(marker: str) -> None:
    assert not shows_text(_with_text(_ellipse(), marker, 18, (6, 6)))


@pytest.mark.parametrize("scale", [1.0, 16.0])
def test_bodies_noise_and_stripes_are_no_text(scale: float) -> None:
    rng = np.random.default_rng(0)
    assert not shows_text(_ellipse() * scale)
    assert not shows_text((_ellipse() + rng.normal(0, 9, (256, 256))) * scale)
    assert not shows_text(np.zeros((64, 64))) and not shows_text(np.tile(np.arange(256.0) % 16, (256, 1)))


def test_text_in_a_large_image_is_found_after_it_is_averaged_down() -> None:
    large = _with_text(np.kron(_ellipse(), np.ones((10, 10), np.float32)), "DOE, JANE 1954", 110, (60, 60))
    assert large.shape == (2560, 2560) and shows_text(large)


def test_an_image_with_text_is_quarantined_unless_the_policy_allows_it(
    make_dicom: Callable[..., Dataset], encode: Callable[[Dataset], bytes]
) -> None:
    pixels = (16 * _with_text(_ellipse(), "DOE, JANE", 16, (5, 5))).astype(np.uint16)
    content = encode(make_dicom("DX", pixels))
    assert dicom.read(content) == Quarantined(Reason.TEXT_IN_PIXELS)
    assert isinstance(dicom.read(content, rules=ReadingRules(burned_in_text="allow")), list)
    said = encode(make_dicom("DX", (16 * _ellipse()).astype(np.uint16), BurnedInAnnotation="YES"))
    assert dicom.read(said) == Quarantined(Reason.BURNED_IN)
    assert isinstance(dicom.read(said, rules=ReadingRules(burned_in_text="allow")), list)


def test_secondary_captures_follow_the_policy_and_documents_never_come_in(
    make_dicom: Callable[..., Dataset], encode: Callable[[Dataset], bytes]
) -> None:
    pixels, open_rules = (
        (16 * _ellipse()).astype(np.uint16),
        ReadingRules(burned_in_text="allow", secondary_captures="allow"),
    )
    capture = encode(make_dicom("DX", pixels, SOPClassUID="1.2.840.10008.5.1.4.1.1.7"))
    assert dicom.read(capture) == Quarantined(Reason.SECONDARY_CAPTURE)
    assert isinstance(dicom.read(capture, rules=open_rules), list)
    for document in ("1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.104.1"):
        content = encode(make_dicom("DX", pixels, SOPClassUID=document))
        assert dicom.read(content, rules=open_rules) == Quarantined(Reason.NO_PIXELS)


def test_on_real_images_drawn_text_is_mostly_found_and_untouched_ones_mostly_pass(corpus: Path) -> None:
    with (corpus / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["path256"] and row["modality"] != "xray"
        ]  # these carry real text
    rng = Random(5)
    alarms = found = 0
    chosen = rng.sample(rows, 60)
    for row in chosen:
        plane = np.asarray(Image.open(corpus / row["path256"]).convert("L"), dtype=np.float32)
        alarms += shows_text(plane)
        found += shows_text(_with_text(plane, rng.choice(NAMES), 16, (4, rng.choice((4, 230)))))
    assert alarms <= 1 and found >= 0.8 * len(chosen)


def test_phantoms_show_no_text(tmp_path: Path) -> None:
    from simulations.phantoms.export import export_hospital

    export_hospital(tmp_path / "export", patients=6, seed=3, population="hospital-xray", size=64)
    files = list((tmp_path / "export").rglob("*.dcm"))
    readings = [dicom.read(path) for path in files]
    assert len(files) >= 6 and all(isinstance(one, list) for one in readings)

"""A picture is what its index row says, and CT grey goes back to Hounsfield units through the stated window."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from client.records import image
from client.records.reasons import Quarantined, Reason
from client.records.rules import AS_THEY_ARE
from client.records.sources import IndexRow

GREY = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))

NOISE = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)


def _png(pixels: np.ndarray, form: str = "PNG") -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def _row(modality: str, view: str = "", **others: str) -> IndexRow:
    return IndexRow(patient_id="p1", modality=modality, path="a.png", view_or_sequence=view, **others)


@pytest.mark.parametrize(
    ("view", "part", "width", "level"),
    [
        ("axial; window 400/40", "abdomen", 400, 40),
        ("axial; window 1500/-500", "chest", 1500, -500),
        ("axial; window 90/35", "head", 90, 35),
        ("Axial", "chest", 1500, -600),
        ("axial; grey 25..225 stretched", "head", 80, 40),
        ("axial; grey 101..181 stretched", "abdomen", 400, 40),
    ],
)
def test_ct_grey_becomes_hounsfield_units_through_the_window(view: str, part: str, width: float, level: float) -> None:
    array = image.read(_png(GREY), _row("ct", view, body_part=part), rules=AS_THEY_ARE)[0].array
    expected = np.maximum(level - width / 2 + GREY / 255 * width, -1024)
    np.testing.assert_allclose(array, expected, atol=0.51)


@pytest.mark.parametrize(
    ("modality", "view", "flow"),
    [
        ("xray", "AP Supine", "xray"),
        ("mri", "axial T1W", "mri_t1"),
        ("mri", "T1W+Gd (plane not stated)", "mri_t1"),
        ("mri", "axial T2W", "mri_t2"),
        ("mri", "axial FLAIR", "mri_flair"),
        ("CT", "axial", "ct"),
    ],
)
def test_a_row_decides_the_flow(modality: str, view: str, flow: str) -> None:
    (reading,) = image.read(_png(GREY), _row(modality, view))
    assert reading.flow == flow


def test_views_and_body_parts_come_out_of_the_vocabulary() -> None:
    (reading,) = image.read(_png(GREY), _row("xray", "L", body_part="chest/abdomen"))
    assert (reading.view_position, reading.body_part) == ("LATERAL", "chest")
    (reading,) = image.read(_png(GREY), _row("xray", "Mrs Roe's AP", body_part="Roe, Jane"))
    assert (reading.view_position, reading.body_part) == ("", "")


def test_sixteen_bits_and_jpeg_are_read() -> None:
    deep = image.read(_png(GREY.astype(np.uint16) * 257), _row("xray", "PA"))[0].array
    np.testing.assert_allclose(deep, image.read(_png(GREY), _row("xray", "PA"))[0].array, atol=1)
    packed = image.read(_png(GREY, "JPEG"), _row("xray", "PA"))[0].array
    np.testing.assert_allclose(packed, deep, atol=200)


@pytest.mark.parametrize(
    ("content", "row", "reason"),
    [
        (_png(GREY), _row("mri", "axial"), Reason.UNKNOWN_SEQUENCE),
        (_png(GREY), _row("ultrasound"), Reason.NO_FLOW),
        (_png(GREY), IndexRow(patient_id="", modality="ct", path="a.png"), Reason.NO_PATIENT),
        (_png(np.zeros((64, 64), np.uint8)), _row("xray"), Reason.BLANK),
        (_png(np.zeros((64, 64), np.uint8)), _row("ct"), Reason.BLANK),
        (_png(np.stack([GREY, GREY // 2, GREY], -1)), _row("xray"), Reason.COLOUR),
        (_png(NOISE)[:300], _row("xray"), Reason.PIXELS_UNREADABLE),
        (b"no picture at all", _row("xray"), Reason.NOT_AN_IMAGE),
        (_png(np.zeros((4, 64), np.uint8)), _row("xray"), Reason.TOO_SMALL),
    ],
)
def test_what_is_no_use_is_refused_with_its_reason(content: bytes, row: IndexRow, reason: Reason) -> None:
    assert image.read(content, row) == Quarantined(reason)

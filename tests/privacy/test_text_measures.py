"""The closed forms of numbers: measurements, grades and places stay; every other number goes."""

from __future__ import annotations

import pytest

from privacy.surrogates import marked, written
from privacy.text_measures import replace_unmeasured


def _closed(text: str) -> str:
    return written(replace_unmeasured(marked(text)))


@pytest.mark.parametrize(
    "text",
    [
        "12 x 10 x 8 mm, 1200-1400 HU, WBC 14000/mm3, 3.2 x 10^3/mm^3, SpO2 85%, T1W+Gd, 5X5",
        "T11-T12 and L4/5, segments 4/5, 5/6 ribs, 2/3 of the lumen, grade 3/6, ratio 10:1, stage C3",
        "COVID-19, 2019-nCoV, H1N1, Tc99m, interleukin-6, less than 200 cells/mm3; in 2019",
        "BI-RADS4B, TIRADS3, SUVmax12.6, segment5, MRI1.5T",
        "angle 94 degrees, saturation is 95 %, [NAME] measured 93 mm",
    ],
)
def test_what_medicine_measures_stays(text: str) -> None:
    assert _closed(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("number 83712", "number [ID]"),
        ("number 9,278,494 or 631 365 92", "number [ID] or [ID]"),
        ("number 46-22-47-6", "number [ID]"),
        ("EDD 8/17, seen 11/11", "EDD [DATE], seen [DATE]"),
        ("case [ID]@776", "case [ID][ID]"),
        ("[DATE] EST 2017", "[DATE][ID]"),
        ("(+356) [PHONE]", "[ID][PHONE]"),
        ("seen 27 10 1957, tag LXW63RN", "seen [DATE], tag [ID]"),
        ("she turned 99 in the ward", "she turned over 89 in the ward"),
        ("[NAME], 103, of this town", "[NAME], over 89, of this town"),
    ],
)
def test_what_it_does_not_goes(text: str, clean: str) -> None:
    assert _closed(text) == clean

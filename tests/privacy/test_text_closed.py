"""The closed vocabulary: what is not known goes, wherever it stands; words of reports stay, wherever they stand."""

from __future__ import annotations

import pytest

from privacy.surrogates import marked, written
from privacy.text_closed import replace_unlisted


def _closed(text: str) -> str:
    return written(replace_unlisted(marked(text)))


@pytest.mark.parametrize(
    "text",
    [
        "FDG-avid Virchow node, Deauville 2. Garden III fracture. Gleason 4+3. May-Thurner physiology.",
        "Guillain Barre. PI-RADS 4. Cranial nerve VIII. NG tube, pCO2 45 mmHg. Young patient, white matter.",
        "Findings may represent oedema. HC/AC ratio. CT Head Without Contrast.",
        "Seen with [NAME] Small left effusion.",
    ],
)
def test_what_reports_say_stays(text: str) -> None:
    assert _closed(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("the lungs of okonkwo are clear", "the lungs of [NAME] are clear"),
        ("reviewed with XQZ", "reviewed with [NAME]"),
        ("Consultant: White. Read by J.Z. Wade", "Consultant: [NAME]. Read by J.Z. [NAME]"),
        ("call dr ward", "call dr [NAME]"),
        ("[NAME] GREEN was told", "[NAME] [NAME] was told"),
        ("her husband Dwi", "her husband [NAME]"),
        ("a copy to Paloma [NAME]", "a copy to [NAME] [NAME]"),
        ("[NAME] van der [NAME]", "[NAME]"),
        ("scan in March, seen on Monday", "scan in [DATE], seen on [DATE]"),
    ],
)
def test_what_is_not_known_goes(text: str, clean: str) -> None:
    assert _closed(text) == clean


def test_whoever_says_something_is_a_person() -> None:
    assert written(replace_unlisted("As Green noted, no effusion.")) == "As [NAME] noted, no effusion."
    assert replace_unlisted("Green stool was noted.") == "Green stool was noted."


def test_a_name_that_is_a_place_in_the_body_stays_in_its_place() -> None:
    assert replace_unlisted("Fluid in the pouch of Douglas.") == "Fluid in the pouch of Douglas."
    assert written(replace_unlisted("Seen in the house of Douglas.")) == "Seen in the house of [NAME]."

"""Report text: no planted identifier survives, no medicine is lost, and doing it twice changes nothing."""

from __future__ import annotations

import csv
import re
import sys
import time
from pathlib import Path

import pytest

from privacy.report_text import with_surrogates

sys.path.insert(0, str(Path(__file__).parent))
from letters import CLINICAL, letter  # noqa: E402

LETTERS = 400


@pytest.fixture(scope="module")
def clean() -> list[str]:
    """The letters without identifiers, by seed."""
    return [with_surrogates(letter(seed).text) for seed in range(LETTERS)]


def _survivors(planted: tuple[str, ...], text: str) -> list[str]:
    """Planted values, and parts of names, that still stand in the text as words of their own."""
    parts = {
        part
        for value in planted
        for part in (value, *re.split(r"[\s,]+", value))
        if len(part) >= 2 and not re.fullmatch(r"\d{1,2}", part)
    }
    ordinary = {
        "general",
        "hospital",
        "medical",
        "center",
        "st.",
        "infirmary",
        "university",
        "of",
        "clinic",
    } | _common()
    return [
        part
        for part in sorted(parts)
        if part.lower() in text.lower()
        and part.lower() not in ordinary
        and re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text, re.IGNORECASE)
    ]


def _common() -> set[str]:
    """Parts that also stand in clinical sentences or say nothing alone."""
    return {word.strip(".,").lower() for text in CLINICAL for word in text.split()} | {"may", "year", "rd", "old"}


def test_no_planted_identifier_survives_in_hundreds_of_letters(clean: list[str]) -> None:
    survived = {}
    for seed in range(LETTERS):
        one = letter(seed)
        assert len(one.planted) >= 6
        if left := _survivors(one.planted, clean[seed]):
            survived[seed] = left
    assert not survived


def test_the_search_for_survivors_finds_them_in_untreated_letters() -> None:
    assert all(len(_survivors(letter(seed).planted, letter(seed).text)) >= 6 for seed in range(50))


def test_every_clinical_sentence_of_the_letters_survives_word_by_word(clean: list[str]) -> None:
    for seed in range(LETTERS):
        one = letter(seed)
        kept = " ".join(clean[seed].split())
        assert all(sentence in kept for sentence in one.clinical), seed


def test_doing_it_twice_changes_nothing(clean: list[str]) -> None:
    assert [with_surrogates(text) for text in clean[::4]] == clean[::4]


@pytest.mark.parametrize(
    "text",
    [
        "36 mm nodule, T2 signal, L4-L5 and C3, 12 x 10 x 8 mm, 1200-1400 HU, SpO2 85%, WBC 14000/mm3, "
        "3.2 x 10^3/mm^3.",
        "Right upper lobe, left lateral ventricle, PA and lateral views, stage C3, 13/mmc CD4+ cells, Tc99m, H1N1.",
        "MR BRAIN and MS plaques. DR CHEST: clear. Kerley B lines, Chiari malformation, Guillain Barre, "
        "Hill Sachs lesion.",
        "SARS-CoV-2, COVID-19 and 2019-nCoV in 2019. Segments 4/5. L1-2-3. Ratio 10:1. A 54-year-old male, 45 y/o.",
        "Lesion 12 may represent a cyst; marked oedema in the second segment.",
        "Findings were discussed with Neurosurgery. The Emergency Department was informed.",
        "Patient: 54-year-old male with cough. Imaging Notes: Reversed Halo Sign. Presentation: Chronic Cough.",
        "Normal study.",
        "",
    ],
)
def test_medicine_is_left_as_it_stands(text: str) -> None:
    assert with_surrogates(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Seen by Dr. Roe on 3 May 2021: 36 mm nodule, T12.", "Seen by Dr. [NAME] on [DATE]: 36 mm nodule, T12."),
        ("Reviewed with Maria Gonzalez.", "Reviewed with [NAME]."),
        ("Call 555-123-4567 or ext. 4421.", "Call [PHONE] or [PHONE]."),
        ("UID 1.2.840.113619.2.55.3 of scan.", "UID [ID] of scan."),
        ("Lives at 12 Elm Street, Boston, MA 02115 alone.", "Lives at [ADDRESS], [ADDRESS] alone."),
        ("Referred from Mercy General Hospital for CT.", "Referred from [HOSPITAL] for CT."),
        ("A 92-year-old woman.", "An over 89-year-old woman."),
        ("Aged 89 years. Age: 090Y.", "Aged 89 years. Age: over 89Y."),
        ("Male, 93 years. Patient: 90 years, male.", "Male, over 89 years. Patient: over 89 years, male."),
        ("For 12 years; 45 years old; 120 mm.", "For 12 years; 45 years old; 120 mm."),
        ("DOE, JANE   1234567   12/04/1950\nClear lungs.", "[NAME]   [ID]   [DATE]\nClear lungs."),
        ("J\u200bohn Sm\u00adith was seen on 2021\u201105\u201103.", "[NAME] was seen on [DATE]."),
        ("Patient: Doe, Jane  DOB: 01/02/1960", "Patient: [NAME]  DOB: [DATE]"),
    ],
)
def test_identifiers_give_way_to_surrogates(text: str, clean: str) -> None:
    assert with_surrogates(text) == clean


def test_known_words_of_the_patient_are_struck_wherever_they_stand() -> None:
    text = "the lungs of okonkwo are clear, AB12; Chest clear."
    clean = with_surrogates(text, known=["Okonkwo", "AB12", "Chest"])
    assert clean == "the lungs of [NAME] are clear, [ID]; Chest clear."


@pytest.mark.parametrize(
    "piece",
    ["a", "A", "1", " ", "Dr ", "A. ", "Jo-", "Jo Li ", "1-", "1.", "a@", "12/", "(1) ", "Name: ", "\n", "of The "],
)
def test_a_hostile_text_takes_no_longer_than_its_length(piece: str) -> None:
    began = time.process_time()
    with_surrogates(piece * (12_000 // len(piece)))
    assert time.process_time() - began < 5.0


def test_clean_phantom_reports_lose_no_word() -> None:
    import numpy as np

    from simulations.phantoms.draw import draw_patient
    from simulations.phantoms.population import POPULATIONS
    from simulations.phantoms.report import regions_of, report

    rng, flows = np.random.default_rng(7), ("xray", "ct", "mri_t1", "text")
    reports = [
        report(patient, population, region, flows)
        for population in POPULATIONS.values()
        for patient in (draw_patient(rng, population) for _ in range(25))
        for region in regions_of(patient, flows)
    ]
    assert len(reports) >= 150
    assert [text for text in reports if with_surrogates(text) != text] == []


def test_public_notes_lose_nothing_but_dates(corpus: Path) -> None:
    with (corpus / "index.csv").open(encoding="utf-8", newline="") as file:
        notes = {row["text"] for row in csv.DictReader(file) if row["text_kind"] == "clinical_notes"}
    assert len(notes) > 100
    lost = 0
    for text in notes:
        plain = re.sub(r"\[DATE\]", "", with_surrogates(text))
        lost += "[" in plain and "[" not in text
    assert lost <= 0.01 * len(notes)

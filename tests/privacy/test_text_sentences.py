"""What a site keeps of a report: sentences that hold no surrogate and speak of medicine."""

from __future__ import annotations

import pytest

from privacy.report_text import deidentify
from privacy.text_sentences import kept_sentences


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Seen by Dr. [NAME] on [DATE]. There is a 36 mm nodule.", "There is a 36 mm nodule."),
        ("No effusion. Compared with [DATE] the nodule has grown. Normal heart.", "No effusion. Normal heart."),
        ("Patient of Dr. Gray of [HOSPITAL]. Clear lungs.", "Clear lungs."),  # a title's stop ends no sentence
        ("FINDINGS:\nSmall pneumothorax\n[NAME], [DATE]", "FINDINGS:\nSmall pneumothorax"),
        ("Ward, Day and Long.\nNo fracture.", "No fracture."),  # words of reports, and all of them surnames
        ("Wade Clinic\n\nMild oedema.", "Mild oedema."),  # words of letterheads are not about medicine
        ("Long about Ward.", ""),  # nor is a word that says nothing
        ("Reported by J. [NAME]", ""),
        ("Male, 19 years. Patient: over 89 years, male.", "Male, 19 years. Patient: over 89 years, male."),
        ("27 10 57.\nOld infarct.", "Old infarct."),
        ("Tumour of 1.5 cm. Oedema!", "Tumour of 1.5 cm. Oedema!"),  # a decimal point ends nothing
        ("", ""),
    ],
)
def test_sentences_that_are_kept(text: str, kept: str) -> None:
    assert kept_sentences(text) == kept
    assert kept_sentences(kept) == kept


def test_paragraphs_stay_paragraphs() -> None:
    assert kept_sentences("Chest X-ray.\n\n[NAME]\n\n[DATE]\n\nNo oedema.") == "Chest X-ray.\n\nNo oedema."


def test_a_surname_that_is_a_word_leaves_with_the_name_beside_it() -> None:
    text = "Discussed with Gray and with Dr. Kowalczyk at 14:10. The left lower lobe is consolidated."
    assert deidentify(text) == "The left lower lobe is consolidated."


def test_a_line_is_judged_whole() -> None:
    assert deidentify("FROM: SIMEN LIE\nRE: VAN BEAUMONT, JOEL / H-4552-B\nMild oedema.") == "Mild oedema."
    assert deidentify("Indication: Saarinen is known to Long's clinic. No oedema.") == "No oedema."

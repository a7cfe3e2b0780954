"""Reports by an adversary: no number survives, hardly a name does, and medicine is left alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import privacy.report_text
from privacy.report_text import deidentify
from privacy.text_words import is_known

sys.path.insert(0, str(Path(__file__).parent))
import planted_reports  # noqa: E402
from planted_reports import PlantedReport, planted_report, survivors, words_lost  # noqa: E402

LISTS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
REPORTS, FIRST_SEED = 65, 70_000
"""Of each list: seeds that nobody looked at while the rules were tuned."""
NUMBERS = ("phone", "email", "url", "ssn", "nhs", "uid", "policy", "ip", "mrn", "age")


@pytest.fixture(scope="module")
def reports() -> list[tuple[PlantedReport, str]]:
    """(report, result), 520 of them."""
    made = [planted_report(FIRST_SEED + number, which) for which in LISTS for number in range(REPORTS)]
    return [(report, deidentify(report.text)) for report in made]


def test_the_search_for_survivors_finds_them_in_every_untreated_report(
    reports: list[tuple[PlantedReport, str]],
) -> None:
    assert all(survivors(report, report.text) for report, _ in reports)


def test_no_number_of_a_person_survives_in_hundreds_of_reports(reports: list[tuple[PlantedReport, str]]) -> None:
    assert len(reports) >= 500
    left = [found for report, clean in reports for found in survivors(report, clean) if found[0] in NUMBERS]
    assert left == []


def test_reports_with_any_survivor_are_few_and_what_survives_are_names_that_are_words(
    reports: list[tuple[PlantedReport, str]],
) -> None:
    left = [survivors(report, clean) for report, clean in reports]
    assert sum(map(bool, left)) <= 0.025 * len(reports)
    names = [part for found in left for kind, _, part in found if kind == "name"]
    assert [part for part in names if part[0].isupper() and not is_known(part)] == []


def test_hardly_a_clinical_word_is_lost(reports: list[tuple[PlantedReport, str]]) -> None:
    lost, words = (sum(figures) for figures in zip(*(words_lost(*one) for one in reports), strict=True))
    assert words > 10_000 and lost <= 0.002 * words


def test_doing_it_twice_changes_nothing(reports: list[tuple[PlantedReport, str]]) -> None:
    clean = [one for _, one in reports[::5]]
    assert [deidentify(text) for text in clean] == clean


def _failures(*without: str) -> int:
    """Reports with a survivor when these rules do nothing, of 240."""
    with pytest.MonkeyPatch.context() as patch:
        for rule in without:
            patch.setattr(privacy.report_text, rule, lambda text: text)
        made = [planted_report(FIRST_SEED + number, which) for which in LISTS for number in range(30)]
        return sum(bool(survivors(report, deidentify(report.text))) for report in made)


def test_the_closed_vocabulary_left_out_is_noticed() -> None:
    assert _failures("replace_unlisted") > 30


@pytest.mark.parametrize("rule", ["replace_unknown", "replace_numbers", "replace_names"])
def test_a_rule_that_is_left_out_is_noticed(rule: str) -> None:
    assert _failures("replace_unlisted", rule) > 1.15 * _failures("replace_unlisted")


def test_the_names_of_the_adversary_are_not_our_own_list() -> None:
    from privacy.text_words import is_given_name

    people = [
        value for number in range(200) for kind, value in planted_report(number, "second").planted if kind == "name"
    ]
    parts = {part for value in people for part in planted_reports.telling_parts("name", value)}
    assert sum(map(is_given_name, parts)) < 0.35 * len(parts)

"""Reports by an adversary: nothing survives in what a site keeps; rules and sentences each have their part in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import privacy.report_text
from privacy.report_text import deidentify, with_surrogates
from privacy.text_sentences import kept_sentences
from privacy.text_words import is_known

sys.path.insert(0, str(Path(__file__).parent))
import planted_reports  # noqa: E402
from planted_reports import PlantedReport, planted_report, survivors, words_lost  # noqa: E402

LISTS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
REPORTS, FIRST_SEED = 52, 70_000
"""Of each list: seeds that nobody looked at while the rules were tuned."""
NUMBERS = ("phone", "email", "url", "ssn", "nhs", "uid", "policy", "ip", "mrn", "age")


@pytest.fixture(scope="module")
def reports() -> list[PlantedReport]:
    """520 of them."""
    return [planted_report(FIRST_SEED + number, which) for which in LISTS for number in range(REPORTS)]


@pytest.fixture(scope="module")
def whole(reports: list[PlantedReport]) -> list[str]:
    """Each with surrogates."""
    return [with_surrogates(report.text) for report in reports]


@pytest.fixture(scope="module")
def kept(reports: list[PlantedReport], whole: list[str]) -> list[str]:
    """What a site keeps of each: `deidentify`, whose first half is at hand."""
    kept = [kept_sentences(text) for text in whole]
    assert kept[::20] == [deidentify(report.text) for report in reports[::20]]
    return kept


def _left(reports: list[PlantedReport], clean: list[str]) -> list[list[tuple[str, str, str]]]:
    return [found for one in zip(reports, clean, strict=True) if (found := survivors(*one))]


def test_the_search_for_survivors_finds_them_in_every_untreated_report(reports: list[PlantedReport]) -> None:
    assert len(_left(reports, [report.text for report in reports])) == len(reports) >= 500


def test_nothing_planted_survives_in_what_a_site_keeps(reports: list[PlantedReport], kept: list[str]) -> None:
    assert _left(reports, kept) == []


def test_rules_leave_no_number_of_a_person_and_few_names_all_of_them_words(
    reports: list[PlantedReport], whole: list[str]
) -> None:
    left = _left(reports, whole)
    assert 0 < len(left) <= 0.05 * len(reports)  # above 0: what the sentences are for
    assert [found for report in left for found in report if found[0] in NUMBERS] == []
    names = [part for report in left for kind, _, part in report if kind == "name"]
    assert [part for part in names if part[0].isupper() and not is_known(part)] == []


@pytest.mark.parametrize(("which", "most"), [("whole", 0.01), ("kept", 0.2)])
def test_clinical_words_lost(
    reports: list[PlantedReport], which: str, most: float, request: pytest.FixtureRequest
) -> None:
    clean: list[str] = request.getfixturevalue(which)
    lost, words = map(sum, zip(*map(words_lost, reports, clean), strict=True))
    assert words > 10_000 and lost <= most * words


@pytest.mark.parametrize(("which", "again"), [("whole", with_surrogates), ("kept", deidentify)])
def test_doing_it_twice_changes_nothing(
    which: str, again: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    clean: list[str] = request.getfixturevalue(which)
    assert [again(text) for text in clean[::5]] == clean[::5]


@cache
def _failures(*without: str) -> int:
    """Reports with a survivor behind the other rules when these do nothing, of 120."""
    with pytest.MonkeyPatch.context() as patch:
        for rule in without:
            patch.setattr(privacy.report_text, rule, lambda text: text)
        made = [planted_report(FIRST_SEED + number, which) for which in LISTS for number in range(12)]
        return sum(bool(survivors(report, with_surrogates(report.text))) for report in made)


def test_the_closed_vocabulary_left_out_is_noticed() -> None:
    assert _failures("replace_unlisted") > 12


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

"""docs/privacy.md names, for every pitfall, a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "privacy.md"
NAMED = re.compile(r"`(test_\w+)\.py::(\w+)`")
SEVERITIES = ("critical", "theoretical", "utility", "negligible")


def rows(page: str) -> list[list[str]]:
    """Cells of every row of the pitfall tables, without their heads."""
    found = [
        [cell.strip() for cell in line.strip("| \n").split(" | ")] for line in page.splitlines() if line[:2] == "| "
    ]
    return [row for row in found if row[0] not in ("pitfall", "---")]


def missing_tests(page: str) -> list[str]:
    """Tests that the page names and that no file under tests/ defines."""
    missing = []
    for file, test in NAMED.findall(page):
        paths = list((ROOT / "tests").rglob(f"{file}.py"))
        defined = {
            node.name
            for path in paths
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef)
        }
        if test not in defined:
            missing.append(f"{file}.py::{test}")
    return missing


def rows_at_fault(page: str) -> list[str]:
    """Pitfalls of another form than the table's, or critical ones without a test."""
    return [
        row[0]
        for row in rows(page)
        if len(row) != 5
        or row[1] not in SEVERITIES
        or not (NAMED.search(row[4]) or row[4].startswith("none"))
        or (row[1] == "critical" and not NAMED.search(row[4]))
    ]


def test_every_test_that_the_page_names_is_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(NAMED.findall(page)) > 50
    assert missing_tests(page) == []


def test_every_pitfall_has_a_severity_and_every_critical_one_a_test() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(rows(page)) > 45
    assert rows_at_fault(page) == []


@pytest.mark.parametrize(
    "line",
    [
        "| a | critical | b | c | `test_mechanism.py::test_that_nobody_wrote` |",
        "| a | critical | b | c | `test_nowhere.py::test_anything` |",
        "| a | critical | b | c | `test_mechanism.py::fixed_` |",
    ],
)
def test_planted_a_test_that_is_not_there_is_noticed(line: str) -> None:
    assert len(missing_tests(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "| a | critical | b | c | none yet |",
        "| a | grave | b | c | `test_mechanism.py::test_a` |",
        "| a | critical | b | `test_mechanism.py::test_a` |",
        "| a | theoretical | b | c | |",
    ],
)
def test_planted_a_row_without_a_test_or_a_severity_is_noticed(line: str) -> None:
    assert rows_at_fault(line) == ["a"]

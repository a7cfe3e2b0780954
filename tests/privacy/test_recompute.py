"""The account from scratch: nothing of ours or of dp_accounting in it, the same figures."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from privacy.accounting import epsilon
from privacy.audit import recompute
from privacy.events import SampledGaussian, sampled_gaussian

FILE = Path(recompute.__file__)


def ours(events: list[tuple[float, ...]]) -> list[SampledGaussian]:
    return [
        sampled_gaussian(
            sampling_probability=q,
            noise_multiplier=z,
            steps=int(steps),
            batch_cap=int(cap[0]) if cap else None,
            max_patients=int(cap[1]) if cap else None,
        )
        for q, z, steps, *cap in events
    ]


@pytest.mark.parametrize(
    ("events", "delta", "known"),
    [
        ([(0.01, 1.0, 10_000)], 1e-5, 6.18774),
        ([(1.0, 1.0, 1)], 1e-5, 4.37718),
        ([(1.0, 0.5, 1)], 1e-5, 9.99726),
        ([(0.001, 1.0, 10_000)], 1e-6, 0.555),
        ([(0.01, 1.0, 1000, 160, 10_000)], 1e-5, 1.8283),
    ],
)
def test_known_answers_to_a_third_of_a_hundredth(events: list[tuple[float, ...]], delta: float, known: float) -> None:
    assert recompute.epsilon(events, delta) == pytest.approx(known, rel=3e-3)


@pytest.mark.parametrize(
    "events",
    [
        [(0.1, 0.7, 22), (0.2, 0.7, 44), (0.15, 0.7, 22), (1.0, 20.0, 3)],
        [(0.1, 1.0, 40, 21, 60), (0.2, 1.5, 30)],
        [(0.5, 0.6, 3)],
    ],
)
def test_a_study_of_unequal_stages_costs_the_same_to_a_hundredth(events: list[tuple[float, ...]]) -> None:
    assert recompute.epsilon(events, 3e-4) == pytest.approx(epsilon(ours(events), delta=3e-4), rel=0.01)


@pytest.mark.parametrize("fault", ["nine tenths of the noise", "one step less", "one direction only"])
def test_planted_an_account_that_is_off_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison to a hundredth is not blind: each fault moves the figure by more."""
    events: list[tuple[float, ...]] = [(0.5, 1.0, 8)]
    truth = epsilon(ours(events), delta=3e-4)
    if fault == "nine tenths of the noise":
        events = [(0.5, 0.9, 8)]
    elif fault == "one step less":
        events = [(0.5, 1.0, 7)]
    else:
        right = recompute._epsilon_one_way
        monkeypatch.setattr(recompute, "_epsilon_one_way", lambda e, d, g, removing: right(e, d, g, False))
    assert abs(recompute.epsilon(events, 3e-4) / truth - 1.0) > 0.01


def test_what_costs_more_than_it_can_say_is_infinite() -> None:
    assert recompute.epsilon([(1.0, 0.05, 1)], 1e-5) == float("inf")


def test_it_needs_numpy_and_nothing_of_ours_and_stays_short() -> None:
    text = FILE.read_text(encoding="utf-8")
    imported = {
        name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert {str(name).split(".")[0] for name in imported} <= {"__future__", "collections", "math", "sys", "numpy"}
    assert len(text.splitlines()) <= 100


def test_it_runs_alone_from_the_command_line(tmp_path: Path) -> None:
    alone = tmp_path / "recompute.py"
    alone.write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(alone), "1e-5", "1,1,1"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert float(done.stdout) == pytest.approx(4.3772, abs=1e-3)

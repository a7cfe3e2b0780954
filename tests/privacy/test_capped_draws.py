"""Draws with a cap: never more patients than it, charged as their own event, refused where nothing was planned."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from privacy.accounting import PLAN_GRID, epsilon
from privacy.errors import MechanismMisused
from privacy.events import CappedSampledGaussian, LedgerContext, StagePlan, StudyPlan
from privacy.mechanism import Mechanism
from privacy.noise import NoiseStream
from tests.privacy.releases import UNLIKELY, fixed


class Capped:
    """A site whose plan caps its draws, at q = 0.2 and at most 100 patients."""

    CAP = 47

    def __init__(self, make_site: Callable[..., Any], **changes: Any) -> None:
        self.site = make_site(max_patients=100)
        self.changes = {"batch_cap": self.CAP, "max_patients": 100} | changes

    def mechanism(self, patients: list[str], **more: Any) -> Mechanism:
        return self.site.mechanism(patients, round_number=1, **(self.changes | more))


@pytest.fixture
def capped(make_site: Callable[..., Any], doubles: SimpleNamespace) -> Capped:
    made = Capped(make_site)
    stages = (StagePlan(stage="align", sampling_probability=0.2, steps=20, batch_cap=47, max_patients=100),)
    cost = epsilon([stage.event(2.0) for stage in stages], delta=doubles.DELTA, grid=PLAN_GRID)
    made.site.ledger.approve(
        StudyPlan(study_digest="c" * 64, noise_multiplier=2.0, stages=stages, delta=doubles.DELTA, epsilon=cost)
    )
    made.site.context = lambda **_: LedgerContext(study_digest="c" * 64, stage="align", round_number=1)
    return made


def test_no_more_patients_than_the_cap_enter_a_step_and_each_with_equal_chance(
    capped: Capped, doubles: SimpleNamespace
) -> None:
    class Everybody(NoiseStream):
        def bernoulli(self, count: int, probability: float) -> np.ndarray:
            return np.ones(count, bool)

    patients = [f"p{n}" for n in range(60)]
    mechanism = capped.mechanism(patients, stream=Everybody)
    drawn = np.array([np.isin(patients, mechanism._sampled()) for _ in range(2000)], float)
    assert (drawn.sum(1) == capped.CAP).all()
    assert all(stats.binomtest(int(count), 2000, capped.CAP / 60).pvalue > UNLIKELY for count in drawn.sum(0))


def test_a_draw_below_the_cap_is_left_as_it_is(capped: Capped) -> None:
    mechanism = capped.mechanism([f"p{n}" for n in range(50)])
    sizes = np.array([len(mechanism._sampled()) for _ in range(2000)])
    assert abs(sizes.mean() - 10) < 0.5 and abs(sizes.var() - 8) < 1.5


def test_the_capped_event_is_planned_charged_and_executed(capped: Capped, doubles: SimpleNamespace) -> None:
    loss, patients, parameters = fixed(doubles, [1.0])
    mechanism = capped.mechanism(patients)
    with mechanism.open(2):
        release = mechanism.step(parameters, loss)
    expected = CappedSampledGaussian(
        sampling_probability=0.2, noise_multiplier=2.0, steps=2, batch_cap=47, max_patients=100
    )
    assert capped.site.ledger.events()["c" * 64] == [expected] and release.event == expected.one_step()


def test_a_mechanism_with_another_cap_or_without_one_is_refused_by_the_ledger(capped: Capped) -> None:
    for changes in ({"batch_cap": 48}, {"max_patients": 99}, {"batch_cap": None, "max_patients": None}):
        with pytest.raises(MechanismMisused), capped.mechanism(["p"], **changes).open(1):
            pass


def test_a_cap_is_refused_where_none_was_planned(site: Any) -> None:
    with pytest.raises(MechanismMisused), site.mechanism(["p"], batch_cap=47, max_patients=100).open(1):
        pass


def test_more_patients_than_the_cap_was_charged_for_are_refused(capped: Capped) -> None:
    with pytest.raises(MechanismMisused) as refused:
        capped.mechanism([f"p{n}" for n in range(101)])
    assert "101" not in str(refused.value)

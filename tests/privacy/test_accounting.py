"""Accounting against known answers (notes/privacy.md section 5.1), and the calibration of whole studies."""

from __future__ import annotations

import math
import time

import pytest

from privacy.accounting import (
    Adjacency,
    calibrate_noise_multiplier,
    epsilon,
    epsilon_prv,
    epsilon_rdp,
    plan_study,
)
from privacy.errors import ConfigInvalid
from privacy.events import NonPrivate, SampledGaussian

FINE = 1e-4


def event(probability: float, multiplier: float, steps: int) -> SampledGaussian:
    return SampledGaussian(sampling_probability=probability, noise_multiplier=multiplier, steps=steps)


@pytest.mark.parametrize(
    ("sampled", "delta", "rdp", "prv", "pld"),
    [
        (event(0.01, 1.0, 10_000), 1e-5, 6.7128, 6.1980, 6.18774),
        (event(0.01, 0.8, 1000), 1e-5, 3.695, 3.151, 3.141),
        (event(0.01, 1.0, 1000), 1e-5, 2.101, 1.838, 1.828),
        (event(0.001, 1.0, 10_000), 1e-6, 0.980, 0.565, 0.555),
        (event(0.05, 4.0, 5000), 1e-5, 4.209, 3.899, 3.888),
        (event(0.25, 10.0, 2000), 1e-5, 5.410, 5.021, 5.011),
    ],
)
def test_three_accountants_give_the_known_answers_in_the_known_order(
    sampled: SampledGaussian, delta: float, rdp: float, prv: float, pld: float
) -> None:
    by_pld = epsilon([sampled], delta=delta, grid=FINE)
    by_rdp, by_prv = epsilon_rdp([sampled], delta=delta), epsilon_prv([sampled], delta=delta)
    assert by_pld == pytest.approx(pld, abs=6e-4)
    assert by_rdp == pytest.approx(rdp, abs=2e-3)
    assert by_prv == pytest.approx(prv, abs=2e-3)
    assert by_rdp >= by_pld and abs(by_prv - by_pld) < 0.02


@pytest.mark.parametrize(("multiplier", "analytic"), [(1.0, 4.37718), (2.0, 1.99309), (0.5, 9.99726)])
def test_one_gaussian_release_costs_what_the_formula_says(multiplier: float, analytic: float) -> None:
    assert epsilon([event(1.0, multiplier, 1)], delta=1e-5, grid=FINE) == pytest.approx(analytic, abs=1e-4)


def test_replacing_a_patient_costs_more_than_adding_one() -> None:
    sampled = [event(0.01, 1.0, 10_000)]
    assert epsilon(sampled, delta=1e-5, adjacency=Adjacency.REPLACE_ONE) == pytest.approx(10.8808, abs=0.02)


def test_a_coarser_grid_is_an_upper_bound() -> None:
    stages = [event(0.2, 1.2, 20), event(0.1, 1.2, 40)]
    figures = [epsilon(stages, delta=3e-4, grid=grid) for grid in (3e-4, 1e-3, 1e-2)]
    assert figures == sorted(figures)


def test_a_composition_costs_the_same_in_any_order_and_however_it_is_cut() -> None:
    whole = [event(0.2, 1.2, 20), event(0.1, 2.0, 10)]
    cut = [event(0.1, 2.0, 7), *[event(0.2, 1.2, 1)] * 20, event(0.1, 2.0, 3)]
    assert epsilon(whole, delta=1e-4) == epsilon(cut, delta=1e-4)


def test_nothing_costs_nothing_and_a_release_without_privacy_everything() -> None:
    for figure in (epsilon, epsilon_rdp, epsilon_prv):
        assert math.isinf(figure([event(0.1, 1.0, 1), NonPrivate(steps=1)], delta=1e-5))
    assert epsilon([], delta=1e-5) == epsilon_rdp([], delta=1e-5) == 0.0


def test_more_steps_more_sampling_or_less_noise_never_cost_less() -> None:
    base = epsilon([event(0.1, 1.5, 20)], delta=1e-4)
    for dearer in (event(0.1, 1.5, 21), event(0.11, 1.5, 20), event(0.1, 1.4, 20)):
        assert epsilon([dearer], delta=1e-4) > base


@pytest.mark.parametrize(("target", "multiplier"), [(1.0, 3.867), (3.0, 1.572), (10.0, 0.802)])
def test_calibration_gives_the_known_noise(target: float, multiplier: float) -> None:
    found = calibrate_noise_multiplier([event(0.01, 1.0, 10_000)], target_epsilon=target, delta=1e-5)
    assert found == pytest.approx(multiplier, rel=4e-3)


def test_a_whole_study_is_calibrated_tightly_within_its_epsilon_and_in_time() -> None:
    began = time.process_time()
    plan = plan_study(
        study_digest="d",
        stages={"align": (0.1, 20), "diffuse": (0.2, 40), "guide": (0.15, 20)},
        spare=0.1,
        max_epsilon=8.0,
        delta=0.1 / 160,
    )
    seconds = time.process_time() - began
    assert [stage.steps for stage in plan.stages] == [22, 44, 22]
    assert 8.0 * 0.995 < plan.epsilon <= 8.0
    assert 7.9 < epsilon(plan.events(), delta=plan.delta) <= 8.0 <= epsilon_rdp(plan.events(), delta=plan.delta)
    assert seconds < 20.0, "it should be two; only something gone wrong takes ten times that"


def test_calibration_is_remembered() -> None:
    events = [event(0.2, 1.0, 20), event(0.2, 1.0, 20)]
    first = calibrate_noise_multiplier(events, target_epsilon=8.0, delta=1e-3)
    began = time.perf_counter()
    assert calibrate_noise_multiplier(events[::-1], target_epsilon=8.0, delta=1e-3) == first
    assert time.perf_counter() - began < 0.05


@pytest.mark.parametrize(("target", "delta"), [(0.0, 1e-5), (float("nan"), 1e-5), (1.0, 0.0), (1.0, 1.0), (-1.0, 1e-5)])
def test_impossible_targets_are_refused(target: float, delta: float) -> None:
    with pytest.raises(ConfigInvalid):
        calibrate_noise_multiplier([event(0.1, 1.0, 10)], target_epsilon=target, delta=delta)


def test_calibrating_nothing_is_refused() -> None:
    with pytest.raises(ConfigInvalid):
        calibrate_noise_multiplier([], target_epsilon=1.0, delta=1e-5)

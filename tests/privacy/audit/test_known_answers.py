"""The estimators give the answers that are known, to two decimals, and stay below the truth."""

from __future__ import annotations

import numpy as np
import pytest

from privacy.accounting import epsilon
from privacy.audit.one_run import Guesses, gaussian_bound, steinke_epsilon
from privacy.audit.threshold_bounds import Passed, clopper_pearson_epsilon, gaussian_epsilon_bound
from privacy.audit.trade_off import (
    ClaimedCurve,
    GaussianCurve,
    claimed_curve,
    claimed_epsilon,
    gaussian_epsilon,
    gaussian_mu,
    stated_curve,
)
from privacy.errors import ConfigInvalid
from privacy.events import NonPrivate, SampledGaussian

BETA = 0.05


def guesses(canaries: int, made: int, correct: int) -> Guesses:
    return Guesses(canaries=canaries, made=made, correct=correct)


@pytest.mark.parametrize(
    ("case", "delta", "known"),
    [
        ((100, 100, 100), 0.0, 3.4930),
        ((1000, 1000, 1000), 0.0, 5.8091),
        ((1000, 1000, 1000), 1e-5, 5.7823),
        ((1000, 1000, 1000), 1e-3, 3.4890),
        ((1000, 1000, 500), 0.0, 0.0),
        ((1000, 1000, 750), 0.0, 0.9767),
        ((1000, 1000, 750), 1e-5, 0.9764),
        ((1000, 100, 100), 1e-5, 3.4654),
        ((10000, 500, 480), 1e-5, 2.7704),
    ],
)
def test_the_one_run_bound_is_the_known_one(case: tuple[int, int, int], delta: float, known: float) -> None:
    assert steinke_epsilon(guesses(*case), delta=delta, significance=BETA) == pytest.approx(known, abs=5e-4)


def test_all_right_has_a_closed_form() -> None:
    right = BETA ** (1 / 100)
    found = steinke_epsilon(guesses(100, 100, 100), delta=0.0, significance=BETA)
    assert found == pytest.approx(np.log(right / (1 - right)), abs=1e-6)


@pytest.mark.parametrize(
    ("case", "mu", "known"),
    [
        ((1000, 1000, 1000), 2.3681, 12.3346),
        ((1000, 1000, 750), 0.4606, 1.8189),
        ((1000, 100, 100), 1.2255, 5.5490),
        ((10000, 500, 480), 0.8826, 3.7904),
    ],
)
def test_the_f_dp_bound_is_the_known_one(case: tuple[int, int, int], mu: float, known: float) -> None:
    bound = gaussian_bound(guesses(*case), delta=1e-5, significance=BETA)
    assert (bound.mu, bound.epsilon) == (pytest.approx(mu, abs=5e-4), pytest.approx(known, abs=5e-3))


@pytest.mark.parametrize(("mu", "known"), [(0.5, 1.99309), (1.0, 4.37718), (2.0, 9.99726), (4.0, 24.38)])
def test_the_gaussian_mechanism_has_its_known_epsilon(mu: float, known: float) -> None:
    assert gaussian_epsilon(mu, delta=1e-5) == pytest.approx(known, abs=5e-3 if mu == 4 else 1e-4)
    assert gaussian_mu(known, delta=1e-5) == pytest.approx(mu, abs=1e-3)


MECHANISM = {  # notes/privacy.md 6.2, m = 100000: Steinke, f-DP, Clopper-Pearson, GDP-CP
    0.5: (1.20, 1.39, 1.23, 1.85),
    1.0: (2.59, 3.19, 2.52, 4.21),
    2.0: (4.73, 7.06, 5.12, 9.81),
}


@pytest.mark.parametrize("mu", sorted(MECHANISM))
def test_four_bounds_on_a_gaussian_mechanism_are_near_the_known_run_and_below_the_truth(mu: float) -> None:
    """Each canary its own coordinate; best of a few thresholds, as the known run took it: hence the margins."""
    rng = np.random.default_rng(3)
    coins = rng.random(100_000) < 0.5
    scores = np.where(coins, mu, 0.0) + rng.normal(size=coins.size)
    order = np.argsort(scores)
    found = np.zeros(4)
    for kept in (250, 1000, 4000, 16000):
        out, into = order[:kept], order[-kept:]
        made = guesses(coins.size, 2 * kept, int((~coins[out]).sum() + coins[into].sum()))
        threshold = scores[into[0]]
        passed = Passed(
            members=int(coins.sum()),
            members_passed=int((scores[coins] >= threshold).sum()),
            others=int((~coins).sum()),
            others_passed=int((scores[~coins] >= threshold).sum()),
        )
        here = (
            steinke_epsilon(made, delta=1e-5, significance=BETA),
            gaussian_bound(made, delta=1e-5, significance=BETA).epsilon,
            clopper_pearson_epsilon(passed, delta=1e-5, significance=BETA),
            gaussian_epsilon_bound(passed, delta=1e-5, significance=BETA),
        )
        found = np.maximum(found, here)
    assert found == pytest.approx(np.array(MECHANISM[mu]), rel=0.15, abs=0.12)
    assert (found < gaussian_epsilon(mu, delta=1e-5)).all()


def test_a_claimed_curve_of_one_gaussian_is_the_gaussian_curve_from_below() -> None:
    event = [SampledGaussian(sampling_probability=1.0, noise_multiplier=1.0, steps=1)]
    claimed, exact = claimed_curve(event), GaussianCurve(1.0)
    for rate in (1e-6, 1e-3, 0.01, 0.1, 0.31, 0.5, 0.9, 0.999):
        low, true = claimed.false_negative_rate(rate), exact.false_negative_rate(rate)
        assert true - 2e-3 <= low <= true + 1e-9
    assert claimed.ceiling([0.0, 1.0]) == pytest.approx([0.0, 1.0], abs=1e-4)


def test_a_claimed_curve_falls_with_less_noise_and_agrees_with_the_accountant() -> None:
    events = [
        SampledGaussian(sampling_probability=0.02, noise_multiplier=0.7, steps=20),
        SampledGaussian(sampling_probability=0.1, noise_multiplier=0.7, steps=22),
    ]
    assert claimed_epsilon(events, delta=1e-4) == pytest.approx(epsilon(events, delta=1e-4), rel=2e-3)
    rates = [0.001, 0.01, 0.1]
    full, half = claimed_curve(events).ceiling(rates), claimed_curve(events, noise_scale=0.5).ceiling(rates)
    assert (full < half).all() and (full >= rates).all()


def test_a_release_without_privacy_has_no_curve_and_curves_are_convex() -> None:
    with pytest.raises(ConfigInvalid, match="non-private"):
        claimed_curve([NonPrivate(steps=1)])
    with pytest.raises(ConfigInvalid, match="no events"):
        claimed_curve([])
    curve = ClaimedCurve(np.array([0.0, 1.0, 2.0]), np.array([0.4, 0.2, 0.1]))
    values = [curve.false_negative_rate(rate) for rate in np.linspace(0, 1, 201)]
    assert (np.diff(values, 2) >= -1e-12).all() and values[0] == pytest.approx(0.9) and min(values) == 0.0


def test_a_bare_claim_has_the_curve_of_its_two_numbers() -> None:
    curve = stated_curve(2.0, delta=0.01)
    for rate in np.linspace(0, 1, 41):
        best = max(0.0, 1 - 0.01 - np.exp(2.0) * rate, np.exp(-2.0) * (1 - 0.01 - rate))
        assert curve.false_negative_rate(float(rate)) == pytest.approx(best, abs=1e-9)
    assert stated_curve(0.0, delta=0.0).ceiling([0.3]) == pytest.approx([0.3])


def test_guesses_that_cannot_be_are_refused() -> None:
    for case in ((10, 11, 3), (10, 5, 6), (0, 0, 0), (10, 5, -1)):
        with pytest.raises(ConfigInvalid):
            guesses(*case)

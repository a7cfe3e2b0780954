"""Accounting against known answers (notes/privacy.md section 5.1), and the calibration of whole studies."""

from __future__ import annotations

import json
import math
import time

import pytest

from privacy import events as events_module
from privacy.accounting import (
    _calibrated,
    calibrate_noise_multiplier,
    epsilon,
    epsilon_across_studies,
    epsilon_prv,
    epsilon_rdp,
    plan_study,
)
from privacy.errors import ConfigInvalid
from privacy.events import (
    CappedSampledGaussian,
    NonPrivate,
    SampledGaussian,
    StagePlan,
    StudyPlan,
    decode_event,
    encode_event,
    least_batch_cap,
    sampled_gaussian,
)
from privacy.loss_distribution import Adjacency, cap_probability
from privacy.renyi import FILTER_ORDERS, adaptive_epsilon, epsilon_of_moment, total_moment

FINE = 1e-4


def event(probability: float, multiplier: float, steps: int) -> SampledGaussian:
    return SampledGaussian(sampling_probability=probability, noise_multiplier=multiplier, steps=steps)


@pytest.mark.parametrize(
    ("sampled", "delta", "rdp", "prv", "pld"),
    [
        (event(0.01, 1.0, 10_000), 1e-5, 6.7128, 6.1980, 6.18774),
        (event(0.01, 0.8, 1000), 1e-5, 3.695, 3.151, 3.141),
        (event(0.01, 1.0, 1000), 1e-5, 2.101, 1.838, 1.828),
        (event(0.01, 2.0, 10_000), 1e-5, 2.353, 2.173, 2.163),
        (event(0.005, 0.6, 2000), 1e-5, 6.355, 5.349, 5.339),
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


def test_the_other_two_accountants_of_one_gaussian_release() -> None:
    assert epsilon_prv([event(1.0, 1.0, 1)], delta=1e-5) == pytest.approx(4.3874, abs=1e-3)
    assert epsilon_rdp([event(1.0, 1.0, 1)], delta=1e-5) == pytest.approx(4.7285, abs=1e-3)


def test_the_central_limit_figure_lies_below_the_truth_and_is_nowhere_used() -> None:
    from opacus.accountants.analysis.gdp import compute_eps_poisson

    by_limit = compute_eps_poisson(steps=10_000, noise_multiplier=1.0, sample_rate=0.01, delta=1e-5)
    assert by_limit == pytest.approx(6.0071, abs=1e-3)
    assert by_limit < epsilon([event(0.01, 1.0, 10_000)], delta=1e-5)


@pytest.mark.parametrize(
    ("target", "by_prv", "by_rdp"), [(1.0, 3.867, 4.141), (3.0, 1.572, 1.665), (10.0, 0.802, 0.830)]
)
def test_the_known_noise_costs_the_target_by_each_accountant(target: float, by_prv: float, by_rdp: float) -> None:
    assert epsilon_prv([event(0.01, by_prv, 10_000)], delta=1e-5) == pytest.approx(target, rel=1e-2)
    assert epsilon_rdp([event(0.01, by_rdp, 10_000)], delta=1e-5) == pytest.approx(target, rel=1e-2)


def test_replacing_a_patient_costs_more_than_adding_one() -> None:
    sampled = [event(0.01, 1.0, 10_000)]
    assert epsilon(sampled, delta=1e-5, adjacency=Adjacency.ADD_REMOVE) == pytest.approx(6.18774, abs=2e-3)
    assert epsilon(sampled, delta=1e-5, adjacency=Adjacency.REPLACE_ONE) == pytest.approx(10.8808, abs=0.02)


def test_moments_know_no_replaced_patient_under_poisson_sampling() -> None:
    """dp_accounting refuses; so does nobody here offer `epsilon_rdp` another adjacency."""
    from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent, UnsupportedEventError, rdp

    with pytest.raises(UnsupportedEventError):
        rdp.RdpAccountant(neighboring_relation=NeighboringRelation.REPLACE_ONE).compose(
            PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0))
        )


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
    searched = _calibrated.cache_info().misses
    assert calibrate_noise_multiplier(events[::-1], target_epsilon=8.0, delta=1e-3) == first
    assert _calibrated.cache_info().misses == searched


@pytest.mark.parametrize(("target", "delta"), [(0.0, 1e-5), (float("nan"), 1e-5), (1.0, 0.0), (1.0, 1.0), (-1.0, 1e-5)])
def test_impossible_targets_are_refused(target: float, delta: float) -> None:
    with pytest.raises(ConfigInvalid):
        calibrate_noise_multiplier([event(0.1, 1.0, 10)], target_epsilon=target, delta=delta)


def test_calibrating_nothing_is_refused() -> None:
    with pytest.raises(ConfigInvalid):
        calibrate_noise_multiplier([], target_epsilon=1.0, delta=1e-5)


# --- capped draws ----------------------------------------------------------------------------------------------------


def capped(
    probability: float, multiplier: float, steps: int, patients: int, cap: int | None = None
) -> CappedSampledGaussian:
    least = least_batch_cap(sampling_probability=probability, max_patients=patients)
    return CappedSampledGaussian(
        sampling_probability=probability,
        noise_multiplier=multiplier,
        steps=steps,
        batch_cap=least if cap is None else cap,
        max_patients=patients,
    )


@pytest.mark.parametrize(("cap", "known"), [(160, 1.8283), (140, 1.971), (120, 5.30), (100, 10.77)])
def test_a_capped_draw_costs_the_known_answer(cap: int, known: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """notes/privacy.md section 5.2; 1.8282 without a cap. Caps below the least cannot be built without this patch."""
    monkeypatch.setattr(events_module, "CAP_DEVIATIONS", 0.0)
    found = epsilon([capped(0.01, 1.0, 1000, 10_000, cap)], delta=1e-5, grid=1e-3)
    assert known * 0.9999 <= found <= known * (1.02 if cap > 100 else 1.08), "ours bounds any number of patients"


@pytest.mark.parametrize(("probability", "patients"), [(0.2, 130), (0.1, 60)])
def test_the_least_cap_is_nearly_free_and_never_below_the_librarys_own_event(probability: float, patients: int) -> None:
    from dp_accounting import NeighboringRelation, TruncatedSubsampledGaussianDpEvent, pld

    ours, plain = capped(probability, 1.0, 60, patients), event(probability, 1.0, 60)
    figure, without = (epsilon([given], delta=1e-5, grid=1e-3) for given in (ours, plain))
    assert without < figure < without * 1.001
    for present in (patients, patients // 2):
        accountant = pld.PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=1e-3)
        exact = TruncatedSubsampledGaussianDpEvent(present, probability, ours.batch_cap, 1.0)
        assert accountant.compose(exact, 60).get_epsilon(1e-5) <= figure * (1 + 1e-9)
    assert epsilon_rdp([ours], delta=1e-5) >= figure


def test_a_cap_that_costs_privacy_is_refused() -> None:
    least = least_batch_cap(sampling_probability=0.2, max_patients=100)
    assert least == 20 + 27  # 6 sqrt(20) is 26.8
    capped(0.2, 1.0, 1, 100, least)
    for cap in (least - 1, 0, True):
        with pytest.raises(ConfigInvalid):
            capped(0.2, 1.0, 1, 100, cap)
    with pytest.raises(ConfigInvalid):
        capped(0.2, 1.0, 1, 0, 50)


def test_half_a_cap_is_refused() -> None:
    for half in ({"batch_cap": 50, "max_patients": None}, {"batch_cap": None, "max_patients": 100}):
        with pytest.raises(ConfigInvalid):
            sampled_gaussian(sampling_probability=0.1, noise_multiplier=1.0, steps=1, **half)


def test_a_capped_event_is_another_mechanism_and_survives_the_ledgers_encoding() -> None:
    one, plain = capped(0.2, 1.0, 5, 100), event(0.2, 1.0, 5)
    assert not one.same_mechanism(plain) and not plain.same_mechanism(one)
    assert one.same_mechanism(capped(0.2, 1.0, 9, 100)) and not one.same_mechanism(capped(0.2, 1.0, 5, 101))
    assert decode_event(encode_event(one)) == one and encode_event(one)["kind"] != encode_event(plain)["kind"]


def test_opacus_accountant_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ConfigInvalid):
        epsilon_prv([capped(0.2, 1.0, 5, 100)], delta=1e-5)


# --- whole studies and several ---------------------------------------------------------------------------------------


def test_metric_releases_and_caps_are_calibrated_in() -> None:
    metrics = [StagePlan(stage="diffuse/metrics", sampling_probability=1.0, steps=3, noise_multiplier=12.0)]
    full = plan_study(
        study_digest="d",
        stages={"align": (0.1, 4), "diffuse": (0.2, 8)},
        spare=0.25,
        max_epsilon=1.5,
        delta=1e-3,
        metric_releases=metrics,
        capped_at=120,
    )
    assert 1.5 * 0.99 < full.epsilon <= 1.5
    assert [stage.steps for stage in full.stages] == [5, 10, 4]
    assert full.stage_event("diffuse/metrics") == event(1.0, 12.0, 4)
    assert full.stage_event("align") == capped(0.1, full.noise_multiplier, 5, 120)
    assert epsilon(full.events()[:2], delta=1e-3) < 1.45, "the metric releases are a part of it"
    assert StudyPlan.from_dict(json.loads(json.dumps(full.to_dict()))) == full


def test_a_plan_without_caps_is_written_as_it_always_was() -> None:
    assert set(StagePlan(stage="align", sampling_probability=0.1, steps=2).to_dict()) == {
        "stage",
        "sampling_probability",
        "steps",
    }


def test_metric_releases_that_cost_everything_are_refused() -> None:
    loud = [StagePlan(stage="metrics", sampling_probability=1.0, steps=5, noise_multiplier=0.5)]
    silent = [StagePlan(stage="metrics", sampling_probability=1.0, steps=5)]
    for releases in (loud, silent):
        with pytest.raises(ConfigInvalid):
            plan_study(
                study_digest="d",
                stages={"align": (0.1, 10)},
                spare=0.0,
                max_epsilon=2.0,
                delta=1e-3,
                metric_releases=releases,
            )


def test_several_studies_cost_the_sum_of_their_caps_or_the_filter_whichever_is_smaller() -> None:
    study = [event(0.1, 1.2, 80)]
    cap = epsilon(study, delta=1e-4)
    few, many = (epsilon_across_studies([study] * n, [cap] * n, delta=1e-3) for n in (2, 5))
    assert few < 2 * cap and many < 5 * cap, "the filter is the smaller one"
    assert few > epsilon_rdp(study * 2, delta=1e-3), "and pays for the freedom to choose"
    assert many > few > cap
    small = [event(0.01, 5.0, 1)]
    assert epsilon_across_studies([small] * 2, [0.01, 0.01], delta=1e-6) == pytest.approx(0.02), "or the sum is"
    assert epsilon_across_studies([], [], delta=1e-3) == 0.0
    assert epsilon_across_studies([study], [7.5], delta=1e-3) == 7.5
    assert math.isinf(epsilon_across_studies([study, [NonPrivate(steps=1)]], [cap, cap], delta=1e-3))


def test_several_studies_without_a_cap_each_are_refused() -> None:
    study = [event(0.1, 1.2, 80)]
    for caps in ([1.0], [1.0, float("nan")], [1.0, -1.0]):
        with pytest.raises(ConfigInvalid):
            epsilon_across_studies([study] * 2, caps, delta=1e-3)
    with pytest.raises(ConfigInvalid):
        epsilon_across_studies([study] * 2, [1.0, 1.0], delta=0.0)


def test_the_filter_takes_a_share_of_delta_for_every_order() -> None:
    """Planted: the whole delta for each, which holds only where nothing is chosen."""
    study = [event(0.1, 1.2, 200)]
    naive = min(epsilon_of_moment(a, total_moment(study, a), delta=1e-3) for a in FILTER_ORDERS)
    assert adaptive_epsilon(study, delta=1e-3) > naive
    assert adaptive_epsilon(study, delta=len(FILTER_ORDERS) * 1e-3) == pytest.approx(naive)


@pytest.mark.parametrize("order", [1.3, 2.0, 3.7, 17.0, 64.0])
@pytest.mark.parametrize(("probability", "multiplier"), [(0.01, 1.0), (0.2, 0.7), (0.5, 2.0), (1.0, 1.5)])
def test_moments_are_those_of_an_integral_and_of_the_library(
    order: float, probability: float, multiplier: float
) -> None:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, rdp
    from scipy.integrate import quad

    found = total_moment([event(probability, multiplier, 1)], order)

    def integrand(x: float) -> float:
        log_ratio = math.log(1 - probability + probability * math.exp((2 * x - 1) / (2 * multiplier**2)))
        return math.exp(order * log_ratio - x**2 / (2 * multiplier**2)) / (multiplier * math.sqrt(2 * math.pi))

    if order < 10:
        points = [0.0, order]
        exact, _ = quad(integrand, -12 * multiplier, order + 12 * multiplier, points=points, limit=400)
        assert found == pytest.approx(math.log(exact) / (order - 1), rel=1e-6)
    if order == int(order):
        accountant = rdp.RdpAccountant(orders=[order])
        accountant.compose(PoissonSampledDpEvent(probability, GaussianDpEvent(multiplier)))
        assert found == pytest.approx(float(accountant._rdp[0]), rel=1e-6)


def test_moments_of_a_capped_draw_lie_above_those_without_and_are_the_coins_mean() -> None:
    one = capped(0.1, 1.0, 1, 60)
    plain, pushed = event(0.1, 1.0, 1), event(0.1, 0.5, 1)
    for order in (1.5, 3.0, 9.0):
        figures = [math.exp((order - 1) * total_moment([e], order)) for e in (plain, one, pushed)]
        bites = cap_probability(one)
        assert figures[0] < figures[1]
        assert figures[1] == pytest.approx((1 - bites) * figures[0] + bites * figures[2], rel=1e-9)

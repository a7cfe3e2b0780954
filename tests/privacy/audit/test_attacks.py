"""Attack statistics: known answers, intervals that cover, tests that hold their level and see what was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri
from torch import nn

from privacy.audit.inversion import cosine, optimised, read_back, row_ratio, similarity
from privacy.audit.linking import linking
from privacy.audit.membership import Membership, area, standardised
from privacy.audit.memorisation import memorisation, own_prompt_scores
from privacy.audit.trade_off import claimed_curve
from privacy.errors import ConfigInvalid
from privacy.events import SampledGaussian

RNG = np.random.default_rng


def gaussian_scores(mu: float, count: int, seed: int) -> Membership:
    rng = RNG(seed)
    return Membership(rng.normal(mu, 1, count), rng.normal(0, 1, count))


# --- membership -----------------------------------------------------------------------------------------------------


def test_the_area_counts_pairs_and_ties_as_half() -> None:
    members, others = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    pairs = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    assert area(members, others) == pytest.approx(np.mean(pairs))


def test_a_perfect_and_a_blind_attack_have_honest_intervals() -> None:
    perfect = Membership(np.arange(20.0) + 100, np.arange(20.0)).auc
    assert perfect.value == 1.0 == perfect.high and 0.8 < perfect.low < 0.95
    assert gaussian_scores(0, 400, 1).auc.low < 0.5 < gaussian_scores(0, 400, 1).auc.high


def test_the_area_s_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth = float(ndtr(1 / np.sqrt(2)))
    found = [gaussian_scores(1.0, 60, seed).auc for seed in range(300)]
    assert 0.91 <= np.mean([interval.low <= truth <= interval.high for interval in found]) <= 0.99


def test_the_rate_at_few_false_positives_is_right_and_says_when_it_is_not_resolved() -> None:
    at = gaussian_scores(2.0, 4000, 2).at(0.01)
    truth = float(ndtr(2.0 - 2.3263))
    assert at.true_positive_rate.low <= truth <= at.true_positive_rate.high and at.resolved
    few = gaussian_scores(2.0, 50, 3).at(0.001)
    assert not few.resolved and few.upper_false_positive_rate == pytest.approx(1 - 0.05 ** (1 / 50))


def test_the_curve_lies_between_its_corners_and_its_area_is_the_auc() -> None:
    attack = gaussian_scores(1.0, 200, 4)
    false, true = attack.curve()
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(attack.auc.value, abs=1e-9)


CLAIM = [SampledGaussian(sampling_probability=1.0, noise_multiplier=1.0, steps=1)]


def test_an_attack_as_strong_as_the_claim_allows_seldom_pierces_it_and_a_stronger_one_does() -> None:
    curve = claimed_curve(CLAIM)
    alarms = sum(gaussian_scores(1.0, 200, seed).exceeds(curve) for seed in range(150))
    assert alarms <= 0.05 * 150
    assert all(gaussian_scores(4.0, 200, seed).exceeds(curve) for seed in range(20))


def test_what_the_ceiling_s_test_would_have_seen_is_what_it_sees() -> None:
    curve, few = claimed_curve(CLAIM), gaussian_scores(0.0, 10, 1)
    assert few.detectable(curve) is None
    seen = gaussian_scores(0.0, 400, 2).detectable(curve)
    assert seen is not None and seen.true_positive_rate.value > curve.ceiling(seen.false_positive_rate)[0]
    strength = float(ndtri(seen.true_positive_rate.value + 0.05) - ndtri(seen.false_positive_rate))
    assert sum(gaussian_scores(strength, 400, seed).exceeds(curve) for seed in range(10)) >= 8


def test_scores_of_several_flows_come_to_one_scale() -> None:
    rng = RNG(6)
    others, members = rng.normal(7, 3, 5000), rng.normal(10, 3, 5000)
    scaled, base = standardised(members, others)
    assert np.median(base) == pytest.approx(0) and base.std() == pytest.approx(1, abs=0.05)
    assert scaled.mean() == pytest.approx(1, abs=0.1)


def test_too_few_patients_or_damaged_scores_are_refused() -> None:
    with pytest.raises(ConfigInvalid, match="at least 8"):
        Membership(np.zeros(7), np.zeros(100))
    with pytest.raises(ConfigInvalid, match="not finite"):
        Membership(np.full(10, np.nan), np.zeros(10))


# --- memorisation ---------------------------------------------------------------------------------------------------


def test_a_generator_of_the_population_is_not_called_a_copier_oftener_than_stated() -> None:
    alarms = 0
    for seed in range(120):
        rng = RNG(seed)
        samples = rng.normal(size=(60, 1, 6)).repeat(3, 1).reshape(180, 6)  # samples that are alike, three at a time
        alarms += memorisation(samples, rng.normal(size=(50, 6)), rng.normal(size=(50, 6)), seed=seed).p_value <= 0.05
    assert alarms <= 12  # 5 % of 120 is 6; 12 would come once in fifty times at exactly that rate


def test_planted_copies_are_counted_and_noticed() -> None:
    rng = RNG(3)
    trained, held_out = rng.normal(size=(50, 30)), rng.normal(size=(50, 30))
    samples = np.concatenate([trained[:30] + 0.01 * rng.normal(size=(30, 30)), rng.normal(size=(70, 30))])
    found = memorisation(samples, trained, held_out)
    assert found.p_value < 0.01 and 30 <= found.copies <= 36 and found.held_out_copies <= 6
    assert found.nearest_share > found.detectable_share > found.expected_share == 0.5


def test_a_sample_that_is_nearest_to_whose_prompt_it_followed_scores_high() -> None:
    rng = RNG(4)
    patients = rng.normal(size=(20, 8))
    prompted_by = np.arange(20).repeat(2)
    remembering = patients[prompted_by] + 0.1 * rng.normal(size=(40, 8))
    scores = own_prompt_scores(remembering, prompted_by, patients)
    assert (scores > 2).all()
    assert np.isnan(own_prompt_scores(remembering[:4], prompted_by[:4], patients)[2:]).all()


# --- inversion ------------------------------------------------------------------------------------------------------


def linear_gradient(x: torch.Tensor, *, noise: float = 0.0, clip: float | None = None) -> list[torch.Tensor]:
    torch.manual_seed(0)
    layer, head = nn.Linear(40, 12), nn.Linear(12, 1)
    loss = head(torch.tanh(layer(x))).square().sum()
    gradient = list(torch.autograd.grad(loss, [layer.weight, layer.bias]))
    if clip is not None:
        length = torch.cat([part.flatten() for part in gradient]).norm()
        gradient = [part * min(1.0, clip / float(length)) for part in gradient]
    return [part + noise * torch.randn_like(part) for part in gradient]


def test_the_row_ratio_reads_an_input_exactly_and_clipping_does_not_help() -> None:
    inputs = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    for clip in (None, 1e-3):
        found = [row_ratio(*linear_gradient(x, clip=clip)) for x in inputs]
        assert min(similarity(got, x) for got, x in zip(found, inputs, strict=True)) > 0.9999
        assert read_back(found, list(inputs)).p_value < 0.01


def test_noise_of_the_clipping_norm_leaves_nothing_to_read() -> None:
    inputs = torch.randn(12, 40, generator=torch.Generator().manual_seed(2))
    found = [row_ratio(*linear_gradient(x, clip=1.0, noise=1.0)) for x in inputs]
    result = read_back(found, list(inputs))
    assert abs(result.own) < 0.3 and result.p_value > 0.01


def test_optimisation_reads_what_has_no_linear_layer() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))
    parameters = [p for name, p in net.named_parameters() if name.startswith(("0", "2"))]

    def gradient_of(x: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(net(x).square().sum(), parameters, create_graph=True))

    truth = torch.randn(1, 1, 8, 8)
    exact = [part.detach() for part in gradient_of(truth)]
    found = optimised(exact, gradient_of, truth.shape, steps=250, starts=2)
    assert similarity(found, truth) > 0.8
    noisy = [part + part.std() * 20 * torch.randn_like(part) for part in exact]
    assert similarity(optimised(noisy, gradient_of, truth.shape, steps=50, starts=1), truth) < 0.6
    assert float(cosine(exact, exact)) == pytest.approx(1.0)


def test_recoveries_of_nobody_are_called_significant_no_oftener_than_stated() -> None:
    alarms = 0
    for seed in range(120):
        random = torch.Generator().manual_seed(seed)
        shared = torch.randn(30, generator=random)  # what all patients look like: no one's secret
        truths = [shared + torch.randn(30, generator=random) for _ in range(8)]
        found = [shared + torch.randn(30, generator=random) for _ in range(8)]
        alarms += read_back(found, truths, permutations=300).p_value <= 0.05
    assert alarms <= 12


# --- linking --------------------------------------------------------------------------------------------------------


def test_two_studies_without_noise_are_linked_and_with_noise_they_are_not() -> None:
    rng = RNG(5)
    people = rng.normal(size=(30, 400))
    one, other = (people + 0.5 * rng.normal(size=people.shape) for _ in range(2))
    clear = linking(one, other)
    assert clear.matched == 1.0 and clear.auc.value > 0.99 and clear.p_value < 0.01
    noisy = linking(one + 20 * rng.normal(size=one.shape), other + 20 * rng.normal(size=one.shape))
    assert noisy.matched <= 0.2 and noisy.p_value > 0.01 and noisy.chance == pytest.approx(1 / 30)


def test_strangers_are_linked_no_oftener_than_stated() -> None:
    alarms = 0
    for seed in range(120):
        rng, shared = RNG(seed), RNG(seed).normal(size=50)
        first, second = (shared + rng.normal(size=(15, 50)) for _ in range(2))
        alarms += linking(first, second, permutations=300).p_value <= 0.05
    assert alarms <= 12
    with pytest.raises(ConfigInvalid):
        linking(np.zeros((4, 3)), np.zeros((4, 3)))

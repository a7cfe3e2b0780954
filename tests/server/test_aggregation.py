"""The masked mean is the brute-force mean over whoever trained, in any order; a bad update is named, never raised."""

from __future__ import annotations

import gc
import math
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.accounting import plan_study
from protocol.codes import Refusal
from protocol.study import Study
from server.aggregation import GroupMean, check_update, largest_noise_multiplier, norm_bound

GROUPS = ("alignment/xray", "alignment/ct", "diffusion/text")
SHAPES = {name: {"w": (3, 2), "b": ()} for name in GROUPS}


def update_of(rng: np.random.Generator, groups: list[str]) -> dict[str, dict[str, np.ndarray]]:
    return {
        group: {name: np.asarray(rng.standard_normal(shape), dtype=np.float32) for name, shape in SHAPES[group].items()}
        for group in groups
    }


@given(
    masks=st.lists(st.sets(st.sampled_from(GROUPS)), max_size=6),
    weights=st.lists(st.floats(0.1, 10.0), min_size=6, max_size=6),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 2**16),
)
def test_the_mean_is_the_brute_force_mean_over_whoever_trained_the_group(
    masks: list[set[str]], weights: list[float], order: object, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    replies = [(update_of(rng, sorted(mask)), weight) for mask, weight in zip(masks, weights, strict=False)]
    order.shuffle(replies)  # type: ignore[attr-defined]
    mean = GroupMean()
    for update, weight in replies:
        mean.fold(update, aggregation_weight=weight)
    value = mean.value()
    for group in GROUPS:
        trained = [(update[group], weight) for update, weight in replies if group in update]
        if not trained:
            assert group not in value
            continue
        total = sum(weight for _, weight in trained)
        for name in SHAPES[group]:
            brute = sum(arrays[name].astype(np.float64) * weight for arrays, weight in trained) / total
            np.testing.assert_allclose(value[group][name], brute, rtol=1e-4, atol=1e-5)
            assert value[group][name].dtype == np.float32


def test_folding_keeps_no_array_of_the_reply() -> None:
    mean = GroupMean()
    for _ in range(3):
        array = np.ones((3, 2), dtype=np.float32)
        gone = weakref.ref(array)
        mean.fold({GROUPS[0]: {"w": array}}, aggregation_weight=1.0)
        del array
        gc.collect()
        assert gone() is None
    np.testing.assert_array_equal(mean.value()[GROUPS[0]]["w"], 1.0)


def test_folding_leaves_the_reply_as_it_came() -> None:
    update = {GROUPS[0]: {"w": np.ones(2, dtype=np.float32)}}
    mean = GroupMean()
    mean.fold(update, aggregation_weight=3.0)
    mean.fold(update, aggregation_weight=3.0)
    mean.value()
    np.testing.assert_array_equal(update[GROUPS[0]]["w"], 1.0)


GOOD = update_of(np.random.default_rng(0), [GROUPS[0]])


def changed(**arrays: object) -> dict[str, dict[str, object]]:
    return {GROUPS[0]: dict(GOOD[GROUPS[0]]) | arrays}


@pytest.mark.parametrize(
    ("update", "refusal"),
    [
        (GOOD, None),
        ({}, Refusal.MISSING_GROUP),
        (GOOD | {GROUPS[1]: GOOD[GROUPS[0]]}, Refusal.UNKNOWN_GROUP),
        (GOOD | {"optimizer/secret": GOOD[GROUPS[0]]}, Refusal.UNKNOWN_GROUP),
        (changed(w=np.zeros((2, 3), np.float32)), Refusal.WRONG_SHAPE),
        (changed(extra=np.zeros(1, np.float32)), Refusal.WRONG_SHAPE),
        ({GROUPS[0]: {"w": GOOD[GROUPS[0]]["w"]}}, Refusal.WRONG_SHAPE),
        (changed(w=np.zeros((3, 2), np.float64)), Refusal.WRONG_DTYPE),
        (changed(w=np.zeros((3, 2), dtype=object)), Refusal.WRONG_DTYPE),
        (changed(b=np.asarray(np.nan, np.float32)), Refusal.NON_FINITE),
        (changed(b=np.asarray(-np.inf, np.float32)), Refusal.NON_FINITE),
        (changed(w=np.full((3, 2), 100.0, np.float32)), Refusal.NORM_EXCEEDED),
        (changed(w=np.full((3, 2), 3e38, np.float32)), Refusal.NORM_EXCEEDED),
        (changed(w="not an array"), Refusal.MALFORMED),
        ({GROUPS[0]: None}, Refusal.MALFORMED),
        (None, Refusal.MALFORMED),
    ],
)
def test_an_update_that_cannot_be_folded_is_named_and_never_raises(update: object, refusal: Refusal | None) -> None:
    assert check_update(update, asked=[GROUPS[0]], shapes=SHAPES, max_norm=50.0) is refusal  # type: ignore[arg-type]


def study_of(
    *, rounds: int, sampling_probability: float, max_epsilon: float, patients: int, enabled: bool = True
) -> Study:
    stage = {"rounds": rounds, "sampling_probability": sampling_probability, "clipping_norm": 0.4}
    return Study.from_dict(
        {
            "name": "bounds",
            "flows": [{"name": "xray"}],
            "sites": [{"name": "north", "flows": ["xray"], "declared_patients": patients}],
            "stages": [{"name": "align"} | stage, {"name": "diffuse"} | stage],
            "privacy": {"max_epsilon": max_epsilon, "enabled": enabled},
        }
    )


@pytest.mark.parametrize(
    ("rounds", "sampling_probability", "max_epsilon"),
    [(1, 1.0, 50.0), (400, 1.0, 0.5), (20, 0.1, 8.0), (400, 0.01, 8.0)],
)
def test_an_honest_private_update_is_within_the_norm_bound_and_a_hundred_of_it_are_not(
    rounds: int, sampling_probability: float, max_epsilon: float
) -> None:
    patients, dimension = 480, 250_000
    study = study_of(
        rounds=rounds, sampling_probability=sampling_probability, max_epsilon=max_epsilon, patients=patients
    )
    plan = plan_study(
        study_digest="",
        stages={stage.name: (stage.sampling_probability, stage.rounds) for stage in study.stages},
        spare=study.privacy.spare_rounds,
        max_epsilon=max_epsilon,
        delta=study.privacy.delta_fraction / patients,
    )
    (stage, _), site = study.stages, study.sites[0]
    assert plan.noise_multiplier <= largest_noise_multiplier(study, site)
    noise = 0.4 * plan.noise_multiplier * math.sqrt(dimension) / (sampling_probability * patients)
    bound = norm_bound(study, stage, site, dimension=dimension)
    assert 0.4 * 3.0 + noise < bound
    if sampling_probability >= 0.1:  # far less noise than signal could hide in there: the bound is the signal's
        assert bound < 100 * (0.4 + noise)


def test_without_privacy_only_nonsense_is_refused() -> None:
    study = study_of(rounds=20, sampling_probability=0.1, max_epsilon=8.0, patients=50, enabled=False)
    bound = norm_bound(study, study.stages[0], study.sites[0], dimension=250_000)
    assert 0.4 * 500 < bound < 0.4 * 1e6

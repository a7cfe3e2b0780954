"""The masked mean is the brute-force mean over whoever trained, in any order; a bad update is named, never raised."""

from __future__ import annotations

import gc
import math
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codes import Refusal
from protocol.study import SiteSpec, StageSpec
from server.aggregation import GroupMean, check_update, norm_bound

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


def test_the_norm_bound_lets_an_honest_noised_update_pass_and_grows_with_nothing_secret() -> None:
    stage = StageSpec(name="diffuse", clipping_norm=0.4, sampling_probability=0.1, steps_per_round=4)
    site = SiteSpec(name="north", flows=("xray",), declared_patients=50)
    dimension, noise_multiplier = 250_000, 20.0
    honest = 4 * 0.4 * (3.0 + noise_multiplier * math.sqrt(dimension) / 5)
    assert honest < norm_bound(stage, site, dimension=dimension) < 100 * honest

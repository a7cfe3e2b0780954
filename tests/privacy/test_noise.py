"""The secret stream: its distributions, and that nobody draws the same twice."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from privacy.errors import ConfigInvalid, MechanismMisused
from privacy.noise import BLOCK, NoiseStream

ROOT = Path(__file__).resolve().parents[2]
UNLIKELY = 1e-7
"""A test at this level fails by chance less than once in the life of the project."""


def fits(values: np.ndarray, stddev: float) -> bool:
    """Whether values are independent normals of that standard deviation: chi-square, Kolmogorov-Smirnov, lags."""
    z = values.ravel().astype(np.float64) / stddev
    square = stats.chi2(z.size)
    tails = min(square.cdf((z**2).sum()), square.sf((z**2).sum()))
    shape = stats.kstest(z, "norm").pvalue
    half = z.size // 2
    lags = [np.corrcoef(z[:-lag], z[lag:])[0, 1] for lag in (1, 2, half)]
    independent = all(abs(lag) < 5.5 / np.sqrt(half) for lag in lags)
    return bool(tails > UNLIKELY and shape > UNLIKELY and independent)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaussians_are_standard_normal_and_two_thirds_and_three_halves_are_noticed(dtype: type) -> None:
    values = NoiseStream().gaussian((200, 1000), dtype)
    assert values.dtype == dtype and values.shape == (200, 1000)
    assert fits(values, 1.0)
    assert not fits(values, 2 / 3)
    assert not fits(values, 3 / 2)


def test_a_correlated_stream_would_be_noticed() -> None:
    values = NoiseStream().gaussian(100_000)
    values[1::2] = values[::2]
    assert not fits(values, 1.0)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 2 * BLOCK - 1, 2 * BLOCK + 1])
def test_every_size_is_filled_with_finite_values(count: int) -> None:
    values = NoiseStream().gaussian(count)
    assert values.shape == (count,) and np.isfinite(values).all()
    assert len(np.unique(values)) >= count * 0.99


def test_half_precision_noise_is_refused() -> None:
    with pytest.raises(ConfigInvalid):
        NoiseStream().gaussian(3, np.float16)  # type: ignore[type-var]


@pytest.mark.parametrize("probability", [0.0, 1e-3, 0.2, 0.5, 1.0])
def test_coins_land_heads_with_the_stated_probability(probability: float) -> None:
    coins = NoiseStream().bernoulli(200_000, probability)
    assert stats.binomtest(int(coins.sum()), coins.size, probability).pvalue > UNLIKELY


@pytest.mark.parametrize("scale", [0.95, 2 / 3, 3 / 2])
def test_coins_of_another_probability_are_noticed(scale: float) -> None:
    coins = NoiseStream().bernoulli(200_000, 0.2)
    assert stats.binomtest(int(coins.sum()), coins.size, 0.2 * scale).pvalue < UNLIKELY


def test_every_place_is_equally_likely_in_a_subset_and_pairs_are_independent() -> None:
    stream = NoiseStream()
    chosen = np.zeros((4000, 12))
    for row in chosen:
        places = stream.subset(12, 5)
        assert len(set(places.tolist())) == 5
        row[places] = 1.0
    assert all(stats.binomtest(int(count), 4000, 5 / 12).pvalue > UNLIKELY for count in chosen.sum(0))
    pairs = np.corrcoef(chosen.T)[np.triu_indices(12, 1)]
    assert np.abs(pairs + 1 / 11).max() < 6 / np.sqrt(4000), "without replacement: -1/11 for every pair"


def test_planted_the_first_of_a_list_as_a_subset_would_be_noticed() -> None:
    assert stats.binomtest(4000, 4000, 5 / 12).pvalue < UNLIKELY


def test_patients_join_independently_of_each_other_and_of_the_step_before() -> None:
    stream = NoiseStream()
    steps = np.array([stream.bernoulli(40, 0.3) for _ in range(5000)], float)
    between = np.corrcoef(steps.T)[np.triu_indices(40, 1)]
    assert np.abs(between).max() < 6.5 / np.sqrt(5000)
    assert abs(np.corrcoef(steps[:-1].ravel(), steps[1:].ravel())[0, 1]) < 5.5 / np.sqrt(200_000)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_an_impossible_probability_is_refused(probability: float) -> None:
    with pytest.raises(ConfigInvalid):
        NoiseStream().bernoulli(3, probability)


def test_no_two_streams_forks_or_calls_share_a_draw() -> None:
    parent = NoiseStream()
    streams = [parent, NoiseStream(), parent.fork("a"), parent.fork("a"), parent.fork("b"), parent.fork("a").fork("a")]
    words = np.concatenate([stream.words(500, np.uint64) for stream in streams for _ in range(2)])
    assert len(np.unique(words)) == words.size


def words_of_another_process() -> list[str]:
    script = "from privacy.noise import NoiseStream; import numpy; print(NoiseStream().words(4, numpy.uint64).tolist())"
    done = [subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True) for _ in range(2)]
    return [one.stdout.decode() for one in done]


def test_two_sites_in_processes_of_their_own_never_share_a_stream() -> None:
    one, two = words_of_another_process()
    assert one.startswith("[") and one != two


def test_two_sites_with_the_same_operating_system_answer_would_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: an operating system that answers twice the same (a cloned machine). The test above would notice."""
    monkeypatch.setattr(os, "urandom", lambda size: bytes(size))
    assert (NoiseStream().words(4, np.uint64) == NoiseStream().words(4, np.uint64)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_reach_as_far_as_the_documented_limit_in_both_precisions(dtype: type) -> None:
    """The widest radius of Box and Muller is that of the smallest word. Beyond lies the documented mass."""

    class Smallest(NoiseStream):
        def words(self, count: int, dtype: type) -> np.ndarray:
            return np.zeros(count, dtype)

    assert Smallest().gaussian(2, dtype)[0] == pytest.approx(9.41, abs=0.015)
    assert 2 * stats.norm.sf(9.41) < 6e-21


def test_tails_are_not_coarse() -> None:
    """Planted by 32-bit words, from which the widest values are 6.76, 6.60, 6.51, ...: here, words are of 63 bits."""
    values = np.sort(np.abs(NoiseStream().gaussian(4_000_000)))[-400:]
    assert len(np.unique(values)) > 395
    expected = 4_000_000 * 2 * stats.norm.sf(4.0)
    found = (values > 4.0).sum()
    assert abs(found - expected) < 5.5 * np.sqrt(expected)


def test_a_stream_takes_no_seed() -> None:
    with pytest.raises(TypeError):
        NoiseStream(42)  # type: ignore[call-arg]


def test_a_stream_cannot_be_copied_or_pickled() -> None:
    stream = NoiseStream()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(MechanismMisused):
            attempt(stream)


def test_a_forked_process_cannot_draw_its_parents_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = NoiseStream()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    for attempt in (lambda: stream.gaussian(3), lambda: stream.bernoulli(3, 0.5), lambda: stream.fork("child")):
        with pytest.raises(MechanismMisused):
            attempt()


def test_a_stream_does_not_print_its_secret() -> None:
    stream = NoiseStream()
    assert stream._secret.hex() not in repr(stream) and repr(stream._secret) not in repr(stream)

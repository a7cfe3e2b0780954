"""Fréchet distance, PSNR and SSIM, and the referee say what their docstrings promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medm2g.metrics.frechet import frechet_distance
from medm2g.metrics.psnr_ssim import paired_quality
from medm2g.metrics.referee import LabelledImages, Referee, RefereeConfig, train_referee


def test_frechet_of_a_set_with_itself_is_zero() -> None:
    features = np.random.default_rng(0).normal(size=(64, 8))
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-8)


def test_frechet_of_a_shift_is_the_squared_shift() -> None:
    features = np.random.default_rng(1).normal(size=(200, 6))
    assert frechet_distance(features, features + 2.0) == pytest.approx(6 * 4.0, rel=1e-6)


def test_frechet_of_a_scaling_is_what_the_formula_says() -> None:
    features = np.random.default_rng(2).normal(size=(500, 5))
    features -= features.mean(axis=0)
    expected = np.trace(np.cov(features, rowvar=False))  # (3 - 2)^2 of the variance
    assert frechet_distance(2 * features, 3 * features) == pytest.approx(expected, rel=1e-6)


def test_frechet_is_symmetric_and_grows_with_the_gap() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(100, 4)), rng.normal(0.5, 1.5, size=(100, 4))
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-6)
    assert frechet_distance(first, second + 1) > frechet_distance(first, second)


@pytest.mark.parametrize("bad", [np.full((4, 3), np.nan), np.zeros((1, 3)), np.zeros((60, 49)), np.zeros(5)])
def test_frechet_refuses_what_it_cannot_compare(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="feature"):
        frechet_distance(bad, bad)


def test_psnr_follows_the_error_and_ssim_is_one_for_equal_images() -> None:
    truth = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    quality = paired_quality(truth + 0.02, truth)
    assert quality.psnr == pytest.approx(20 * np.log10(2 / 0.02), abs=0.01)
    assert paired_quality(truth, truth).ssim == pytest.approx(1.0, abs=1e-5)
    assert paired_quality(truth.flip(3), truth).ssim < 0.5


def test_pairs_of_unequal_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        paired_quality(torch.zeros(2, 1, 16, 16), torch.zeros(3, 1, 16, 16))


def _squares(count: int, seed: int) -> LabelledImages:
    """A bright square on the left (0) or the right (1), or none (2)."""
    rng = np.random.default_rng(seed)
    images = rng.normal(-0.5, 0.05, size=(count, 64, 64)).astype(np.float32)
    labels = rng.integers(0, 3, size=count)
    for image, label in zip(images, labels, strict=True):
        if label < 2:
            row, column = rng.integers(10, 44), (rng.integers(4, 18) if label == 0 else rng.integers(36, 50))
            image[row : row + 10, column : column + 10] = 0.6
    return LabelledImages(images=images, labels=labels.astype(np.int64))


@pytest.fixture(scope="module")
def referee() -> Referee:
    data = {"xray": _squares(384, 0), "ct": _squares(384, 1)}
    return train_referee(data, ("square-left", "square-right", "healthy"), passes=4)


def test_the_referee_tells_the_side_and_a_flip_changes_its_answer(referee: Referee) -> None:
    test = _squares(96, 7)
    assert (referee.findings("xray", test.images) == test.labels).mean() > 0.9
    sided = test.labels < 2
    flipped = referee.findings("xray", test.images[:, :, ::-1].copy())
    assert (flipped[sided] == 1 - test.labels[sided]).mean() > 0.9


def test_the_referee_survives_its_folder(referee: Referee, tmp_path: Path) -> None:
    referee.save(tmp_path)
    loaded = Referee.load(tmp_path)
    images = _squares(8, 3).images
    np.testing.assert_allclose(loaded.features("ct", images), referee.features("ct", images), rtol=0.05, atol=0.05)
    assert loaded.features("ct", images).shape == (8, 48)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_flow_never_answers_with_a_label_it_was_not_taught() -> None:
    config = RefereeConfig(flows=("xray", "ct"), labels=("a", "b", "c"), flow_labels={"xray": (0, 1), "ct": (2,)})
    answers = Referee(config).eval().findings("ct", np.random.default_rng(0).normal(size=(16, 64, 64)))
    assert set(answers.tolist()) == {2}


def test_an_unknown_flow_is_refused_by_name(referee: Referee) -> None:
    with pytest.raises(ValueError, match="not pet"):
        referee.features("pet", np.zeros((1, 64, 64)))

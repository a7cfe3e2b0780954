"""Distances between sets of images: known values, and what each figure is blind to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.image.kid import poly_mmd

from medm2g.errors import EncoderMissing
from medm2g.metrics.bootstrap import interval
from medm2g.metrics.diversity import likeness
from medm2g.metrics.encoders import FrozenEncoder, PixelComponents, folder_encoder, reduced
from medm2g.metrics.frechet import frechet_distance
from medm2g.metrics.image_features import ImageFeatures
from medm2g.metrics.kernel_distance import kernel_distance
from medm2g.metrics.manifold import manifold
from medm2g.metrics.referee import Referee

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(120, 6))


def test_the_kernel_distance_is_that_of_torchmetrics_and_unbiased() -> None:
    other = RNG.normal(0.4, 1.0, size=(120, 6))
    theirs = float(poly_mmd(torch.as_tensor(REAL), torch.as_tensor(other)))
    assert kernel_distance(REAL, other) == pytest.approx(theirs, rel=1e-6) and theirs > 0.1
    same = [kernel_distance(*np.random.default_rng(seed).normal(size=(2, 40, 6))) for seed in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 60**0.5  # zero on average, whatever the number of samples
    assert min(same) < 0
    with pytest.raises(ValueError, match="one encoder"):
        kernel_distance(REAL, other[:, :5])
    with pytest.raises(ValueError, match="two samples"):
        kernel_distance(REAL, other[:1])


def test_fidelity_and_variety_are_told_apart() -> None:
    same = manifold(REAL, RNG.normal(size=(120, 6)))
    assert same.precision > 0.7 and same.recall > 0.7 and 0.7 < same.density < 1.3 and same.coverage > 0.8
    one_mode = manifold(REAL, REAL[:1] + RNG.normal(0, 0.01, size=(120, 6)))  # faithful, and always the same
    assert one_mode.precision == 1.0 and one_mode.recall < 0.1 and one_mode.coverage < 0.2
    noise = manifold(REAL, RNG.normal(0, 6.0, size=(120, 6)))  # varied, and wrong
    assert noise.precision < 0.2 and noise.density < 0.2 and noise.recall > 0.5
    itself = manifold(REAL, REAL)
    assert (itself.precision, itself.recall, itself.coverage) == (1.0, 1.0, 1.0)
    by_hand = manifold([[0.0], [1.0], [3.0]], [[0.5], [0.6], [9.0]], neighbours=1)
    # balls of the real: (-1, 1), (0, 2), (1, 5); of the made: (.4, .6), (.5, .7), (.6, 17.4)
    assert (by_hand.precision, by_hand.density, by_hand.coverage) == pytest.approx((2 / 3, 4 / 3, 2 / 3))
    assert by_hand.recall == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="as many"):
        manifold(REAL, REAL[:100])
    with pytest.raises(ValueError, match="more than 5"):
        manifold(REAL[:5], REAL[:5])


def test_a_generator_that_repeats_itself_is_seen() -> None:
    random = torch.Generator().manual_seed(0)
    varied = torch.rand(12, 1, 64, 64, generator=random) * 2 - 1
    alike = varied[:1] + 0.02 * torch.randn(12, 1, 64, 64, generator=random)
    assert likeness(alike) > 0.9 > 0.3 > likeness(varied)
    assert likeness(varied[:1].repeat(2, 1, 1, 1)) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(ValueError, match="two images"):
        likeness(varied[:1])


def test_an_interval_covers_what_other_patients_would_give() -> None:
    covered = 0
    for seed in range(60):
        values = np.random.default_rng(seed).normal(2.0, 1.0, 80)
        low, high = interval(lambda rows, values=values: float(values[rows].mean()), 80, seed=seed)
        assert low < values.mean() < high
        covered += low <= 2.0 <= high
    assert covered >= 51  # of 60 at 95 %
    with pytest.raises(ValueError, match="two samples"):
        interval(lambda rows: 0.0, 1)


def test_images_are_compared_by_any_of_three_encoders(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    real, far = random.normal(0, 0.3, size=(110, 64, 64)), random.normal(0.5, 0.3, size=(110, 64, 64))
    pixels = PixelComponents(random.normal(0, 0.3, size=(120, 64, 64)))
    (tmp_path / "script").mkdir()
    torch.manual_seed(0)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Conv2d(3, 8, 8), nn.Flatten())
    torch.jit.trace(network, torch.zeros(1, 3, 96, 96)).save(tmp_path / "script" / "encoder.pt")
    (tmp_path / "script" / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 96, "width": 96}}))
    script = folder_encoder(tmp_path / "script")
    assert script.size == 96
    shipped = FrozenEncoder("image_features", ImageFeatures.load()), FrozenEncoder("referee", Referee.load())
    for encoder in (*shipped, pixels, script):
        near_features, far_features = encoder("xray", real), encoder("xray", far)
        assert near_features.shape[0] == 110 and near_features.dtype == np.float64
        assert frechet_distance(near_features[:55], near_features[55:]) < frechet_distance(near_features, far_features)
    with pytest.raises(ValueError, match="components"):
        PixelComponents(real[:20])
    with pytest.raises(EncoderMissing, match=r"encoder\.pt"):
        folder_encoder(tmp_path)


def test_a_hugging_face_folder_is_an_encoder(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    ViTModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"crop_size": 32, "image_mean": [0.5, 0.5, 0.5]}))
    encoder = folder_encoder(tmp_path)
    assert encoder("ct", np.zeros((3, 64, 64))).shape == (3, 16) and encoder.mean == (0.5, 0.5, 0.5)


def test_many_features_are_reduced_along_the_real_ones_axes() -> None:
    wide = RNG.normal(size=(200, 100)) * np.linspace(3, 0.1, 100)
    real, made = reduced(wide[:100], wide[100:])
    assert real.shape == made.shape == (100, 48)
    assert np.allclose(np.cov(real, rowvar=False), np.diag(np.diag(np.cov(real, rowvar=False))), atol=1e-9)
    assert reduced(REAL, REAL)[0] is REAL

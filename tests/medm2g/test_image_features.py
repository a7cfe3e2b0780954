"""Image features: what they are taught they tell, no direction outweighs the rest, and a look is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medm2g.metrics.frechet import frechet_distance
from medm2g.metrics.image_features import DescribedImages, ImageFeatures, train_image_features
from protocol.intensity import to_unit
from protocol.study import DEFAULT_FLOWS
from simulations.phantoms import IMAGE_FLOWS, cohort, render_cohort

SIZE = 64


def _bands(count: int, seed: int) -> DescribedImages:
    """A band whose height and brightness are the facts, on the left or the right; the brightness of some is unknown."""
    random = np.random.default_rng(seed)
    facts = random.normal(size=(count, 2))
    sides = random.integers(0, 2, size=count)
    images = np.full((count, SIZE, SIZE), -0.6, dtype=np.float32)
    for image, (height, brightness), side in zip(images, facts, sides, strict=True):
        top = int(np.clip(20 + 5 * height, 4, 40))
        image[top : top + 12, (40 if side else 6) : (58 if side else 24)] = np.clip(0.2 + 0.15 * brightness, -0.5, 0.9)
    facts[::7, 1] = np.nan
    return DescribedImages(images, facts, sides.astype(np.int64))


@pytest.fixture(scope="module")
def network() -> ImageFeatures:
    return train_image_features({"xray": _bands(384, 0), "ct": _bands(384, 1)}, passes=8, seed=3)


def test_what_was_taught_can_be_read_from_the_features(network: ImageFeatures) -> None:
    known, asked = _bands(300, 7), _bands(200, 8)

    def rows(part: DescribedImages) -> np.ndarray:
        return np.column_stack([network.features("ct", part.images), np.ones(len(part.images))])

    for column, told in ((0, "facts"), (1, "facts"), (0, "findings")):
        target, truth = (getattr(part, told).reshape(len(part.images), -1)[:, column] for part in (known, asked))
        use, check = ~np.isnan(target), ~np.isnan(truth)
        weights = np.linalg.lstsq(rows(known)[use], target[use], rcond=None)[0]
        assert np.corrcoef(rows(asked)[check] @ weights, truth[check])[0, 1] > 0.9, (told, column)


def test_equal_seeds_give_equal_features(network: ImageFeatures) -> None:
    again = train_image_features({"xray": _bands(384, 0), "ct": _bands(384, 1)}, passes=8, seed=3)
    images = _bands(4, 9).images
    np.testing.assert_array_equal(again.features("xray", images), network.features("xray", images))


def test_features_survive_their_folder_and_unknown_flows_and_keys_are_refused(
    network: ImageFeatures, tmp_path: Path
) -> None:
    network.save(tmp_path)
    images = _bands(8, 9).images
    loaded = ImageFeatures.load(tmp_path)
    np.testing.assert_allclose(loaded.features("ct", images), network.features("ct", images), rtol=0.05, atol=0.05)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with pytest.raises(ValueError, match="not pet"):
        loaded.features("pet", images)
    (tmp_path / "image_features.json").write_text('{"flows": ["ct"], "depth": 9}')
    with pytest.raises(ValueError, match="depth"):
        ImageFeatures.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="train_encoder"):
        ImageFeatures.load(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def heads_and_chests() -> dict[str, np.ndarray]:
    """192 unit images of each flow, of the demo's hospitals."""
    knots = {flow.name: flow.intensity for flow in DEFAULT_FLOWS}
    records = render_cohort(cohort("held-out", 192, seed=612), IMAGE_FLOWS, processes=1)
    return {flow: to_unit(pixels, knots[flow]).astype(np.float32) for flow, pixels in records.images.items()}


@pytest.mark.parametrize("flow", IMAGE_FLOWS)
def test_the_shipped_features_notice_a_look_and_none_outweighs_the_rest(
    heads_and_chests: dict[str, np.ndarray], flow: str
) -> None:
    """Distances by the referee, which knows findings alone, do not pass this: .1 more noise leaves them as they are."""
    shipped, images = ImageFeatures.load(), heads_and_chests[flow]
    spread = np.linalg.eigvalsh(np.cov(shipped.features(flow, images), rowvar=False))
    assert spread[-1] < 0.35 * spread.sum()
    first, second = images[:96], images[96:]
    noise = np.random.default_rng(5).normal(0, 0.1, second.shape).astype(np.float32)
    looks = {
        "as it is": second,
        "noise": second + noise,
        "blur": np.stack([gaussian_filter(image, 0.9) for image in second]),
        "contrast": np.clip(1.3 * second, -1, 1),
    }
    far = {
        name: frechet_distance(shipped.features(flow, first), shipped.features(flow, other))
        for name, other in looks.items()
    }
    usual = far.pop("as it is")
    assert min(far.values()) > 1.2 * usual, (usual, far)

"""Grain: as large as what the codec leaves out, where it leaves it out; each item's is its own."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from medm2g import AnyToAnyPipeline, Generator
from medm2g.grain import Grain
from medm2g.metrics.frechet import frechet_distance
from medm2g.metrics.image_features import ImageFeatures
from protocol.intensity import to_unit
from protocol.study import DEFAULT_FLOWS
from simulations.generators import generator_folder
from simulations.phantoms import IMAGE_FLOWS, cohort, render_cohort


def _smooth(count: int, seed: int) -> torch.Tensor:
    small = 0.35 * torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, 64, mode="bicubic").clamp(-0.9, 0.9)


def _noise_level(images: torch.Tensor) -> torch.Tensor:
    return 0.02 + 0.08 * (images + 1) / 2


def test_the_noise_level_is_found_where_it_is() -> None:
    grain, decoded, other = Grain(), _smooth(80, 1), _smooth(20, 2)
    random = torch.Generator().manual_seed(3)
    images = decoded + _noise_level(decoded) * torch.randn(decoded.shape, generator=random)
    assert torch.equal(grain(other, torch.randn(other.shape, generator=random)), other), "none until it is fitted"
    grain.fit(decoded, images)
    wrong = (grain.sigma(other) / _noise_level(other) - 1).abs()
    assert wrong[(other > -0.6) & (other < 0.6)].quantile(0.95) < 0.15
    made = grain(other, torch.randn(other.shape, generator=random))
    assert ((made - other) / _noise_level(other)).std() == pytest.approx(1, abs=0.05)
    overall = (images - decoded).square().mean().sqrt()
    torch.testing.assert_close(grain.sigma(torch.full((1, 1, 64, 64), -1.0)).mean(), overall, rtol=0.01, atol=0)
    assert made.abs().max() <= 1


def test_grain_is_drawn_in_half_precision_too() -> None:
    grain, decoded = Grain(), _smooth(8, 1)
    grain.fit(decoded, decoded + 0.05 * torch.randn(decoded.shape, generator=torch.Generator().manual_seed(0)))
    made = grain.to(torch.bfloat16)(decoded.bfloat16(), torch.randn_like(decoded).bfloat16())
    assert made.dtype == torch.bfloat16 and 0.03 < (made.float() - decoded).std() < 0.07


@pytest.fixture(scope="module")
def grainy(shared_generator: Generator) -> Generator:
    """The shared generator with a grain of .1 everywhere."""
    generator = copy.deepcopy(shared_generator)
    for flow in generator.image_flows:
        generator.image_codec(flow).grain.table.fill_(0.1)
    return generator


def _drawn(generator: Generator, flows: list[str], seeds: list[int], *, grain: bool = True) -> torch.Tensor:
    randoms = [torch.Generator().manual_seed(seed) for seed in seeds]
    pipeline = AnyToAnyPipeline(generator, grain=grain, without=["cross_guidance"])
    made = pipeline(flows, count=len(seeds), num_inference_steps=1, generator=randoms)[flows[0]]
    assert isinstance(made, torch.Tensor)
    return made


def test_an_item_has_its_own_grain_whatever_is_drawn_beside_it(grainy: Generator) -> None:
    alone = _drawn(grainy, ["ct"], [7]) - _drawn(grainy, ["ct"], [7], grain=False)
    assert 0.05 < alone.std() < 0.12  # clamped where the picture is at its ends
    among = _drawn(grainy, ["ct", "mri_t1", "text"], [3, 7, 9])
    torch.testing.assert_close(among[1], _drawn(grainy, ["ct"], [7])[0], atol=1e-4, rtol=0)
    plain = _drawn(grainy, ["ct"], [3, 9], grain=False)
    grains = _drawn(grainy, ["ct"], [3, 9]) - plain
    inside = (plain.abs() < 0.5).all(0)
    assert abs(np.corrcoef(grains[0][inside].numpy(), grains[1][inside].numpy())[0, 1]) < 0.2


def test_a_generator_without_grain_draws_as_without_it(shared_generator: Generator) -> None:
    with_it, without = (_drawn(shared_generator, ["xray"], [4], grain=grain) for grain in (True, False))
    assert torch.equal(with_it, without)


@pytest.mark.parametrize("flow", IMAGE_FLOWS)
def test_shipped_grain_brings_decoded_records_nearer_to_records(flow: str) -> None:
    generator, features = Generator.from_pretrained(generator_folder("shipped")), ImageFeatures.load()
    knots = {spec.name: spec.intensity for spec in DEFAULT_FLOWS}
    records = render_cohort(cohort("referee", 96, seed=41), (flow,), processes=1).images[flow]
    images = torch.as_tensor(to_unit(records, knots[flow]), dtype=torch.float32)[:, None]
    decoded = generator.decode_image(flow, generator.encode_image(flow, images))
    made = generator.grained(flow, decoded, torch.randn(decoded.shape, generator=torch.Generator().manual_seed(1)))
    real = features.features(flow, images)
    smooth, grained = (frechet_distance(real, features.features(flow, other)) for other in (decoded, made))
    assert grained < 0.6 * smooth, (flow, smooth, grained)

"""A configuration is complete, frozen, and refuses what it does not know."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from medm2g import FlowConfig, Generator, GeneratorConfig, preset
from medm2g.config import PRESETS
from medm2g.curves import curves, other_curve
from medm2g.errors import ConfigInvalid


@pytest.mark.parametrize("name", list(PRESETS))
def test_json_and_back_is_the_same_configuration(name: str) -> None:
    config = preset(name)
    assert GeneratorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_flow_s_tone_curve_comes_back_from_json_and_another_one_is_named() -> None:
    knots = ((0.0, -1.0), (4095.0, 1.0))
    config = preset("tiny", flows=(FlowConfig("xray", intensity=knots), FlowConfig("ct"), FlowConfig("text", "text")))
    learnt = curves(GeneratorConfig.from_dict(json.loads(json.dumps(config.to_dict()))))
    assert learnt == {"xray": knots}
    steeper = ((0.0, -1.0), (100.0, 0.5), (4095.0, 1.0))
    assert other_curve(learnt, {"xray": knots, "ct": steeper}) is None
    assert other_curve(learnt, {"ct": steeper, "xray": steeper}) == "xray"


@pytest.mark.parametrize("values", [{"image_sise": 64}, {"flows": [{"name": "xray", "colour": "red"}]}])
def test_an_unknown_key_is_refused_by_name(values: dict) -> None:
    with pytest.raises(ConfigInvalid, match="image_sise|colour"):
        GeneratorConfig.from_dict(values)


@pytest.mark.parametrize(
    "changes",
    [
        {"flows": ()},
        {"flows": (FlowConfig("xray"), FlowConfig("xray"))},
        {"flows": (FlowConfig("a", "text"), FlowConfig("b", "text"))},
        {"image_size": 60},
        {"invariant_width": 33},
        {"guidance_grid": 3},
        {"diffusion_subset": "everything"},
        {"alignment_subset": "gates"},
        {"guidance_subset": "attention"},
        {"attention_kernel": "quick"},
        {"image_sise": 64},
    ],
)
def test_what_cannot_stand_is_refused(changes: dict) -> None:
    with pytest.raises(ConfigInvalid):
        preset("tiny", **changes)


def test_flow_names_and_presets_are_checked() -> None:
    for name in ("", "MRI", "mri.t1", "../xray"):
        with pytest.raises(ConfigInvalid):
            FlowConfig(name)
    with pytest.raises(ConfigInvalid):
        preset("huge")
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset("tiny").image_size = 32  # type: ignore[misc]


def test_the_tiny_latents_are_those_of_the_contract() -> None:
    config = preset("tiny")
    assert config.latent_shape("xray") == (16, 8, 8)
    assert config.latent_shape("text") == (32, 4, 4)


def test_the_base_preset_constructs_with_consistent_shapes(text_encoder) -> None:
    with torch.device("meta"):
        generator = Generator(preset("base"), text_encoder)
        noisy, timesteps = torch.empty(2, *generator.latent_shape("ct")), torch.zeros(2, dtype=torch.long)
        grid, pooled = generator.environments["ct"](noisy, timesteps)
        context, mask = torch.empty(2, 68, 384), torch.ones(2, 68)
        predicted = generator.denoise(
            "mri_t1", noisy, timesteps, context, mask, grid[:, None], torch.ones(2, 1), ("ct",)
        )
        aligned = generator.align("ct", torch.empty(2, 1, 256, 256))
    assert grid.shape == (2, 64, 256) and pooled.shape == (2, 384)
    assert predicted.shape == (2, 8, 32, 32)
    assert aligned.spatial.shape == (2, 256, 128)

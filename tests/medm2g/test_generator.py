"""Groups partition what trains; the pure calls have the contract's shapes and are exact under vmap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from medm2g import Generator
from medm2g.errors import GroupUnknown, InputInvalid
from tests.medm2g.conftest import chosen

PATIENTS, RECORDS = 3, 2


SUBSETS = [
    {"diffusion": "style"},
    {"diffusion": "attention", "alignment": "norms"},
    {"diffusion": "norms", "guidance": "gates"},
    {"guidance": "norms", "alignment": "norms"},
    {},
]


def test_groups_and_trunks_partition_the_families(generator: Generator) -> None:
    for subsets in SUBSETS:
        generator.set_subsets(chosen(**subsets))
        named = [name for group in generator.group_names() for name in generator.group(group)]
        assert len(named) == len(set(named)), "two groups overlap"
        assert set(named) == {name for name, value in generator.named_parameters() if value.requires_grad}
        frozen = {name for group in generator.group_names() for name in generator.trunk(group)}
        assert not frozen & set(named)
        assert frozen | set(named) == {
            name for name, _ in generator.named_parameters() if not name.startswith(("text_encoder.", "codecs."))
        } | {"codecs.text.adapter"}
        wholes = [name for group in generator.group_names() for name in generator.whole(group)]
        assert sorted(wholes) == sorted(frozen | set(named))
    assert not frozen  # with `all` there is no trunk left


def test_group_names_are_family_and_flow_and_text_has_no_alignment(generator: Generator) -> None:
    names = generator.group_names()
    assert "alignment/text" not in names and "diffusion/text" in names and "cross_guidance/ct" in names
    assert len(names) == 5 + 6 + 6
    assert generator.group_names(("diffusion",)) == [f"diffusion/{flow}" for flow in generator.flows]


def test_a_group_travels_as_float32_arrays_and_comes_back_exactly(generator: Generator) -> None:
    arrays = {key: value + 1 for key, value in generator.group_arrays("alignment/ct").items()}
    generator.load_group("alignment/ct", arrays)
    after = generator.group_arrays("alignment/ct")
    assert all(after[key].dtype == np.float32 and np.array_equal(after[key], arrays[key]) for key in arrays)


@pytest.mark.parametrize("fault", ["missing", "extra", "shape", "nan"])
def test_a_group_that_does_not_fit_is_refused_whole(generator: Generator, fault: str) -> None:
    before = generator.group_arrays("diffusion/ct")
    arrays = {key: value + 1 for key, value in before.items()}
    last = list(arrays)[-1]
    if fault == "missing":
        del arrays[last]
    elif fault == "extra":
        arrays["unets.ct.conv_in.weight"] = arrays[last]
    elif fault == "shape":
        arrays[last] = arrays[last][None]
    else:
        arrays[last] = np.full_like(arrays[last], np.nan)
    with pytest.raises(GroupUnknown):
        generator.load_group("diffusion/ct", arrays)
    assert all(np.array_equal(value, before[key]) for key, value in generator.group_arrays("diffusion/ct").items())


def test_an_unknown_group_flow_or_method_is_an_error_with_the_choices(generator: Generator) -> None:
    with pytest.raises(GroupUnknown, match="alignment/xray"):
        generator.group("alignment/text")
    with pytest.raises(InputInvalid, match="mri_t1"):
        generator.environment("pet", torch.zeros(1, 16, 8, 8), torch.zeros(1, dtype=torch.long))
    with pytest.raises(InputInvalid, match="not an image flow"):
        generator.align("text", torch.zeros(1, 1, 64, 64))
    with pytest.raises(InputInvalid, match="denoise"):
        generator("save_pretrained", "somewhere")


def test_pure_calls_have_the_shapes_of_the_contract(generator: Generator) -> None:
    timesteps = torch.tensor([0, 999])
    aligned = generator("align", "xray", torch.rand(2, 1, 64, 64) * 2 - 1)
    assert aligned.embedding.shape == (2, 384) and aligned.tokens.shape == (2, 4, 384)
    assert aligned.spatial.shape == (2, 64, 32)
    torch.testing.assert_close(aligned.embedding.norm(dim=-1), torch.ones(2))
    context, mask = torch.randn(2, 68, 384), torch.ones(2, 68)
    for flow in generator.flows:
        noisy = torch.randn(2, *generator.latent_shape(flow))
        grid, pooled = generator("environment", flow, noisy, timesteps)
        assert grid.shape == (2, 16, 96) and pooled.shape == (2, 384)
        torch.testing.assert_close(pooled.norm(dim=-1), torch.ones(2))
        assert generator("denoise", flow, noisy, timesteps, context, mask).shape == noisy.shape


def test_masked_context_tokens_change_nothing_and_attended_ones_do(generator: Generator) -> None:
    noisy, timesteps, context = torch.randn(1, 16, 8, 8), torch.tensor([500]), torch.randn(1, 10, 384)
    mask = torch.ones(1, 10)
    mask[:, 6:] = 0
    other = context.clone()
    other[:, 6:] = 99.0
    assert torch.equal(
        generator.denoise("ct", noisy, timesteps, context, mask), generator.denoise("ct", noisy, timesteps, other, mask)
    )
    other[:, 0] += 1.0
    difference = generator.denoise("ct", noisy, timesteps, context, mask) - generator.denoise(
        "ct", noisy, timesteps, other, mask
    )
    assert difference.abs().max() > 1e-5


def test_noise_and_velocity_agree_with_the_scheduler(generator: Generator) -> None:
    latents, noise = torch.randn(4, 16, 8, 8), torch.randn(4, 16, 8, 8)
    timesteps = torch.tensor([0, 1, 500, 999])
    scheduler = generator.scheduler
    torch.testing.assert_close(
        generator.add_noise(latents, noise, timesteps), scheduler.add_noise(latents, noise, timesteps)
    )
    torch.testing.assert_close(
        generator.velocity(latents, noise, timesteps), scheduler.get_velocity(latents, noise, timesteps)
    )


def _align_loss(generator: Generator, parameters: dict, images: Tensor) -> Tensor:
    aligned = functional_call(generator, parameters, ("align", "ct", images))
    return aligned.embedding.sum() + aligned.tokens.square().mean() + aligned.spatial.square().mean()


def _diffuse_loss(generator: Generator, parameters: dict, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    flow = "text" if clean.shape[1] == 32 else "ct"
    noisy = generator.add_noise(clean, noise, timesteps)
    context = torch.linspace(-1, 1, 8 * 384, dtype=clean.dtype).view(1, 8, 384).expand(len(clean), -1, -1)
    mask = torch.ones(len(clean), 8, dtype=clean.dtype)
    predicted = functional_call(generator, parameters, ("denoise", flow, noisy, timesteps, context, mask))
    return (predicted - generator.velocity(clean, noise, timesteps)).square().mean()


def _guide_loss(
    generator: Generator, parameters: dict, noisy: Tensor, ct: Tensor, text: Tensor, timesteps: Tensor, present: Tensor
) -> Tensor:
    def call(*args: object) -> Tensor:
        return functional_call(generator, parameters, args)

    grids = torch.stack(
        [call("environment", "ct", ct, timesteps)[0], call("environment", "text", text, timesteps)[0]], 1
    )
    context, mask = noisy.new_ones(len(noisy), 3, 384), noisy.new_ones(len(noisy), 3)
    predicted = call("denoise", "xray", noisy, timesteps, context, mask, grids, present, ("ct", "text"))
    return predicted.square().mean()


def _arguments(family: str) -> tuple:
    latents = [torch.randn(PATIENTS, RECORDS, 16, 8, 8, dtype=torch.double) for _ in range(2)]
    text = [torch.randn(PATIENTS, RECORDS, 32, 4, 4, dtype=torch.double) for _ in range(2)]
    timesteps = torch.randint(0, 1000, (PATIENTS, RECORDS))
    present = torch.tensor([[[1.0, 1.0]] * 2, [[0.0, 1.0]] * 2, [[0.0, 0.0]] * 2], dtype=torch.double)
    return {
        "alignment/ct": (_align_loss, torch.randn(PATIENTS, RECORDS, 1, 64, 64, dtype=torch.double)),
        "diffusion/ct": (_diffuse_loss, *latents, timesteps),
        "diffusion/text": (_diffuse_loss, *text, timesteps),
        "cross_guidance/xray": (_guide_loss, *latents, text[0], timesteps, present),
        "cross_guidance/ct": (_guide_loss, *latents, text[0], timesteps, present),
    }[family]


@pytest.fixture()
def double_generator(generator: Generator) -> Generator:
    generator.double()
    yield generator
    generator.float()


@pytest.mark.parametrize(
    "name", ["alignment/ct", "diffusion/ct", "diffusion/text", "cross_guidance/xray", "cross_guidance/ct"]
)
def test_vmap_over_patients_equals_a_loop_of_one(double_generator: Generator, name: str) -> None:
    generator = double_generator
    loss, *tensors = _arguments(name)
    parameters = {key: value.detach() for key, value in generator.group(name).items()}

    def gradient(parameters: dict, *args: Tensor) -> dict:
        return grad(lambda values: loss(generator, values, *args))(parameters)

    stacked = vmap(gradient, in_dims=(None,) + (0,) * len(tensors))(parameters, *tensors)
    for patient in range(PATIENTS):
        alone = gradient(parameters, *(tensor[patient] for tensor in tensors))
        for key, value in alone.items():
            assert torch.isfinite(value).all()
            assert (value - stacked[key][patient]).abs().max() < 1e-6, key
    assert sum(value.abs().sum() for value in stacked.values()) > 0


def test_a_style_is_the_flow_s_own_unless_rows_bring_theirs(generator: Generator) -> None:
    noisy, timesteps = torch.randn(3, *generator.latent_shape("ct")), torch.tensor([900, 500, 10])
    told = generator.null_text.tokens.float().expand(3, -1, -1), generator.null_text.mask.float().expand(3, -1)
    styles = torch.randn(3, generator.config.style_width)
    with torch.no_grad():
        plain = generator.denoise("ct", noisy, timesteps, *told)
        given = generator.denoise("ct", noisy, timesteps, *told, style=styles)
        assert float((given - plain).abs().max()) > 1e-4
        generator.styles["ct"].copy_(styles[1])
        own = generator.denoise("ct", noisy, timesteps, *told)
        assert torch.allclose(own[1], given[1], atol=1e-6) and not torch.allclose(own[0], given[0], atol=1e-6)


def test_the_smallest_private_subset_is_a_style_per_flow_and_the_report_decoder_s_adapter(generator: Generator) -> None:
    generator.set_subsets(chosen(diffusion="style"))
    assert list(generator.group("diffusion/ct")) == ["styles.ct"]
    assert list(generator.group("diffusion/text")) == ["styles.text", "codecs.text.adapter"]


def test_small_subsets_of_alignment_and_guidance_hold_what_their_names_say(generator: Generator) -> None:
    generator.set_subsets(chosen(alignment="norms", guidance="gates"))
    alignment = set(generator.group("alignment/ct"))
    layers = [name for name, module in generator.alignment["ct"].named_modules() if isinstance(module, nn.GroupNorm)]
    norms = {f"alignment.ct.{name}.{part}" for name in layers for part in ("weight", "bias")}
    assert len(norms) == 10
    assert alignment == norms | {"alignment.ct.token_head.bias", "alignment.ct.head.2.bias"}
    gates = set(generator.group("cross_guidance/ct"))
    assert all(name.startswith("adapters.ct.") for name in gates)
    assert {name.split(".")[2 if ".embeddings." in name else 4] for name in gates} == {
        "embeddings",
        "gates",
        "locality",
    }
    generator.set_subsets(chosen(guidance="norms"))
    beside = set(generator.group("cross_guidance/ct")) - gates
    layers = [name for name, module in generator.environments["ct"].named_modules() if isinstance(module, nn.GroupNorm)]
    assert beside == {f"environments.ct.{name}.{part}" for name in layers for part in ("weight", "bias")}


def test_no_two_names_share_a_parameter(generator: Generator) -> None:
    """Stages replace parameters by name and do not look for ties (Stage.call): a tied one would keep its old value."""
    names = dict(generator.named_parameters(remove_duplicate=False))
    assert len({id(parameter) for parameter in names.values()}) == len(names)
    assert len({parameter.data_ptr() for parameter in names.values()}) == len(names)

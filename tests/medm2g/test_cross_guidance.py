"""Flow A hears flow B through V_B, never itself; with nobody there it is exactly alone."""

from __future__ import annotations

import pytest
import torch

from medm2g import Generator
from medm2g.cross_guidance import cross_guided
from medm2g.errors import InputInvalid
from medm2g.flows import cross_attentions


def _inputs(generator: Generator, flow: str, batch: int = 2) -> tuple:
    noisy = torch.randn(batch, *generator.latent_shape(flow))
    return noisy, torch.randint(0, 1000, (batch,)), torch.randn(batch, 6, 384), torch.ones(batch, 6)


@pytest.mark.parametrize(
    ("listener", "speaker"), [("xray", "ct"), ("mri_t1", "mri_t2"), ("text", "xray"), ("ct", "text")]
)
def test_the_loss_of_a_reaches_v_of_b_and_not_the_adapters_of_b(
    generator: Generator, listener: str, speaker: str
) -> None:
    noisy, timesteps, context, mask = _inputs(generator, listener)
    grid, _ = generator.environment(speaker, torch.randn(2, *generator.latent_shape(speaker)), timesteps)
    predicted = generator.denoise(
        listener, noisy, timesteps, context, mask, grid[:, None], torch.ones(2, 1), (speaker,)
    )
    predicted.square().mean().backward()

    heard = [value.grad for key, value in generator.environments[speaker].named_parameters() if "pooled" not in key]
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in heard)
    for untouched in (generator.adapters[speaker], generator.unets[speaker], generator.environments[listener]):
        assert all(value.grad is None or not value.grad.any() for value in untouched.parameters())
    gates = generator.adapters[listener].layers[0].gates
    assert gates[speaker].gate.grad.abs().max() > 0
    assert all(gates[other].gate.grad is None for other in gates if other != speaker)


def test_no_flow_can_attend_to_itself(generator: Generator) -> None:
    for flow in generator.flows:
        noisy, timesteps, context, mask = _inputs(generator, flow)
        grid, _ = generator.environment(flow, noisy, timesteps)
        with pytest.raises(InputInvalid, match="itself"):
            generator.denoise(flow, noisy, timesteps, context, mask, grid[:, None], torch.ones(2, 1), (flow,))
        assert flow not in generator.adapters[flow].embeddings
        assert all(flow not in layer.gates for layer in generator.adapters[flow].layers)


def test_with_no_source_present_the_prediction_is_exactly_unguided(generator: Generator) -> None:
    noisy, timesteps, context, mask = _inputs(generator, "ct", 3)
    grids = torch.randn(3, 2, 16, 96)
    present = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    alone = generator.denoise("ct", noisy, timesteps, context, mask)
    guided = generator.denoise("ct", noisy, timesteps, context, mask, grids, present, ("xray", "text"))
    assert torch.equal(guided[0], alone[0])
    assert (guided[1:] - alone[1:]).abs().amax((1, 2, 3)).min() > 1e-4


def test_an_absent_source_says_nothing_whatever_its_tokens(generator: Generator) -> None:
    noisy, timesteps, context, mask = _inputs(generator, "ct")
    grids, present = torch.randn(2, 2, 16, 96), torch.tensor([[1.0, 0.0]] * 2)
    changed = grids.clone()
    changed[:, 1] = 7.0
    first, second = (
        generator.denoise("ct", noisy, timesteps, context, mask, tokens, present, ("xray", "text"))
        for tokens in (grids, changed)
    )
    assert torch.equal(first, second)


def test_at_birth_the_gates_are_closed_and_only_they_have_a_gradient(generator: Generator) -> None:
    adapter = generator.adapters["ct"]
    for name, parameter in adapter.named_parameters():
        if ".gates." in name:
            torch.nn.init.zeros_(parameter)
    noisy, timesteps, context, mask = _inputs(generator, "ct")
    guided = generator.denoise(
        "ct", noisy, timesteps, context, mask, torch.randn(2, 1, 16, 96), torch.ones(2, 1), ("xray",)
    )
    assert torch.equal(guided, generator.denoise("ct", noisy, timesteps, context, mask))
    guided.square().mean().backward()
    moved = {name for name, value in adapter.named_parameters() if value.grad is not None and value.grad.any()}
    assert moved and all(".gates.xray." in name for name in moved)


def test_the_order_of_sources_is_a_matter_of_naming_only(generator: Generator) -> None:
    noisy, timesteps, context, mask = _inputs(generator, "ct")
    grids, present = torch.randn(2, 2, 16, 96), torch.ones(2, 2)
    one = generator.denoise("ct", noisy, timesteps, context, mask, grids, present, ("xray", "text"))
    other = generator.denoise("ct", noisy, timesteps, context, mask, grids.flip(1), present, ("text", "xray"))
    torch.testing.assert_close(one, other)
    swapped = generator.denoise("ct", noisy, timesteps, context, mask, grids.flip(1), present, ("xray", "text"))
    assert (one - swapped).abs().max() > 1e-4


def test_processors_are_restored_even_when_the_block_fails(generator: Generator) -> None:
    unet, adapter = generator.unets["ct"], generator.adapters["ct"]
    before = [module.processor for _, module in cross_attentions(unet)]
    with pytest.raises(RuntimeError, match="planted"):
        with cross_guided(unet, adapter, torch.randn(1, 1, 16, 96), torch.ones(1, 1), ("xray",)):
            assert all(
                module.processor is not old for (_, module), old in zip(cross_attentions(unet), before, strict=True)
            )
            raise RuntimeError("planted")
    assert [module.processor for _, module in cross_attentions(unet)] == before


@pytest.mark.parametrize("sources", [("pet",), ("xray", "xray"), ("xray", "text", "mri_t1")])
def test_sources_that_do_not_fit_are_refused(generator: Generator, sources: tuple[str, ...]) -> None:
    noisy, timesteps, context, mask = _inputs(generator, "ct")
    with pytest.raises(InputInvalid):
        generator.denoise("ct", noisy, timesteps, context, mask, torch.randn(2, 2, 16, 96), torch.ones(2, 2), sources)
    with pytest.raises(InputInvalid):
        generator.denoise("ct", noisy, timesteps, context, mask, None, None, ("xray",))

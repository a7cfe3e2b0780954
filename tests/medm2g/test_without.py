"""Ablations: a part that a generator is without neither trains nor speaks, in any stage and in sampling."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from medm2g import Generator
from medm2g.config import GeneratorConfig, Part, preset
from medm2g.errors import ConfigInvalid
from medm2g.sampling import AnyToAnyPipeline
from medm2g.stages import Stage
from medm2g.subsets import Subsets
from tests.medm2g.stage_draws import draw, gradients, seeded

IMAGE = torch.linspace(-1, 1, 64 * 64).view(1, 1, 64, 64)


@pytest.fixture
def leave_out(generator: Generator) -> Callable[..., None]:
    def _leave_out(*parts: Part) -> None:
        generator.set_subsets(Subsets(alignment="all", diffusion="all", guidance="all", without=parts))

    return _leave_out


def _speaking(stage: Stage) -> list[float]:
    """Over forty draws of a patient with everything: how many context tokens of other images each row attends to."""
    words = stage.generator.null_text.tokens.shape[1]
    terms = [term for seed in range(40) for term in draw(stage, "paired", seed)]
    return [float(term.tensors["context_mask"][:, words:].sum()) for term in terms if "context_mask" in term.tensors]


@pytest.mark.parametrize(("name", "told"), [("diffuse", {"source_prompts": 1.0}), ("guide", {})])
def test_without_alignment_no_context_holds_an_aligned_token(
    name: str, told: dict[str, float], build: Callable[..., Stage], leave_out: Callable[..., None]
) -> None:
    assert max(_speaking(build(name, **told))) > 0
    leave_out("alignment")
    assert sum(_speaking(build(name, **told)), 0.0) == 0


def test_without_alignment_nothing_is_drawn_to_a_text(
    build: Callable[..., Stage], leave_out: Callable[..., None]
) -> None:
    leave_out("alignment")
    for name, pulled in (("align", "alignment.xray.head."), ("guide", "environments.xray.pooled.")):
        stage = build(name)
        for term in draw(stage, "paired") + draw(stage, "other"):
            moved = {key for key, value in gradients(stage, term).items() if bool((value != 0).any())}
            assert not any(key.startswith(pulled) for key in moved)


def test_without_the_visual_invariant_its_projection_does_not_train(
    build: Callable[..., Stage], leave_out: Callable[..., None]
) -> None:
    def moved() -> set[str]:
        stage = build("align")
        found = gradients(stage, draw(stage, "paired")[0])
        return {key.split(".")[2] for key, value in found.items() if bool((value != 0).any())}

    whole = moved()
    leave_out("visual_invariant")
    assert whole - moved() == {"invariant"}


def test_without_cross_guidance_stage_guide_has_no_term(
    build: Callable[..., Stage], leave_out: Callable[..., None]
) -> None:
    leave_out("cross_guidance")
    stage = build("guide")
    assert [draw(stage, name, seed) for name in ("paired", "one-flow") for seed in range(5)] == [[]] * 10


@pytest.mark.parametrize("part", ["alignment", "cross_guidance"])
def test_a_generator_without_a_part_samples_as_if_it_were_silenced(
    part: Part, generator: Generator, leave_out: Callable[..., None]
) -> None:
    def drawn(*silent: str) -> torch.Tensor:
        pipeline = AnyToAnyPipeline(generator, without=silent)
        return pipeline(["xray"], sources={"ct": IMAGE}, num_inference_steps=2, generator=seeded(1))["xray"]

    whole, silenced = drawn(), drawn(part)
    leave_out(part)
    assert torch.equal(drawn(), silenced) and not torch.equal(whole, silenced)


def test_the_choice_is_part_of_the_configuration_and_of_what_a_study_compares() -> None:
    config = preset("tiny", without=("alignment",))
    assert GeneratorConfig.from_dict(config.to_dict()) == config
    assert Subsets.of(config) != Subsets.of(preset("tiny"))
    assert Subsets.of(preset("tiny")).instead_of(Subsets.of(config)) == "without nothing instead of without `alignment`"
    with pytest.raises(ConfigInvalid, match="choose from alignment, visual_invariant, cross_guidance"):
        preset("tiny", without=("text",))

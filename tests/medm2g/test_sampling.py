"""Any to any: every direction answers in its own kind; an item's sample depends on that item and its seed alone."""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path

import pytest
import torch

import server
from medm2g import AnyToAnyPipeline, Generator
from medm2g.errors import InputInvalid
from medm2g.sampling import GUIDANCE
from server.service.wish import Wish
from simulations import commands

FLOWS = ("xray", "ct", "mri_t1", "mri_t2", "mri_flair", "text")


def _source(flow: str, items: int = 1) -> torch.Tensor | list[str]:
    if flow == "text":
        return ["Small left effusion."] * items
    return torch.rand(items, 1, 64, 64) * 2 - 1


def _seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FLOWS, 2)))
def test_every_direction_answers_in_kind(shared_generator: Generator, source: str, target: str) -> None:
    drawn = AnyToAnyPipeline(shared_generator)([target], sources={source: _source(source)}, num_inference_steps=2)
    assert list(drawn) == [target]
    if target == "text":
        assert len(drawn["text"]) == 1 and isinstance(drawn["text"][0], str)
    else:
        assert drawn[target].shape == (1, 1, 64, 64)
        assert torch.isfinite(drawn[target]).all() and drawn[target].abs().max() <= 1


@pytest.mark.parametrize("scheduler", ["dpmsolver++", "ddim"])
def test_all_flows_are_drawn_jointly_from_nothing(shared_generator: Generator, scheduler: str) -> None:
    steps = []
    drawn = AnyToAnyPipeline(shared_generator, scheduler, batch_size=2)(
        FLOWS, count=3, num_inference_steps=2, on_step=lambda done, total: steps.append((done, total))
    )
    assert [len(drawn[flow]) for flow in FLOWS] == [3] * 6
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_jointly_drawn_flows_hear_each_other_both_ways(shared_generator: Generator) -> None:
    pipeline = AnyToAnyPipeline(shared_generator)
    alone = {flow: pipeline([flow], num_inference_steps=2, generator=_seeded(5))[flow] for flow in ("ct", "xray")}
    together = pipeline(["ct", "xray"], num_inference_steps=2, generator=_seeded(5))
    for flow in alone:
        assert (together[flow] - alone[flow]).abs().max() > 1e-4


def test_a_source_is_read_from_torch_s_own_memory_wherever_it_lay(shared_generator: Generator, monkeypatch) -> None:
    """The last bits of a product depend on where a matrix begins, and numpy's memory may begin anywhere."""
    begins, align = [], shared_generator.align

    def looked(flow: str, images: torch.Tensor) -> object:
        begins.append(images.data_ptr() % 64)
        return align(flow, images)

    monkeypatch.setattr(shared_generator, "align", looked)
    laid = torch.zeros(64 * 64 + 1)[1:].view(1, 1, 64, 64)
    AnyToAnyPipeline(shared_generator)(["ct"], sources={"xray": laid}, num_inference_steps=1)
    assert laid.data_ptr() % 64 and begins == [0]


def test_an_item_depends_on_its_seed_and_not_on_its_neighbours(shared_generator: Generator) -> None:
    pipeline = AnyToAnyPipeline(shared_generator, batch_size=2)
    prompts = ["effusion", "a nodule in the left lung", "normal"]
    images = _source("ct", 3)
    three = pipeline(["xray"], prompts, {"ct": images}, num_inference_steps=2, generator=_seeded(1, 2, 3))["xray"]
    last = pipeline(["xray"], prompts[2:], {"ct": images[2:]}, num_inference_steps=2, generator=_seeded(3))["xray"]
    torch.testing.assert_close(three[2], last[0], atol=1e-4, rtol=1e-4)
    other = pipeline(["xray"], prompts[2:], {"ct": images[2:]}, num_inference_steps=2, generator=_seeded(4))["xray"]
    assert (other - last).abs().max() > 1e-3


def test_one_seed_for_the_call_is_reproducible_and_its_first_items_stay(shared_generator: Generator) -> None:
    pipeline = AnyToAnyPipeline(shared_generator)

    def draw(count: int) -> torch.Tensor:
        return pipeline(["ct"], count=count, num_inference_steps=2, generator=torch.Generator().manual_seed(9))["ct"]

    assert torch.equal(draw(2), draw(2))
    torch.testing.assert_close(draw(4)[:2], draw(2), atol=1e-4, rtol=1e-4)
    assert (draw(2)[0] - draw(2)[1]).abs().max() > 1e-3


def test_prompt_image_source_and_report_source_are_each_heard(shared_generator: Generator) -> None:
    pipeline = AnyToAnyPipeline(shared_generator)
    image = _source("ct")

    def draw(**given: object) -> torch.Tensor:
        return pipeline(["xray"], num_inference_steps=2, generator=_seeded(3), **given)["xray"]

    seen = [draw(), draw(prompts=["effusion"]), draw(sources={"ct": image}), draw(sources={"text": ["effusion"]})]
    for one, other in itertools.combinations(seen, 2):
        assert (one - other).abs().max() > 1e-5


def test_each_pathway_can_be_silenced_and_both_together_leave_nothing_of_a_source(shared_generator: Generator) -> None:
    image = _source("ct")

    def draw(*without: str, **given: object) -> torch.Tensor:
        pipeline = AnyToAnyPipeline(shared_generator, without=without)
        return pipeline(["xray"], num_inference_steps=2, generator=_seeded(3), **given)["xray"]

    told = [draw(*without, sources={"ct": image}) for without in ((), ("alignment",), ("cross_guidance",))]
    for one, other in itertools.combinations(told, 2):
        assert (one - other).abs().max() > 1e-5
    assert torch.equal(draw("alignment", "cross_guidance", sources={"ct": image}), draw())
    together = AnyToAnyPipeline(shared_generator, without=["cross_guidance"])(
        ["ct", "xray"], num_inference_steps=2, generator=_seeded(5)
    )
    alone = AnyToAnyPipeline(shared_generator)(["xray"], num_inference_steps=2, generator=_seeded(5))
    assert (together["xray"] - alone["xray"]).abs().max() < 1e-5
    with pytest.raises(InputInvalid, match="choose from alignment, cross_guidance"):
        AnyToAnyPipeline(shared_generator, without=["gates"])


def test_who_says_nothing_of_guidance_gets_the_same_everywhere() -> None:
    assert inspect.signature(commands.generate).parameters["guidance_scale"].default == GUIDANCE
    assert Wish.model_fields["guidance_scale"].default == GUIDANCE
    page = (Path(server.__file__).parent / "service" / "page" / "index.html").read_text(encoding="utf-8")
    assert f'<input id="guidance" type="number" min="1" max="20" step="0.1" value="{GUIDANCE:g}"' in page


def test_guidance_scale_one_takes_one_pass_and_more_takes_two(shared_generator: Generator, monkeypatch) -> None:
    told: list[str] = []
    original, empty = shared_generator.denoise, int(shared_generator.null_text.mask.sum())

    def counted(
        flow: str, noisy: torch.Tensor, timesteps: torch.Tensor, tokens: torch.Tensor, *rest: object
    ) -> torch.Tensor:
        told.append("nothing" if tokens.shape[1] == empty else "all")  # the second pass has no key that says nothing
        return original(flow, noisy, timesteps, tokens, *rest)

    monkeypatch.setattr(shared_generator, "denoise", counted)
    pipeline = AnyToAnyPipeline(shared_generator)
    for target, given, expected in (
        ("ct", {"prompts": ["effusion"], "guidance_scale": 1.0}, ["all", "all"]),
        ("ct", {"prompts": ["effusion"], "guidance_scale": 2.0}, ["all", "all", "nothing"]),  # not at the noisiest
        ("ct", {"sources": {"xray": _source("xray")}, "guidance_scale": 2.0}, ["all", "all", "nothing"]),
        ("ct", {"guidance_scale": 2.0}, ["nothing", "nothing"]),  # nothing to sharpen
        ("text", {"sources": {"ct": _source("ct")}, "guidance_scale": 2.0}, ["all", "all"]),  # never
    ):
        told.clear()
        pipeline([target], num_inference_steps=2, **given)
        assert told == expected


def test_guidance_extrapolates_from_the_unconditional_prediction(shared_generator: Generator) -> None:
    pipeline = AnyToAnyPipeline(shared_generator)
    plan = pipeline.check_inputs(["ct"], ["effusion"], {"xray": _source("xray")})
    conditions = pipeline.encode_sources(plan, *pipeline.encode_prompts(plan))
    latents, timestep = {"ct": torch.randn(1, 16, 8, 8)}, torch.tensor(400)
    with torch.no_grad():
        one, two = (pipeline._velocities(latents, conditions, timestep, scale)["ct"] for scale in (1.0, 3.0))
        null = shared_generator.null_text
        free = shared_generator.denoise("ct", latents["ct"], timestep[None], null.tokens, null.mask)
    torch.testing.assert_close(two, free + 3 * (one - free), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"targets": []}, "targets"),
        ({"targets": "ct"}, "targets"),
        ({"targets": ["ct", "ct"]}, "targets"),
        ({"targets": ["pet"]}, "no flow"),
        ({"targets": ["ct"], "sources": {"pet": torch.zeros(1, 1, 64, 64)}}, "no flow"),
        ({"targets": ["ct"], "sources": {"ct": torch.zeros(1, 1, 64, 64)}}, "both"),
        ({"targets": ["ct"], "sources": {"xray": torch.zeros(1, 64, 64)}}, "shape"),
        ({"targets": ["ct"], "sources": {"xray": torch.full((1, 1, 64, 64), 300.0)}}, "tone curve"),
        ({"targets": ["ct"], "sources": {"xray": torch.full((1, 1, 64, 64), float("nan"))}}, "tone curve"),
        ({"targets": ["ct"], "prompts": "effusion"}, "list"),
        ({"targets": ["ct"], "prompts": [1]}, "strings"),
        ({"targets": ["ct"], "prompts": []}, "items"),
        ({"targets": ["ct"], "prompts": ["secret"], "sources": {"text": ["secret"]}}, "not both"),
        ({"targets": ["ct"], "prompts": ["secret"] * 2, "sources": {"xray": torch.zeros(3, 1, 64, 64)}}, "items"),
        ({"targets": ["ct"], "count": 0}, "count"),
        ({"targets": ["ct"], "num_inference_steps": 0}, "num_inference_steps"),
        ({"targets": ["ct"], "guidance_scale": 0.5}, "guidance_scale"),
        ({"targets": ["ct"], "count": 2, "generator": [torch.Generator()]}, "generator"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_nothing_is_repeated(
    shared_generator: Generator, given: dict, complaint: str
) -> None:
    with pytest.raises(InputInvalid, match=complaint) as caught:
        AnyToAnyPipeline(shared_generator)(**given)
    assert "secret" not in str(caught.value)


def test_an_unknown_scheduler_is_refused(shared_generator: Generator) -> None:
    with pytest.raises(InputInvalid, match="ddim"):
        AnyToAnyPipeline(shared_generator, "euler")


def test_the_solver_finds_the_clean_latent_when_the_velocity_is_true(shared_generator: Generator, monkeypatch) -> None:
    """With the exact denoiser of a single point, both samplers must end at that point."""
    point = torch.randn(1, 16, 8, 8)

    def exact(flow: str, noisy: torch.Tensor, timesteps: torch.Tensor, *args: object) -> torch.Tensor:
        signal, spread = shared_generator._schedule(timesteps)
        noise = (noisy - signal * point) / spread
        return shared_generator.velocity(point, noise, timesteps)

    monkeypatch.setattr(shared_generator, "denoise", exact)
    for scheduler in ("dpmsolver++", "ddim"):
        pipeline = AnyToAnyPipeline(shared_generator, scheduler)
        conditions = pipeline.encode_sources(plan := pipeline.check_inputs(["ct"]), *pipeline.encode_prompts(plan))
        found = pipeline.denoise(pipeline.prepare_latents(plan, _seeded(0)), conditions, 20, 1.0)["ct"]
        torch.testing.assert_close(found, point, atol=2e-2, rtol=0)

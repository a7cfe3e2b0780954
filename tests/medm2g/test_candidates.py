"""Of several draws the one that says what was asked: by an alignment that has learnt to read, and item by item."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import server
from medm2g import AnyToAnyPipeline, Generator
from medm2g.candidates import BestDraws
from medm2g.errors import InputInvalid
from medm2g.plan import make_plan
from medm2g.sampling import CANDIDATES
from protocol.intensity import to_unit
from protocol.study import flow_spec
from simulations import commands
from simulations.generators import open_generator
from simulations.phantoms import cohort, render_cohort

LEFT, RIGHT = (
    f"Chest radiograph. Findings: Large {side} pleural effusion. Impression: {side} pleural effusion."
    for side in ("left", "right")
)
PROMPTS = [LEFT, "", RIGHT]


@pytest.fixture(scope="module")
def shipped() -> Iterator[Generator]:
    with torch.no_grad():
        yield open_generator("shipped")


@pytest.fixture(scope="module")
def effusions() -> dict[str, torch.Tensor]:
    """X-rays of records with an effusion, by its side."""
    records = render_cohort(cohort("hospital-xray", 160, seed=3), ("xray",), size=64, processes=1)
    units = torch.as_tensor(to_unit(records.images["xray"], flow_spec("xray").intensity))[:, None].float()
    findings = [patient.chest_finding for patient in records.patients]
    rows = {
        side: [at for at, finding in enumerate(findings) if finding.kind == "effusion" and finding.side == side]
        for side in ("left", "right")
    }
    return {side: units[own] for side, own in rows.items()}


def _seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("first", ["left", "right"])
def test_the_image_with_the_side_that_was_asked_for_is_kept(
    shipped: Generator, effusions: dict[str, torch.Tensor], first: str
) -> None:
    count = min(len(images) for images in effusions.values())
    assert count >= 8
    shown = {side: images[:count] for side, images in effusions.items()}
    best = BestDraws(shipped, make_plan(shipped.config, ["xray"], [LEFT] * count, None, count=1))
    for side in (first, *({"left", "right"} - {first})):
        best.take({"xray": shown[side]})
    right = (best.made["xray"] == shown["left"]).flatten(1).all(1)
    assert right.float().mean() >= 0.9


def test_the_report_of_the_images_that_it_was_written_from_is_kept(
    shipped: Generator, effusions: dict[str, torch.Tensor]
) -> None:
    sources = {"xray": effusions["right"][:8].clamp(-1, 1)}
    best = BestDraws(shipped, make_plan(shipped.config, ["text"], None, sources, count=1))
    best.take({"text": [LEFT] * 8})
    best.take({"text": [RIGHT] * 8})
    best.take({"text": [LEFT] * 8})
    assert best.made["text"].count(RIGHT) >= 7


def test_each_item_keeps_its_own_best_and_flows_drawn_together_stay_together(shared_generator: Generator) -> None:
    plan = make_plan(shared_generator.config, ["xray", "ct"], PROMPTS, None, count=1)
    random = torch.Generator().manual_seed(0)
    draws = [{flow: torch.rand(3, 1, 64, 64, generator=random) for flow in plan.targets} for _ in range(4)]
    best, alone = BestDraws(shared_generator, plan), []
    for draw in draws:
        best.take(draw)
        single = BestDraws(shared_generator, plan)
        single.take(draw)
        alone.append(single.closeness(draw))
    winners = torch.stack(alone).argmax(0)
    assert len(set(winners.tolist())) > 1, "otherwise this test says nothing of items"
    for item, winner in enumerate(winners.tolist()):
        for flow in plan.targets:
            assert torch.equal(best.made[flow][item], draws[winner][flow][item])
    assert winners[1] == 0  # of the item without a prompt the first stands


def test_the_pipeline_draws_as_often_and_an_item_depends_on_its_seed_alone(shared_generator: Generator) -> None:
    pipeline, steps = AnyToAnyPipeline(shared_generator), []

    def draw(prompts: list[str], *seeds: int, candidates: int) -> torch.Tensor:
        told = {"num_inference_steps": 2, "candidates": candidates, "generator": _seeded(*seeds)}
        return pipeline(["xray"], prompts, on_step=lambda *step: steps.append(step), **told)["xray"]

    once, several = draw(PROMPTS, 1, 2, 3, candidates=1), draw(PROMPTS, 1, 2, 3, candidates=4)
    assert steps[2:] == [(done, 8) for done in range(1, 9)]
    assert torch.equal(once[1], several[1]) and not torch.equal(once, several)
    torch.testing.assert_close(draw(PROMPTS[2:], 3, candidates=4)[0], several[2], atol=1e-4, rtol=1e-4)


def test_where_nothing_was_asked_nothing_more_is_drawn(shared_generator: Generator) -> None:
    steps: list[int] = []
    untold = {"num_inference_steps": 2, "candidates": 3, "on_step": lambda done, total: steps.append(total)}
    AnyToAnyPipeline(shared_generator)(["ct"], **untold)
    AnyToAnyPipeline(shared_generator)(["ct"], sources={"xray": torch.zeros(1, 1, 64, 64)}, **untold)
    AnyToAnyPipeline(shared_generator, without=["alignment"])(["ct"], ["A CT."], **untold)  # nothing that could read
    assert steps == [2] * 6
    with pytest.raises(InputInvalid, match="candidates"):
        AnyToAnyPipeline(shared_generator)(["ct"], candidates=0)


def test_command_line_and_page_draw_as_many_as_the_options_do() -> None:
    for command in (commands.generate, commands.evaluate):
        assert inspect.signature(command).parameters["candidates"].default == CANDIDATES
    page = (Path(server.__file__).parent / "service" / "page" / "index.html").read_text(encoding="utf-8")
    assert re.search(rf'<input id="candidates" [^>]*value="{CANDIDATES}"', page)

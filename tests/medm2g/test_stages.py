"""The stages: one patient at a time, equal shapes, everything drawn beforehand, and gradients where they belong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch.func import grad, vmap

from medm2g import Generator
from medm2g.errors import ConfigInvalid, InputInvalid
from medm2g.stages import DiffuseLoss, Stage, Term, stack_terms
from medm2g.stages.draws import choose_rows, rows_beside, stratified_timesteps
from medm2g.stages.stage import without_masked_context
from medm2g.subsets import Subsets
from tests.medm2g.conftest import chosen
from tests.medm2g.public_patients import Patients, invented_patient
from tests.medm2g.stage_draws import COUNTS, SITE, draw, gradients, seeded

STAGES = ("align", "diffuse", "guide")
SMALL = chosen(alignment="norms", diffusion="style", guidance="gates")


def _same(first: list[Term], second: list[Term]) -> bool:
    return [term.kind for term in first] == [term.kind for term in second] and all(
        torch.equal(mine.tensors[name], theirs.tensors[name])
        for mine, theirs in zip(first, second, strict=True)
        for name in mine.tensors
    )


@pytest.mark.parametrize("name", STAGES)
def test_a_patient_draws_the_same_whoever_else_is_there(
    name: str, build: Callable[..., Stage], generator: Generator
) -> None:
    everyone = Patients(generator, COUNTS)
    alone = Patients(generator, {"paired": COUNTS["paired"]})
    alone.known["paired"] = everyone.known["paired"]
    crowd, single = build(name, everyone), build(name, alone)
    draw(crowd, "other")  # somebody else was drawn just before
    first, second = draw(crowd, "paired", 5), draw(single, "paired", 5)
    assert _same(first, second)
    for mine, theirs in zip(first, second, strict=True):
        assert torch.equal(crowd.loss(mine.kind, {}, mine.tensors), single.loss(theirs.kind, {}, theirs.tensors))


@pytest.mark.parametrize("name", STAGES)
def test_draws_depend_on_the_given_generator_and_on_nothing_else(name: str, build: Callable[..., Stage]) -> None:
    stage = build(name)
    torch.manual_seed(1)
    first = draw(stage, "paired", 3)
    torch.manual_seed(2)
    assert _same(first, draw(stage, "paired", 3))
    before = torch.random.get_rng_state()
    third = draw(stage, "paired", 4)
    assert torch.equal(before, torch.random.get_rng_state())  # torch's own stream is untouched
    assert not _same(first, third)


@pytest.mark.parametrize("name", STAGES)
def test_terms_of_a_kind_have_equal_shapes_and_finite_losses(name: str, build: Callable[..., Stage]) -> None:
    stage = build(name)
    shapes: dict[str, dict[str, torch.Size]] = {}
    for seed in range(6):
        for patient in COUNTS:
            for term in draw(stage, patient, seed):
                found = {key: (tensor.shape, tensor.dtype) for key, tensor in term.tensors.items()}
                assert shapes.setdefault(term.kind, found) == found
                if seed == 0:
                    assert bool(torch.isfinite(stage.loss(term.kind, {}, term.tensors)))
    expected = {"align": {"xray", "ct"}, "diffuse": set(SITE), "guide": {*SITE, "ct/alone"}}[name]
    assert set(shapes) == expected


@pytest.mark.parametrize("name", STAGES)
def test_padding_records_weigh_nothing(name: str, build: Callable[..., Stage]) -> None:
    stage = build(name, records_per_patient=3, timestep_draws=1)
    for term in draw(stage, "no-report"):
        assert term.tensors["weight"].tolist() == [1.0, 0.0, 0.0]
        value = stage.loss(term.kind, {}, term.tensors)
        changed = {key: tensor.clone() for key, tensor in term.tensors.items()}
        for key, tensor in changed.items():
            if tensor.is_floating_point() and key not in ("weight", "context_mask"):
                tensor[1:] += 1.0
        torch.testing.assert_close(stage.loss(term.kind, {}, changed), value)


@pytest.mark.parametrize("name", STAGES)
def test_loss_of_a_batch_is_the_mean_of_the_patients_losses(name: str, build: Callable[..., Stage]) -> None:
    stage = build(name)
    terms = [draw(stage, patient, seed) for seed, patient in enumerate(("paired", "other", "no-report", "paired"))]
    with torch.no_grad():
        one_by_one = [sum(stage.loss(term.kind, {}, term.tensors) for term in own) for own in terms]
        together = stage.public_batch_loss({}, terms)
        torch.testing.assert_close(together, torch.stack(one_by_one).mean(), rtol=1e-4, atol=1e-5)
        first = terms[0][0].kind
        kin = [term for own in terms for term in own if term.kind == first]
        mean = torch.stack([stage.loss(first, {}, term.tensors) for term in kin]).mean()
        torch.testing.assert_close(stage.loss_batch(first, {}, stack_terms(kin)), mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STAGES)
def test_a_flow_s_weight_scales_the_loss_of_its_terms_and_no_other(name: str, build: Callable[..., Stage]) -> None:
    plain, weighed = build(name), build(name, flow_weights={"xray": 4.0})
    kinds = set()
    for seed in range(20):
        for term in draw(plain, "paired", seed):
            factor = 4.0 if term.kind.startswith("xray") else 1.0
            with torch.no_grad():
                expected = factor * plain.loss(term.kind, {}, term.tensors)
                torch.testing.assert_close(weighed.loss(term.kind, {}, term.tensors), expected)
            kinds.add(factor)
    assert kinds == {1.0, 4.0}


@pytest.mark.parametrize("name", STAGES)
def test_per_patient_gradients_through_vmap_equal_the_loop(name: str, build: Callable[..., Stage]) -> None:
    stage = build(name, timestep_draws=1)
    drawn = [term for seed, who in enumerate(("paired", "other", "paired")) for term in draw(stage, who, seed)]
    kind = drawn[0].kind
    terms = [term for term in drawn if term.kind == kind]
    known = dict(stage.generator.named_parameters())
    parameters = {key: known[key].detach() for key in stage.touched(kind)}
    mapped = vmap(grad(lambda own, tensors: stage.loss(kind, own, tensors)), in_dims=(None, 0))
    stacked = mapped(parameters, stack_terms(terms))
    for index, term in enumerate(terms):
        alone = gradients(stage, term)
        scale = max(float(alone[key].abs().max()) for key in parameters if key in alone)
        for key in parameters:
            expected = alone.get(key, torch.zeros_like(parameters[key]))
            torch.testing.assert_close(stacked[key][index], expected, rtol=1e-3, atol=2e-5 * scale)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("subsets", [chosen(), SMALL], ids=str)
def test_a_stage_touches_what_it_says_and_only_its_own_group(
    name: str, subsets: Subsets, build: Callable[..., Stage]
) -> None:
    stage = build(name)
    stage.generator.set_subsets(subsets)
    family = {"align": "alignment", "diffuse": "diffusion", "guide": "cross_guidance"}[name]
    allowed = {
        key
        for flow in SITE
        for group in [f"{family}/{flow}"]
        if group in stage.generator.group_names()
        for key in stage.generator.group(group)
    }
    for term in draw(stage, "paired", 1) + draw(stage, "one-flow", 1):
        touched = set(stage.touched(term.kind))
        assert touched <= allowed and bool(touched) == (term.kind != "ct/alone" or subsets.guidance != "gates")
        moved = {key for key, value in gradients(stage, term).items() if bool((value != 0).any())}
        assert moved & allowed <= touched  # nothing that trains moves without being said


@pytest.mark.parametrize("name", STAGES)
def test_per_patient_gradients_hold_on_to_no_graph(name: str, build: Callable[..., Stage]) -> None:
    """What is frozen in this stage is marked trainable in another: it must not keep the passes of a step in memory."""
    stage = build(name, timestep_draws=1)
    term = draw(stage, "paired")[0]
    known = dict(stage.generator.named_parameters())
    parameters = {key: known[key].detach() for key in stage.touched(term.kind)}
    assert any(value.requires_grad for value in known.values())
    found = grad(lambda own: stage.loss(term.kind, own, term.tensors))(parameters)
    assert not any(value.requires_grad for value in found.values())


def test_conditioning_is_dropped_at_the_stated_rate(generator: Generator) -> None:
    patients = Patients(generator, {"paired": COUNTS["paired"]})
    null = generator.null_text.tokens[0]
    for rate in (0.0, 0.5, 1.0):
        stage = DiffuseLoss(generator, patients, flows=("xray",), timestep_draws=8, conditioning_dropout=rate)
        told = torch.cat([draw(stage, "paired", seed)[0].tensors["context"] for seed in range(16)])
        dropped = sum(torch.equal(row, null) for row in told) / len(told)
        assert abs(dropped - rate) < 0.15


def test_other_flows_may_join_the_prompt_by_their_aligned_tokens(generator: Generator) -> None:
    patients = Patients(generator, {"paired": COUNTS["paired"], "one-flow": {"xray": 1}})
    stage = DiffuseLoss(generator, patients, flows=SITE, source_prompts=1.0)
    xray = next(term for term in draw(stage, "paired") if term.kind == "xray").tensors
    assert xray["context"].shape[1] == generator.config.context_length + generator.config.aligned_tokens
    expected = generator.align("ct", patients.known["paired"].images["ct"].float()).tokens[0]
    torch.testing.assert_close(xray["context"][0, -4:].float(), expected.detach(), atol=2e-2, rtol=1e-2)
    alone = next(iter(draw(stage, "one-flow"))).tensors
    assert alone["context_mask"][0, -4:].sum() == 0 and alone["context"].shape == xray["context"].shape


def test_only_images_of_the_same_examination_join_the_prompt(generator: Generator) -> None:
    """A report of the head must not be learnt from an image of the chest."""
    patients = Patients(generator, {"paired": {"xray": 1, "ct": 3, "text": 2}})
    known = patients.known["paired"]
    studies = {"xray": torch.tensor([1]), "ct": torch.tensor([2, 1, 2]), "text": torch.tensor([2, 3])}
    assert rows_beside(known, "xray", 0, "ct").tolist() == [0, 1, 2]  # nothing is known: all of them
    patients.known["paired"] = known = dataclasses.replace(known, imaging_study=studies)
    assert rows_beside(known, "xray", 0, "ct").tolist() == [1]
    assert rows_beside(known, "text", 0, "ct").tolist() == [0, 2]
    stage = DiffuseLoss(generator, patients, flows=SITE, source_prompts=1.0)
    expected = generator.align("ct", known.images["ct"].float()).tokens[1].detach()
    for seed in range(6):
        xray = next(term for term in draw(stage, "paired", seed) if term.kind == "xray").tensors
        torch.testing.assert_close(xray["context"][0, -4:].float(), expected, atol=2e-2, rtol=1e-2)


def test_timesteps_are_stratified_and_rows_are_not_repeated() -> None:
    timesteps = stratified_timesteps(3, 4, 1000, generator=seeded()).view(3, 4)
    assert bool((timesteps // 250 == torch.arange(4)).all())
    rows, weights = choose_rows(5, 3, generator=seeded())
    assert len(set(rows.tolist())) == 3 and weights.tolist() == [1, 1, 1]


def test_noisier_timesteps_lie_near_pure_noise_and_stay_stratified() -> None:
    timesteps = stratified_timesteps(4000, 2, 1000, noisier=4.0, generator=seeded()).view(4000, 2)
    halves = 1000 * (1 - 0.5**4)
    assert bool((timesteps[:, 0] <= halves).all()) and bool((timesteps[:, 1] >= halves - 1).all())
    assert 0.54 < float((timesteps >= 900).float().mean()) < 0.58  # 0.1 ** (1 / 4)
    assert 0 <= int(timesteps.min()) < 300 and int(timesteps.max()) == 999


def test_unknown_stages_and_flows_are_refused(build: Callable[..., Stage]) -> None:
    with pytest.raises(ConfigInvalid, match="choose align"):
        build("distil")
    with pytest.raises(InputInvalid, match="no flow called"):
        build("diffuse", flows=("pet",))


def test_records_print_nothing(generator: Generator) -> None:
    assert repr(invented_patient(generator, {"xray": 1})) == "PatientRecords(hidden)"


def test_context_that_a_whole_public_batch_masks_is_left_out_and_changes_nothing(build: Callable[..., Stage]) -> None:
    stage = build("diffuse")
    terms = [draw(stage, name, seed)[0] for name, seed in (("paired", 1), ("other", 2), ("no-report", 3))]
    stacked = stack_terms(terms)
    assert without_masked_context(stacked)["context"].shape[2] < stacked["context"].shape[2]
    one_by_one = torch.stack([stage.loss(term.kind, {}, term.tensors) for term in terms]).mean()
    assert torch.allclose(stage.loss_batch("xray", {}, stacked), one_by_one, rtol=1e-5)


def test_the_decoder_s_adapter_learns_from_the_patient_s_own_words(build: Callable[..., Stage]) -> None:
    stage = build("diffuse")
    term = next(term for term in draw(stage, "paired") if term.kind == "text")
    assert "codecs.text.adapter" in stage.touched("text") and "codecs.text.adapter" not in stage.touched("xray")
    found = gradients(stage, term)
    assert bool(found["codecs.text.adapter"].any())
    other = {key: tensor.clone() for key, tensor in term.tensors.items()}
    other["ids"] = other["ids"].roll(1, -1)
    assert not torch.equal(gradients(stage, Term("text", other))["codecs.text.adapter"], found["codecs.text.adapter"])


def test_words_of_a_report_compete_with_its_own_words_and_its_own_negatives(generator: Generator) -> None:
    features = generator.encode_text(["Small right pleural effusion.", "No acute abnormality."])
    latents, negatives = generator.encode_report(features), torch.randint(30_000, (2, 32))
    together = generator.spell("text", latents, features.ids, features.mask, negatives)
    alone = [
        generator.spell("text", latents[i:][:1], features.ids[i:][:1], features.mask[i:][:1], negatives[i:][:1])
        for i in (0, 1)
    ]
    assert torch.allclose(together, torch.cat(alone), rtol=1e-5)
    doubled = torch.cat([features.ids[:, 1:9], negatives[:, 8:]], 1)  # negatives that are the words themselves
    assert bool(torch.isfinite(generator.spell("text", latents, features.ids, features.mask, doubled)).all())

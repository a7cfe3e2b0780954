"""The stages: one patient at a time, equal shapes, everything drawn beforehand, and gradients where they belong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from medm2g import Generator
from medm2g.anchors import AnchorBank, build_anchors
from medm2g.errors import ConfigInvalid, InputInvalid
from medm2g.stages import DiffuseLoss, GuideLoss, Stage, Term, build_stage, stack_terms
from medm2g.stages.draws import choose_rows, rows_beside, stratified_timesteps
from medm2g.stages.roles import Role, choose_targets, draw_roles
from medm2g.stages.stage import without_masked_context
from medm2g.subsets import Subsets
from medm2g.text_encoder import TextEncoder
from tests.medm2g.conftest import chosen
from tests.medm2g.public_patients import Patients, invented_patient

STAGES = ("align", "diffuse", "guide")
SMALL = chosen(alignment="norms", diffusion="style", guidance="gates")
SITE = ("xray", "ct", "text")
COUNTS = {
    "paired": {"xray": 2, "ct": 1, "text": 1},
    "other": {"xray": 1, "ct": 3, "text": 2},
    "no-report": {"xray": 1, "ct": 1},
    "one-flow": {"ct": 2},
}


@pytest.fixture(scope="module")
def anchors(text_encoder: TextEncoder) -> AnchorBank:
    return build_anchors(text_encoder)


@pytest.fixture
def build(generator: Generator, anchors: AnchorBank) -> Callable[..., Stage]:
    def _build(name: str, patients: Patients | None = None, flows: tuple[str, ...] = SITE, **sizes: Any) -> Stage:
        source = patients or Patients(generator, COUNTS)
        sizes = {"records_per_patient": 2, "timestep_draws": 2} | sizes
        return build_stage(name, generator, source, flows=flows, conditioning_dropout=0.1, anchors=anchors, **sizes)

    return _build


def _random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _draw(stage: Stage, name: str, seed: int = 0) -> list[Term]:
    return stage.draw(name, generator=_random(seed))


def _same(first: list[Term], second: list[Term]) -> bool:
    return [term.kind for term in first] == [term.kind for term in second] and all(
        torch.equal(mine.tensors[name], theirs.tensors[name])
        for mine, theirs in zip(first, second, strict=True)
        for name in mine.tensors
    )


def _gradients(stage: Stage, term: Term) -> dict[str, Tensor]:
    """Of everything in the generator that can take one."""
    generator = stage.generator
    names = [name for name, value in generator.named_parameters() if not name.startswith("text_encoder")]
    known = dict(generator.named_parameters())
    leaves = {name: known[name].detach().clone().requires_grad_() for name in names}
    value = stage.loss(term.kind, leaves, term.tensors)
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}


@pytest.mark.parametrize("name", STAGES)
def test_a_patient_draws_the_same_whoever_else_is_there(
    name: str, build: Callable[..., Stage], generator: Generator
) -> None:
    everyone = Patients(generator, COUNTS)
    alone = Patients(generator, {"paired": COUNTS["paired"]})
    alone.known["paired"] = everyone.known["paired"]
    crowd, single = build(name, everyone), build(name, alone)
    _draw(crowd, "other")  # somebody else was drawn just before
    first, second = _draw(crowd, "paired", 5), _draw(single, "paired", 5)
    assert _same(first, second)
    for mine, theirs in zip(first, second, strict=True):
        assert torch.equal(crowd.loss(mine.kind, {}, mine.tensors), single.loss(theirs.kind, {}, theirs.tensors))


@pytest.mark.parametrize("name", STAGES)
def test_draws_depend_on_the_given_generator_and_on_nothing_else(name: str, build: Callable[..., Stage]) -> None:
    stage = build(name)
    torch.manual_seed(1)
    first = _draw(stage, "paired", 3)
    torch.manual_seed(2)
    assert _same(first, _draw(stage, "paired", 3))
    before = torch.random.get_rng_state()
    third = _draw(stage, "paired", 4)
    assert torch.equal(before, torch.random.get_rng_state())  # torch's own stream is untouched
    assert not _same(first, third)


@pytest.mark.parametrize("name", STAGES)
def test_terms_of_a_kind_have_equal_shapes_and_finite_losses(name: str, build: Callable[..., Stage]) -> None:
    stage = build(name)
    shapes: dict[str, dict[str, torch.Size]] = {}
    for seed in range(6):
        for patient in COUNTS:
            for term in _draw(stage, patient, seed):
                found = {key: (tensor.shape, tensor.dtype) for key, tensor in term.tensors.items()}
                assert shapes.setdefault(term.kind, found) == found
                if seed == 0:
                    assert bool(torch.isfinite(stage.loss(term.kind, {}, term.tensors)))
    expected = {"align": {"xray", "ct"}, "diffuse": set(SITE), "guide": {*SITE, "ct/alone"}}[name]
    assert set(shapes) == expected


@pytest.mark.parametrize("name", STAGES)
def test_padding_records_weigh_nothing(name: str, build: Callable[..., Stage]) -> None:
    stage = build(name, records_per_patient=3, timestep_draws=1)
    for term in _draw(stage, "no-report"):
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
    terms = [_draw(stage, patient, seed) for seed, patient in enumerate(("paired", "other", "no-report", "paired"))]
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
        for term in _draw(plain, "paired", seed):
            factor = 4.0 if term.kind.startswith("xray") else 1.0
            with torch.no_grad():
                expected = factor * plain.loss(term.kind, {}, term.tensors)
                torch.testing.assert_close(weighed.loss(term.kind, {}, term.tensors), expected)
            kinds.add(factor)
    assert kinds == {1.0, 4.0}


@pytest.mark.parametrize("name", STAGES)
def test_per_patient_gradients_through_vmap_equal_the_loop(name: str, build: Callable[..., Stage]) -> None:
    stage = build(name, timestep_draws=1)
    drawn = [term for seed, who in enumerate(("paired", "other", "paired")) for term in _draw(stage, who, seed)]
    kind = drawn[0].kind
    terms = [term for term in drawn if term.kind == kind]
    known = dict(stage.generator.named_parameters())
    parameters = {key: known[key].detach() for key in stage.touched(kind)}
    mapped = vmap(grad(lambda own, tensors: stage.loss(kind, own, tensors)), in_dims=(None, 0))
    stacked = mapped(parameters, stack_terms(terms))
    for index, term in enumerate(terms):
        alone = _gradients(stage, term)
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
    for term in _draw(stage, "paired", 1) + _draw(stage, "one-flow", 1):
        touched = set(stage.touched(term.kind))
        assert touched <= allowed and bool(touched) == (term.kind != "ct/alone" or subsets.guidance != "gates")
        moved = {key for key, value in _gradients(stage, term).items() if bool((value != 0).any())}
        assert moved & allowed <= touched  # nothing that trains moves without being said


@pytest.mark.parametrize("name", STAGES)
def test_per_patient_gradients_hold_on_to_no_graph(name: str, build: Callable[..., Stage]) -> None:
    """What is frozen in this stage is marked trainable in another: it must not keep the passes of a step in memory."""
    stage = build(name, timestep_draws=1)
    term = _draw(stage, "paired")[0]
    known = dict(stage.generator.named_parameters())
    parameters = {key: known[key].detach() for key in stage.touched(term.kind)}
    assert any(value.requires_grad for value in known.values())
    found = grad(lambda own: stage.loss(term.kind, own, term.tensors))(parameters)
    assert not any(value.requires_grad for value in found.values())


def _guide_term(stage: Stage, kind: str, wanted: Callable[[Term], bool]) -> Term:
    """The first term of that target whose roles are as wanted."""
    for seed in range(300):
        for term in _draw(stage, "paired", seed):
            if term.kind == kind and wanted(term):
                return term
    raise AssertionError("no draw gave these roles")


def _moved(stage: Stage, term: Term) -> set[str]:
    return {key for key, value in _gradients(stage, term).items() if bool((value != 0).any())}


def test_a_targets_loss_reaches_the_environment_of_another_flow_and_no_adapters_but_its_own(
    build: Callable[..., Stage],
) -> None:
    stage = build("guide")
    assert isinstance(stage, GuideLoss)
    stage.contrast_weight = 0.0  # the denoising part alone must do it
    term = _guide_term(stage, "xray", lambda t: bool(t.tensors["present.ct"][0] == 1))
    moved = _moved(stage, term)
    assert any(key.startswith("environments.ct.") for key in moved)
    assert any(key.startswith("adapters.xray.") for key in moved)
    assert not any(key.startswith("environments.xray.") for key in moved)  # a flow never hears itself
    assert not any(key.startswith("adapters.") and not key.startswith("adapters.xray.") for key in moved)


def test_alignment_is_frozen_in_guide(build: Callable[..., Stage]) -> None:
    stage = build("guide")
    for term in _draw(stage, "paired", 1) + _draw(stage, "one-flow", 1):
        assert not any(key.startswith("alignment.") for key in _gradients(stage, term))
        assert not any(key.startswith("alignment.") for key in stage.touched(term.kind))


def test_an_absent_source_has_no_gradient_and_no_voice(build: Callable[..., Stage]) -> None:
    stage = build("guide")
    term = _guide_term(stage, "xray", lambda t: bool((t.tensors["present.ct"] == 0).all()))
    assert not any(key.startswith("environments.ct.") for key in _moved(stage, term))
    value = stage.loss("xray", {}, term.tensors)
    louder = dict(term.tensors) | {"latents.ct": torch.full_like(term.tensors["latents.ct"], 3.0)}
    assert torch.equal(stage.loss("xray", {}, louder), value)


def test_a_clean_source_is_shown_as_it_is_and_a_co_target_at_the_targets_time(build: Callable[..., Stage]) -> None:
    stage = build("guide")
    source = _guide_term(stage, "xray", lambda t: bool((t.tensors["clean.ct"] == 1).all())).tensors
    assert bool((source["timesteps.ct"] == 0).all()) and bool((source["present.ct"] == 1).all())
    both = _guide_term(
        stage, "xray", lambda t: bool((t.tensors["clean.ct"] + 1 == t.tensors["present.ct"]).all())
    ).tensors
    assert torch.equal(both["timesteps.ct"], both["timesteps.xray"])


def test_the_text_target_never_hears_its_own_report(build: Callable[..., Stage], generator: Generator) -> None:
    patients = Patients(generator, {"paired": COUNTS["paired"]})
    report = patients.known["paired"].text_tokens[0]
    for name in ("diffuse", "guide"):
        stage = build(name, patients)
        for seed in range(40):
            for term in _draw(stage, "paired", seed):
                if term.kind == "text":
                    told = term.tensors["context"][:, : report.shape[0]]
                    assert not any(torch.equal(row, report) for row in told)


def test_no_flow_is_prompted_by_a_report_that_is_being_written(build: Callable[..., Stage]) -> None:
    """Where text is a co-target its noisy self may be heard, its words may not."""
    stage = build("guide")
    report = stage.patients.patient("paired").text_tokens[0]
    co_target = _guide_term(
        stage, "xray", lambda t: bool((t.tensors["clean.text"] + 1 == t.tensors["present.text"]).all())
    )
    assert not any(torch.equal(row[: len(report)], report) for row in co_target.tensors["context"])
    source = _guide_term(stage, "xray", lambda t: bool((t.tensors["clean.text"] == 1).all()))
    assert any(torch.equal(row[: len(report)], report) for row in source.tensors["context"])


def test_at_most_two_targets_cost_a_patient_a_term(build: Callable[..., Stage], generator: Generator) -> None:
    everything = dict.fromkeys(generator.flows, 1)
    stage = build("guide", Patients(generator, {"rich": everything}), generator.flows, timestep_draws=1)
    assert {len(_draw(stage, "rich", seed)) for seed in range(20)} == {1, 2}


def test_a_joint_step_stays_within_one_examination(build: Callable[..., Stage], generator: Generator) -> None:
    """Two X-rays and two CTs, one of each to an examination: what goes together is never mixed."""
    patient = invented_patient(generator, {"xray": 2, "ct": 2})
    labels = {"xray": torch.tensor([0, 1]), "ct": torch.tensor([1, 0])}
    object.__setattr__(patient, "imaging_study", labels)
    patients = Patients(generator, {})
    patients.known["two"] = patient
    stage = build("guide", patients, ("xray", "ct"), records_per_patient=1, timestep_draws=1)
    partner = {0: 1, 1: 0}
    heard = 0
    for seed in range(30):
        for term in _draw(stage, "two", seed):
            other = "ct" if term.kind == "xray" else "xray"
            if term.tensors[f"present.{other}"][0] == 1:
                own = [
                    i
                    for i in (0, 1)
                    if torch.equal(term.tensors[f"latents.{term.kind}"][0], patient.latents[term.kind][i])
                ]
                seen = [
                    i for i in (0, 1) if torch.equal(term.tensors[f"latents.{other}"][0], patient.latents[other][i])
                ]
                assert seen == [partner[own[0]]]
                heard += 1
    assert heard > 5


def test_roles_always_leave_something_to_hear_and_something_to_make() -> None:
    seen = set()
    for seed in range(200):
        roles = draw_roles(("a", "b", "c"), generator=_random(seed))
        assert Role.TARGET in roles.values()
        assert sum(role is not Role.ABSENT for role in roles.values()) >= 2
        seen.add(tuple(roles.values()))
        assert 1 <= len(choose_targets(roles, 2, generator=_random(seed))) <= 2
    assert len(seen) > 12
    assert draw_roles(("a", "b"), targets=("b",), generator=_random())["b"] is Role.TARGET


def test_conditioning_is_dropped_at_the_stated_rate(generator: Generator) -> None:
    patients = Patients(generator, {"paired": COUNTS["paired"]})
    null = generator.null_text.tokens[0]
    for rate in (0.0, 0.5, 1.0):
        stage = DiffuseLoss(generator, patients, flows=("xray",), timestep_draws=8, conditioning_dropout=rate)
        told = torch.cat([_draw(stage, "paired", seed)[0].tensors["context"] for seed in range(16)])
        dropped = sum(torch.equal(row, null) for row in told) / len(told)
        assert abs(dropped - rate) < 0.15


def test_other_flows_may_join_the_prompt_by_their_aligned_tokens(generator: Generator) -> None:
    patients = Patients(generator, {"paired": COUNTS["paired"], "one-flow": {"xray": 1}})
    stage = DiffuseLoss(generator, patients, flows=SITE, source_prompts=1.0)
    xray = next(term for term in _draw(stage, "paired") if term.kind == "xray").tensors
    assert xray["context"].shape[1] == generator.config.context_length + generator.config.aligned_tokens
    expected = generator.align("ct", patients.known["paired"].images["ct"].float()).tokens[0]
    torch.testing.assert_close(xray["context"][0, -4:].float(), expected.detach(), atol=2e-2, rtol=1e-2)
    alone = next(iter(_draw(stage, "one-flow"))).tensors
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
        xray = next(term for term in _draw(stage, "paired", seed) if term.kind == "xray").tensors
        torch.testing.assert_close(xray["context"][0, -4:].float(), expected, atol=2e-2, rtol=1e-2)


def test_timesteps_are_stratified_and_rows_are_not_repeated() -> None:
    timesteps = stratified_timesteps(3, 4, 1000, generator=_random()).view(3, 4)
    assert bool((timesteps // 250 == torch.arange(4)).all())
    rows, weights = choose_rows(5, 3, generator=_random())
    assert len(set(rows.tolist())) == 3 and weights.tolist() == [1, 1, 1]


def test_noisier_timesteps_lie_near_pure_noise_and_stay_stratified() -> None:
    timesteps = stratified_timesteps(4000, 2, 1000, noisier=4.0, generator=_random()).view(4000, 2)
    halves = 1000 * (1 - 0.5**4)
    assert bool((timesteps[:, 0] <= halves).all()) and bool((timesteps[:, 1] >= halves - 1).all())
    assert 0.54 < float((timesteps >= 900).float().mean()) < 0.58  # 0.1 ** (1 / 4)
    assert 0 <= int(timesteps.min()) < 300 and int(timesteps.max()) == 999


def test_guide_looks_where_another_flow_has_something_to_say(build: Callable[..., Stage]) -> None:
    def share_of_noisy(name: str) -> float:
        terms = [term for seed in range(60) for term in _draw(build(name), "paired", seed)]
        own = [(term.tensors, f"timesteps.{term.kind}" if name == "guide" else "timesteps") for term in terms]
        drawn = [tensors[key] for tensors, key in own if key in tensors]
        return float((torch.cat(drawn) >= 900).float().mean())

    assert share_of_noisy("guide") > 0.45 and 0.05 < share_of_noisy("diffuse") < 0.2


def test_unknown_stages_and_flows_are_refused(build: Callable[..., Stage]) -> None:
    with pytest.raises(ConfigInvalid, match="choose align"):
        build("distil")
    with pytest.raises(InputInvalid, match="no flow called"):
        build("diffuse", flows=("pet",))


def test_records_print_nothing(generator: Generator) -> None:
    assert repr(invented_patient(generator, {"xray": 1})) == "PatientRecords(hidden)"


def test_context_that_a_whole_public_batch_masks_is_left_out_and_changes_nothing(build: Callable[..., Stage]) -> None:
    stage = build("diffuse")
    terms = [_draw(stage, name, seed)[0] for name, seed in (("paired", 1), ("other", 2), ("no-report", 3))]
    stacked = stack_terms(terms)
    assert without_masked_context(stacked)["context"].shape[2] < stacked["context"].shape[2]
    one_by_one = torch.stack([stage.loss(term.kind, {}, term.tensors) for term in terms]).mean()
    assert torch.allclose(stage.loss_batch("xray", {}, stacked), one_by_one, rtol=1e-5)


def test_the_decoder_s_adapter_learns_from_the_patient_s_own_words(build: Callable[..., Stage]) -> None:
    stage = build("diffuse")
    term = next(term for term in _draw(stage, "paired") if term.kind == "text")
    assert "codecs.text.adapter" in stage.touched("text") and "codecs.text.adapter" not in stage.touched("xray")
    found = _gradients(stage, term)
    assert bool(found["codecs.text.adapter"].any())
    other = {key: tensor.clone() for key, tensor in term.tensors.items()}
    other["ids"] = other["ids"].roll(1, -1)
    assert not torch.equal(_gradients(stage, Term("text", other))["codecs.text.adapter"], found["codecs.text.adapter"])


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

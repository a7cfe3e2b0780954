"""Stage `guide`: who hears whom, what is shown of a source, and where it looks."""

from __future__ import annotations

from collections.abc import Callable

import torch

from medm2g import Generator
from medm2g.stages import GuideLoss, Stage, Term
from medm2g.stages.roles import Role, choose_targets, draw_roles
from tests.medm2g.public_patients import Patients, invented_patient
from tests.medm2g.stage_draws import COUNTS, draw, gradients, seeded


def _guide_term(stage: Stage, kind: str, wanted: Callable[[Term], bool]) -> Term:
    """The first term of that target whose roles are as wanted."""
    for seed in range(300):
        for term in draw(stage, "paired", seed):
            if term.kind == kind and wanted(term):
                return term
    raise AssertionError("no draw gave these roles")


def _moved(stage: Stage, term: Term) -> set[str]:
    return {key for key, value in gradients(stage, term).items() if bool((value != 0).any())}


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
    for term in draw(stage, "paired", 1) + draw(stage, "one-flow", 1):
        assert not any(key.startswith("alignment.") for key in gradients(stage, term))
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
            for term in draw(stage, "paired", seed):
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
    assert {len(draw(stage, "rich", seed)) for seed in range(20)} == {1, 2}


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
        for term in draw(stage, "two", seed):
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
        roles = draw_roles(("a", "b", "c"), generator=seeded(seed))
        assert Role.TARGET in roles.values()
        assert sum(role is not Role.ABSENT for role in roles.values()) >= 2
        seen.add(tuple(roles.values()))
        assert 1 <= len(choose_targets(roles, 2, generator=seeded(seed))) <= 2
    assert len(seen) > 12
    assert draw_roles(("a", "b"), targets=("b",), generator=seeded())["b"] is Role.TARGET


def test_guide_looks_where_another_flow_has_something_to_say(build: Callable[..., Stage]) -> None:
    def share_of_noisy(name: str) -> float:
        terms = [term for seed in range(60) for term in draw(build(name), "paired", seed)]
        own = [(term.tensors, f"timesteps.{term.kind}" if name == "guide" else "timesteps") for term in terms]
        drawn = [tensors[key] for tensors, key in own if key in tensors]
        return float((torch.cat(drawn) >= 900).float().mean())

    assert share_of_noisy("guide") > 0.45 and 0.05 < share_of_noisy("diffuse") < 0.2

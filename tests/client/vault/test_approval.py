"""Approval holds a whole study against policy, declaration and store, and fixes its noise for good."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from client.vault.errors import GeneratorMismatch, NotApproved, StateDamaged
from privacy.errors import BudgetExceeded, OutsideDeclaration, PolicyRefused
from protocol.study import Study

MakeSite = Callable[..., Any]
MakeStudy = Callable[..., Study]


def with_site(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "north", "flows": ["xray", "text"], "declared_patients": 12} | changes]


def test_the_noise_keeps_planned_and_spare_rounds_within_the_cap(make_site: MakeSite, make_study: MakeStudy) -> None:
    approval = make_site().vault().approve(make_study())
    assert approval.plan is not None
    assert [stage.steps for stage in approval.plan.stages] == [3, 3, 3]  # 2 rounds and half as many spare
    assert 7.9 < approval.plan.epsilon <= 8.0
    assert approval.plan.delta == pytest.approx(0.1 / 12)


def test_approving_again_changes_nothing_and_survives_a_restart(make_site: MakeSite, make_study: MakeStudy) -> None:
    site = make_site()
    first = site.vault().approve(make_study())
    again = site.vault()
    assert again.approve(make_study()) == first
    assert again.describe().studies == (first.digest,)
    assert len([entry for entry in again._ledger.entries() if entry.kind == "approved"]) == 1


def test_a_site_with_too_few_patients_is_refused_with_the_right_sentence(
    make_site: MakeSite, make_study: MakeStudy
) -> None:
    site = make_site(minimum_patients=50)
    with pytest.raises(PolicyRefused, match="too few patients: it declares 12, and its policy asks for at least 50"):
        site.vault().approve(make_study())


@pytest.mark.parametrize(
    ("policy", "study", "sentence"),
    [
        ({}, {"sites": with_site(declared_patients=30)}, "counts on 30 patients at this site, which declares 12"),
        ({}, {"sites": with_site(flows=["xray", "ct"])}, "asks for ct, which this site has not declared"),
        ({"allowed_stages": ["align"]}, {}, "does not take part in diffuse, guide"),
        ({"max_epsilon_per_study": 4.0}, {}, "would spend epsilon 8.*policy allows 4"),
        ({"max_delta": 1e-4}, {}, "delta of 0.00833 is above the 0.0001"),
        ({}, {"privacy": {"enabled": False}}, "trains without privacy here"),
        ({}, {"sites": with_site(private=False)}, "trains without privacy here"),
        ({"name": "elsewhere"}, {}, "does not name this site, elsewhere"),
    ],
)
def test_what_exceeds_the_policy_is_refused_with_a_sentence_that_says_why(
    make_site: MakeSite, make_study: MakeStudy, policy: dict[str, Any], study: dict[str, Any], sentence: str
) -> None:
    vault = make_site(**policy).vault()
    with pytest.raises(PolicyRefused, match=sentence):
        vault.approve(make_study(**study))
    assert vault.describe().studies == ()


def test_a_store_outside_its_declaration_is_refused_without_the_count(
    make_site: MakeSite, make_study: MakeStudy
) -> None:
    with pytest.raises(OutsideDeclaration, match="fewer patients than this site declares") as few:
        make_site("north", patients=11).vault().approve(make_study())
    with pytest.raises(OutsideDeclaration, match="more patients than `max_patients`") as many:
        make_site("south", declared_flows=("xray", "ct"), max_patients=12, patients=13).vault().approve(make_study())
    assert "11" not in str(few.value) and "13" not in str(many.value)


def test_another_generator_than_the_studys_is_refused(make_site: MakeSite, make_study: MakeStudy) -> None:
    with pytest.raises(GeneratorMismatch):
        make_site().vault().approve(make_study().with_generator(digest="0" * 64))


def test_all_studies_together_stay_within_the_lifetime_epsilon(make_site: MakeSite, make_study: MakeStudy) -> None:
    vault = make_site(max_epsilon=9.0).vault()
    vault.approve(make_study())
    with pytest.raises(BudgetExceeded, match="lifetime epsilon of 9"):
        vault.approve(make_study(name="second"))
    assert len(vault.describe().studies) == 1


def test_replies_at_once_are_refused_in_deployment(make_site: MakeSite, make_study: MakeStudy) -> None:
    vault = make_site().vault(deployment=True)
    with pytest.raises(PolicyRefused, match="set a grid"):
        vault.approve(make_study())
    assert vault.approve(make_study(federation={"release_grid_seconds": 5.0})).private


def test_an_edited_approval_is_noticed(make_site: MakeSite, make_study: MakeStudy) -> None:
    site = make_site()
    digest = site.vault().approve(make_study()).digest
    path = site.folder / "state" / "approvals" / f"{digest}.json"
    content = json.loads(path.read_text())
    content["terms"]["study"]["stages"][0]["rounds"] = 99
    path.write_text(json.dumps(content))
    with pytest.raises(StateDamaged):
        site.vault()._approvals.get(digest)


def test_a_policy_that_has_become_stricter_stops_an_approved_study(make_site: MakeSite, make_study: MakeStudy) -> None:
    site = make_site()
    digest = site.vault().approve(make_study()).digest
    policy = site.folder / "site.toml"
    policy.write_text(policy.read_text().replace('"guide"', '"align"'))
    with pytest.raises(PolicyRefused, match="does not take part in guide"):
        site.vault()._approvals.get(digest)


def test_a_digest_that_is_a_path_is_simply_not_approved(make_site: MakeSite) -> None:
    with pytest.raises(NotApproved):
        make_site().vault()._approvals.get("../../site")

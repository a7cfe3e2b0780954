"""The site's rules: each is stated, typed, and refuses with its own plain sentence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from privacy.errors import ConfigInvalid, OutsideDeclaration, PolicyRefused
from privacy.policy import SitePolicy, check_store

ROOT = Path(__file__).resolve().parents[2]
STUDY: dict[str, Any] = {
    "declared_patients": 100,
    "stages": ["align"],
    "flows": ["xray"],
    "private": True,
    "epsilon": 8.0,
    "delta": 1e-3,
    "coordinator": "",
}


@pytest.mark.parametrize(
    ("policy", "study", "sentence"),
    [
        ({"declared_patients": 37}, {"declared_patients": 37}, "too few patients: it declares 37, .* at least 50"),
        ({}, {"declared_patients": 120}, "counts on 120 patients .* declares 100"),
        ({}, {"flows": ["xray", "ct"]}, "asks for ct, which this site has not declared"),
        ({}, {"stages": ["align", "guide"]}, "does not take part in guide"),
        ({}, {"epsilon": 8.1}, "epsilon 8.1 .* allows 8 a study"),
        ({"max_epsilon_per_study": 2.0}, {}, "allows 2 a study"),
        ({}, {"delta": 1.1e-3}, "delta of 0.0011 is above the 0.001"),
        ({"max_delta": 0.01}, {"delta": 2e-3}, "above the 0.001"),
        ({}, {"epsilon": None}, "does not say what it spends"),
        ({}, {"epsilon": float("nan")}, "does not say what it spends"),
        ({}, {"delta": None}, "does not say what it spends"),
        ({}, {"private": False, "epsilon": None, "delta": None}, "without privacy .* does not allow"),
        ({"max_delta_per_study": 5e-4}, {}, "delta of 0.001 is above the 0.0005"),
        ({"coordinators": ["uni"]}, {}, "coordinator is not among those"),
        ({"coordinators": ["uni"]}, {"coordinator": "other"}, "coordinator is not among those"),
    ],
)
def test_what_exceeds_the_policy_is_refused_with_the_right_sentence(
    policy: dict, study: dict, sentence: str, doubles: SimpleNamespace
) -> None:
    with pytest.raises(PolicyRefused, match=sentence) as refusal:
        doubles.policy(**policy).check(**(STUDY | study))
    text = str(refusal.value)
    assert text.endswith(".") and "\n" not in text and refusal.value.code == "policy-refused"


def test_what_the_policy_allows_passes(doubles: SimpleNamespace) -> None:
    doubles.policy().check(**STUDY)
    doubles.policy(coordinators=["uni", "trust"]).check(**(STUDY | {"coordinator": "trust"}))
    open_site = doubles.policy(allow_non_private=True)
    open_site.check(**(STUDY | {"private": False, "epsilon": None, "delta": None}))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"surprise": 1}, "surprise"),
        ({"max_epsilon": 0}, "max_epsilon"),
        ({"max_epsilon_per_study": 17.0}, "max_epsilon_per_study"),
        ({"declared_patients": 2000}, "declared_patients"),
        ({"declared_flows": []}, "declared_flows"),
        ({"patient_ids": "guessed"}, "patient_ids"),
        ({"head_scans": "blur"}, "head_scans"),
        ({"burned_in_text": "yes"}, "burned_in_text"),
        ({"secondary_captures": True}, "secondary_captures"),
        ({"name": "Hospital A"}, "name"),
        ({"max_delta": 1.0}, "max_delta"),
        ({"max_delta_per_study": 2e-3}, "max_delta_per_study"),
        ({"declared_patients": 10}, "minimum_count"),
        ({"minimum_count": 0}, "minimum_count"),
        ({"metrics_leave": "sometimes"}, "metrics_leave"),
    ],
)
def test_unknown_keys_and_impossible_values_are_refused_by_name(
    changes: dict, place: str, doubles: SimpleNamespace
) -> None:
    with pytest.raises(ConfigInvalid, match=place):
        doubles.policy(**changes)


def test_the_policy_is_frozen_and_private_by_default(doubles: SimpleNamespace) -> None:
    policy = doubles.policy()
    assert policy.allow_non_private is False and policy.minimum_patients == 50
    assert (policy.burned_in_text, policy.secondary_captures, policy.head_scans) == ("refuse", "refuse", "deface")
    with pytest.raises(ValueError):
        policy.max_epsilon = 100.0


def test_the_digest_changes_with_every_field(doubles: SimpleNamespace) -> None:
    changed = [
        {},
        {"max_epsilon": 17.0},
        {"allow_non_private": True},
        {"minimum_patients": 51},
        {"patient_ids": "pseudo"},
        {"head_scans": "allow"},
        {"burned_in_text": "allow"},
        {"secondary_captures": "allow"},
        {"allowed_stages": ["align"]},
        {"coordinators": ["uni"]},
        {"minimum_count": 12},
        {"metrics_leave": True},
        {"max_delta_per_study": 1e-4},
    ]
    digests = {doubles.policy(**changes).digest() for changes in changed}
    assert len(digests) == len(changed)
    assert doubles.policy().digest() == doubles.policy().digest()


def test_no_measured_figure_leaves_unless_the_policy_says_so_and_on_enough_patients(doubles: SimpleNamespace) -> None:
    closed, told = doubles.policy(), doubles.policy(metrics_leave=True)
    closed.check_leaving(["epsilon_spent"], expected_patients=1.0)  # from public numbers alone
    told.check_leaving(["epsilon_spent", "loss"], expected_patients=11.0)
    with pytest.raises(PolicyRefused, match="no measured figure leave: take loss out"):
        closed.check_leaving(["epsilon_spent", "loss"], expected_patients=1000.0)
    with pytest.raises(PolicyRefused, match="fewer patients than `minimum_count`"):
        told.check_leaving(["loss"], expected_patients=10.9)


def test_a_file_without_a_delta_per_study_means_the_lifetimes(doubles: SimpleNamespace) -> None:
    assert doubles.policy(max_delta=2e-4).max_delta_per_study == 2e-4
    assert doubles.policy(max_delta=2e-4).digest() == doubles.policy(max_delta=2e-4, max_delta_per_study=2e-4).digest()


def test_the_committed_example_is_a_policy() -> None:
    policy = SitePolicy.read(ROOT / "studies" / "site.toml")
    assert set((ROOT / "studies" / "site.toml").read_text().split()) >= set(SitePolicy.model_fields)
    assert not policy.allow_non_private


def test_a_missing_or_broken_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no policy"):
        SitePolicy.read(tmp_path / "site.toml")
    (tmp_path / "site.toml").write_text("name = ")
    with pytest.raises(ConfigInvalid, match="not valid TOML"):
        SitePolicy.read(tmp_path / "site.toml")


@pytest.mark.parametrize("patients", [49, 1001])
def test_a_store_outside_its_declaration_is_refused_without_its_count(patients: int, doubles: SimpleNamespace) -> None:
    with pytest.raises(OutsideDeclaration) as refusal:
        check_store(doubles.policy(), patients=patients)
    assert str(patients) not in str(refusal.value) and refusal.value.code == "outside-declaration"


@pytest.mark.parametrize("patients", [50, 99, 100, 1000])
def test_a_store_within_its_declaration_passes(patients: int, doubles: SimpleNamespace) -> None:
    check_store(doubles.policy(), patients=patients)

"""`fedm2g simulate --compare`: which arms there are, that they train on the same patients, and what the page says."""

from __future__ import annotations

import json
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from rich.progress import Progress

from client.records.store import RecordStore
from protocol.study import Study
from simulations.compare.arms import POOLED, Kind, arms_of
from simulations.compare.figures import claims
from simulations.compare.kept import VERDICTS, KeptVerdicts
from simulations.compare.page import PAGE, PICTURE, write_page
from simulations.compare.run import Comparison, compare
from simulations.errors import InputInvalid
from simulations.evaluation import EvaluationSettings
from simulations.scenario import build_phantom_sites, build_pooled_site
from simulations.summary import FlowQuality, Quality

QUIET = Progress(disable=True)
DEMO = Path(__file__).resolve().parents[3] / "studies" / "demo.toml"
SMALL = """
name = "small"
[[sites]]
name = "chests"
flows = ["xray", "text"]
declared_patients = 50
population = "hospital-xray"
[[sites]]
name = "heads"
flows = ["mri_t1"]
declared_patients = 50
population = "hospital-mri"
[[stages]]
name = "diffuse"
rounds = 2
sampling_probability = 0.3
learning_rate = 0.3
[optimizer]
name = "normalised_sgd"
[federation]
quorum = 2
[training]
alignment_subset = "norms"
diffusion_subset = "style"
guidance_subset = "gates"
"""


def test_the_arms_differ_in_who_trains_together_and_under_how_much_noise() -> None:
    study = Study.read(DEMO)
    arms = {arm.name: arm for arm in arms_of(study)}
    assert len(arms) == 1 + 2 * 4 + 3 + 1 + 1
    for name, arm in arms.items():
        assert arm.study.stages == study.stages and arm.study.optimizer == study.optimizer, name
        assert arm.private == ("open" not in name and name not in (POOLED, "public-longer"))
        assert arm.hospitals == study.sites
    assert [arms[f"federated-{epsilon}"].study.privacy.max_epsilon for epsilon in (1, 3, 8)] == [1.0, 3.0, 8.0]
    assert arms["federated-8"].study == study
    alone = arms["alone-hospital-ct"].study
    assert alone.sites == (study.site("hospital-ct"),) and alone.federation.quorum == 1
    pooled = arms[POOLED].study.sites[0]
    assert pooled.declared_patients == 4 * 480 and pooled.flows == tuple(flow.name for flow in study.flows)
    assert {arm.kind for arm in arms.values()} == set(Kind)


def test_every_arm_has_the_same_patients(tmp_path: Path) -> None:
    study = Study.from_dict(tomllib.loads(SMALL))
    arms = {arm.name: arm for arm in arms_of(study)}

    def pictures(folder: Path) -> set[bytes]:
        with closing(RecordStore.open(folder)) as store:
            rows = [row for who in store.patients() for row in store.records(who)]
            return {store.image(row.record_id).tobytes() for row in rows if row.flow != "text"}

    federated = build_phantom_sites(study, tmp_path / "federated", size=64, processes=1)
    alone = build_phantom_sites(
        arms["alone-heads"].study, tmp_path / "alone", size=64, numbers={"chests": 0, "heads": 1}, processes=1
    )
    pooled = build_pooled_site(arms[POOLED].study, arms[POOLED].study.sites[0], study.sites, tmp_path / "all", size=64)
    chests, heads = (pictures(site.folder) for site in federated)
    assert len(heads) == 50 and pictures(alone[0].folder) == heads
    assert pictures(pooled.folder) == chests | heads


def test_verdicts_of_other_terms_or_of_another_generator_are_not_taken(tmp_path: Path) -> None:
    quality = Quality({"xray": FlowQuality((1.0, 2.0), accuracy_reason="nobody asked")})
    kept = KeptVerdicts(tmp_path / VERDICTS, {"per_flow": 16, "seeds": (1, 2)})
    kept.keep("a", quality)
    kept.keep_ceiling({"xray": 0.9})
    again = KeptVerdicts(tmp_path / VERDICTS, {"per_flow": 16, "seeds": (1, 2)})
    assert "a" in again and "b" not in again and again.quality("a") == quality and again.ceiling == {"xray": 0.9}
    other = KeptVerdicts(tmp_path / VERDICTS, {"per_flow": 17, "seeds": (1, 2)})
    assert "a" not in other and not other.ceiling


def test_a_comparison_is_kept_resumed_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study.toml").write_text(SMALL, encoding="utf-8")
    options = {
        "evaluation": EvaluationSettings(sampling_seeds=(1, 2), num_inference_steps=1),
        "per_flow": 16,
        "only": ("federated-8", POOLED, "alone-chests"),
        "processes": 1,
    }
    comparison = Comparison(tmp_path / "study.toml", tmp_path / "out", **options)
    result = compare(comparison, progress=QUIET)
    assert list(result["arms"]) == ["before", "alone-chests", "federated-8", POOLED]
    assert result["arms"]["federated-8"]["max_epsilon"] == 8.0 and result["arms"][POOLED]["max_epsilon"] is None
    before, alone = (result["arms"][name]["flows"] for name in ("before", "alone-chests"))
    assert alone["mri_t1"] == before["mri_t1"] and alone["xray"] != before["xray"]  # what it has no part in stays
    assert len(before["xray"]["frechet"]) == 2 and result["arms"][POOLED]["rounds"] == 2
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == result
    made = (tmp_path / "out" / "arms" / "federated-8" / "generator" / "card.md").stat().st_mtime_ns
    with monkeypatch.context() as nobody_judges:
        nobody_judges.setattr("simulations.compare.run.Panel", None)
        again = compare(Comparison(tmp_path / "study.toml", tmp_path / "out", resume=True, **options), progress=QUIET)
    assert again == result
    assert (tmp_path / "out" / "arms" / "federated-8" / "generator" / "card.md").stat().st_mtime_ns == made
    (tmp_path / "slower.toml").write_text(SMALL.replace("learning_rate = 0.3", "learning_rate = 0.2"), encoding="utf-8")
    one = {**options, "only": ("alone-chests",)}
    other = compare(Comparison(tmp_path / "slower.toml", tmp_path / "out", resume=True, **one), progress=QUIET)
    assert other["arms"]["alone-chests"]["flows"] != alone  # not the old one's
    page = write_page(tmp_path / "out", result)
    text = page.read_text(encoding="utf-8")
    assert page.name == PAGE and (tmp_path / "out" / PICTURE).stat().st_size > 5000
    assert all(arm["title"] in text for arm in result["arms"].values())
    with pytest.raises(InputInvalid, match="nothing to resume"):
        compare(Comparison(tmp_path / "study.toml", tmp_path / "absent", resume=True), progress=QUIET)
    with pytest.raises(InputInvalid, match="no arm alone-nobody: choose from public-longer"):
        compare(Comparison(tmp_path / "study.toml", tmp_path / "out", only=("alone-nobody",)), progress=QUIET)
    assert (tmp_path / "out" / "comparison.json").is_file()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.toml").touch()  # a run's folder is not a comparison's
    with pytest.raises(InputInvalid, match="not a comparison"):
        compare(Comparison(tmp_path / "study.toml", tmp_path / "other"), progress=QUIET)


def _arm(frechet: float, accuracy: float, kind: str = "federated", epsilon: float | None = None) -> dict[str, object]:
    flows = {"xray": {"frechet": [frechet - 1, frechet + 1], "finding_accuracy": [accuracy - 0.01, accuracy + 0.01]}}
    return {"title": kind, "kind": kind, "max_epsilon": epsilon, "flows": flows}


def test_claims_say_by_which_numbers_they_hold() -> None:
    arms = {
        "before": _arm(400, 0.8),
        "public-longer": _arm(390, 0.82, "public"),
        "alone-a": _arm(300, 0.81, "alone", 8.0),
        "alone-a-open": _arm(100, 0.99, "alone"),
        "federated-8": _arm(280, 0.815, epsilon=8.0),
        "federated-open": _arm(200, 0.83),
        "pooled": _arm(190, 0.84, "pooled"),
    }
    found = {claim.claim: claim for claim in claims({"arms": arms})}
    assert (
        found["open federation near pooled data"].holds
        and "1.05 ×" in found["open federation near pooled data"].numbers
    )
    assert found["price of privacy"].holds and found["price of privacy"].numbers == "280 is 1.40 × 200"
    assert found["better than every site alone (appearance)"].holds  # those with as much noise, not the open ones
    assert found["better than every site alone (meaning)"].numbers == "0.815 against 0.81 ± 0"
    assert found["better than public (appearance)"].holds
    assert not found["better than public (meaning)"].holds  # the public one trained longer says it better
    arms["pooled"] = _arm(150, 0.84, "pooled")
    assert not next(c for c in claims({"arms": arms}) if c.claim == "open federation near pooled data").holds

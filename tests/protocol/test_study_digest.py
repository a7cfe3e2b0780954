"""The study's digest is stable, sees every change, and the generator's digest sees every weight."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.digests import digest_folder
from protocol.errors import StudyInvalid
from protocol.groups import reads_of
from protocol.study import STAGES, Study

STUDY = {
    "name": "two",
    "sites": [
        {"name": "north", "flows": ["xray", "text"], "declared_patients": 100},
        {"name": "south", "flows": ["ct"], "declared_patients": 100},
    ],
    "stages": [{"name": "align", "rounds": 2}, {"name": "guide", "rounds": 1}],
}


def test_the_digest_is_the_same_for_the_same_study_written_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        'name = "two"\n'
        '[[sites]]\nname = "north"\nflows = ["xray", "text"]\ndeclared_patients = 100\n'
        '[[sites]]\ndeclared_patients = 100\nflows = ["ct"]\nname = "south"\nprivate = true # the default, said\n'
        '[[stages]]\nname = "align"\nrounds = 2\n[[stages]]\nrounds = 1\nname = "guide"\n'
    )
    assert Study.read(tmp_path / "a.toml").digest(version="1") == Study.from_dict(STUDY).digest(version="1")


@pytest.mark.parametrize(
    "change",
    [
        {"privacy": {"max_epsilon": 7.9}},
        {"stages": [{"name": "align", "rounds": 3}, {"name": "guide", "rounds": 1}]},
        {"sites": [*STUDY["sites"], {"name": "east", "flows": ["ct"], "declared_patients": 100}]},
        {"optimizer": {"name": "sgd"}},
        {"training": {"alignment_subset": "norms"}},
        {"training": {"guidance_subset": "gates"}},
        {"stages": [{"name": "align", "rounds": 2, "flow_weights": {"ct": 2.0}}, {"name": "guide", "rounds": 1}]},
        {"stages": [{"name": "align", "rounds": 2, "flow_rates": {"ct": 2.0}}, {"name": "guide", "rounds": 1}]},
    ],
)
def test_the_digest_sees_every_term(change: dict) -> None:
    assert Study.from_dict(STUDY | change).digest(version="1") != Study.from_dict(STUDY).digest(version="1")


@pytest.mark.parametrize("key", ["flow_weights", "flow_rates"])
@pytest.mark.parametrize("factors", [{"pet": 1.0}, {"ct": 0.0}, {"ct": -1.0}])
def test_a_stage_weighs_flows_that_there_are_and_by_more_than_nothing(key: str, factors: dict) -> None:
    with pytest.raises(StudyInvalid, match=f"{key}|names flows that the study does not have"):
        Study.from_dict(STUDY | {"stages": [{"name": "align", key: factors}]})


def test_the_digest_sees_the_version_and_the_generator() -> None:
    study = Study.from_dict(STUDY)
    assert (
        len(
            {study.digest(version="1"), study.digest(version="2"), study.with_generator(digest="g").digest(version="1")}
        )
        == 3
    )


def test_the_folder_digest_sees_weights_and_names_but_not_the_card(tmp_path: Path) -> None:
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "a.safetensors").write_bytes(b"one")
    (tmp_path / "card.md").write_text("a card")
    first = digest_folder(tmp_path)
    (tmp_path / "card.md").write_text("another card")
    assert digest_folder(tmp_path) == first
    (tmp_path / "groups" / "a.safetensors").write_bytes(b"two")
    second = digest_folder(tmp_path)
    (tmp_path / "groups" / "a.safetensors").rename(tmp_path / "groups" / "b.safetensors")
    assert len({first, second, digest_folder(tmp_path)}) == 3


def test_a_site_reads_only_what_its_declared_flows_reach() -> None:
    study = Study.from_dict(STUDY)
    north, south = study.sites
    assert reads_of(study, "align", north) == ()
    assert reads_of(study, "guide", north) == ("alignment/xray", "diffusion/xray", "diffusion/text")
    assert reads_of(study, "guide", south) == ("alignment/ct", "diffusion/ct")
    assert reads_of(study, "diffuse", north) == ()
    told = Study.from_dict(STUDY | {"training": {"source_prompts": 0.5}})
    assert reads_of(told, "diffuse", north) == ("alignment/xray",)  # whose tokens speak in the prompt
    assert reads_of(told, "guide", north) == reads_of(study, "guide", north)
    for stage in STAGES:
        assert not set(reads_of(study, stage, north)) & set(study.groups_of(stage, north))

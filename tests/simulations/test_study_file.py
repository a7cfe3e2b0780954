"""The study written beside a run is the study that ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from medm2g.subsets import Subsets
from protocol.study import Study
from simulations.generators import generator_folder
from simulations.study_file import read_study, without_privacy, write_study

STUDIES = Path(__file__).resolve().parents[2] / "studies"


@pytest.mark.parametrize("name", ["demo", "corpus", "two-hospitals"])
def test_a_written_study_reads_back_equal_with_the_same_digest(name: str, tmp_path: Path) -> None:
    study = Study.read(STUDIES / f"{name}.toml")
    write_study(tmp_path / "study.toml", study)
    again = Study.read(tmp_path / "study.toml")
    assert again == study
    assert again.digest(version="x") == study.digest(version="x")


@pytest.mark.parametrize("name", ["demo", "corpus", "two-hospitals"])
def test_the_shipped_weights_are_divided_as_the_studies_that_start_from_them_train(name: str) -> None:
    """A coordinator and a vault take the package's folder as it lies there."""
    study = Study.read(STUDIES / f"{name}.toml")
    assert Subsets.stored_in(generator_folder(study.generator)) == Subsets.of(study.training)


def test_privacy_off_is_another_study_and_no_site_of_it_is_private() -> None:
    study = read_study(STUDIES / "demo.toml", private=True)
    off = read_study(STUDIES / "demo.toml", private=False)
    assert off == without_privacy(study)
    assert not off.privacy.enabled and not any(site.private for site in off.sites)
    assert off.digest(version="x") != study.digest(version="x")


def test_the_study_to_copy_is_one_that_a_real_consortium_takes() -> None:
    study = Study.read(STUDIES / "two-hospitals.toml")
    assert study.federation.release_grid_seconds > 0 and all(site.private for site in study.sites)
    assert not any(site.population for site in study.sites)


def test_the_study_of_a_small_shift_is_the_demo_at_nearer_hospitals() -> None:
    demo, near = (Study.read(STUDIES / f"{name}.toml") for name in ("demo", "near"))
    sites = tuple(
        site.model_copy(update={"population": site.population.replace("hospital-", "near-")}) for site in demo.sites
    )
    told = {"name": near.name, "description": near.description}
    assert near == demo.model_copy(update={"sites": sites} | told) != demo.model_copy(update=told)

"""Outsiders differ from a site's patients in one thing alone: they did not train."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from client.records.store import RecordStore
from protocol.study import DEFAULT_FLOWS, SiteSpec, StageSpec, Study
from simulations import scenario
from simulations.audit.small_federation import OUTSIDER_SEED, outsiders
from simulations.scenario import build_phantom_sites

FLOWS = ("xray", "ct", "mri_t1", "text")


def _images(folder: Path) -> list[npt.NDArray[np.int16]]:
    """Every image of a site's store, in an order that no key decides."""
    with closing(RecordStore.open(folder)) as store:
        images = [
            store.image(row.record_id)
            for pseudonym in store.patients()
            for row in store.records(pseudonym)
            if row.flow != "text"
        ]
    return sorted(images, key=lambda image: image.tobytes())


def test_outsiders_come_by_the_road_of_a_sites_own_patients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = SiteSpec(name="north", flows=FLOWS, declared_patients=4, population="hospital-university")
    study = Study(name="small", flows=DEFAULT_FLOWS, sites=(site,), stages=(StageSpec(name="diffuse"),))
    monkeypatch.setattr("simulations.audit.small_federation.OUTSIDER_SEED", scenario._PHANTOM_SEED)
    (built,) = build_phantom_sites(study, tmp_path / "sites", size=64, processes=1)
    others = outsiders(study, tmp_path / "others", site=0, patients=4)
    members, strangers = _images(built.folder), _images(others)
    assert len(members) > 8 and all(map(np.array_equal, members, strangers))
    assert OUTSIDER_SEED != scenario._PHANTOM_SEED

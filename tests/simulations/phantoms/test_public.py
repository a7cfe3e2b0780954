"""The public hospitals: many, unlike each other, and none of them a hospital of a study or the referee's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from simulations.phantoms import POPULATIONS, PUBLIC_HOSPITALS, cohort, public_hospitals
from simulations.phantoms.public import hospitals_of


def test_no_public_hospital_has_the_scanner_the_prevalence_or_the_patients_of_a_study_s() -> None:
    for public in public_hospitals():
        for name, population in POPULATIONS.items():
            assert public.scanner != population.scanner, name
            assert (public.healthy, public.chest_weights) != (population.healthy, population.chest_weights), name
            assert public.size_shift != population.size_shift, name


def test_public_hospitals_differ_from_each_other_in_every_number_of_their_scanners() -> None:
    scanners = [dataclasses.asdict(hospital.scanner) for hospital in public_hospitals()]
    for key in scanners[0]:
        assert len({str(scanner[key]) for scanner in scanners}) == PUBLIC_HOSPITALS, key


def test_public_hospitals_are_the_same_every_time_and_their_patients_come_in_turn() -> None:
    people = cohort("public", 2 * PUBLIC_HOSPITALS, seed=5)
    names = [population.name for _, population in people]
    assert names[:PUBLIC_HOSPITALS] == names[PUBLIC_HOSPITALS:] == [hospital.name for hospital in public_hospitals()]
    assert people == cohort("public", 2 * PUBLIC_HOSPITALS, seed=5)


@pytest.mark.parametrize("key", ["xray_energy", "xray_gamma", "mri_field", "mri_bias", "ct_blur"])
def test_the_hospitals_of_a_study_lie_among_the_public_ones(key: str) -> None:
    """Otherwise a style would have to reach where no public hospital was."""
    public = [getattr(hospital.scanner, key) for hospital in public_hospitals()]
    for population in hospitals_of("held-out"):
        assert np.min(public) <= getattr(population.scanner, key) <= np.max(public)

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


def test_a_near_hospital_is_half_as_unusual_as_its_original_and_nearer_to_the_public_ones() -> None:
    unusual, near = (POPULATIONS[f"{prefix}-university"] for prefix in ("hospital", "near"))
    assert near.size_shift == unusual.size_shift / 2 and near.healthy == (unusual.healthy + 0.3) / 2
    assert near.scanner.mri_field == pytest.approx((unusual.scanner.mri_field + 1) / 2)
    assert near.scanner.ct_noise_hu == (14.0, 24.0) and near.wording == unusual.wording
    for key in ("xray_energy", "xray_scatter", "xray_gamma", "mri_field", "mri_bias", "mri_echo", "ct_blur"):
        middle = np.mean([getattr(hospital.scanner, key) for hospital in public_hospitals()])
        assert abs(getattr(near.scanner, key) - middle) < abs(getattr(unusual.scanner, key) - middle), key


@pytest.mark.parametrize("key", ["xray_energy", "xray_gamma", "mri_field", "mri_bias", "ct_blur"])
def test_the_hospitals_of_a_study_lie_among_the_public_ones(key: str) -> None:
    """Otherwise a style would have to reach where no public hospital was."""
    public = [getattr(hospital.scanner, key) for hospital in public_hospitals()]
    for population in hospitals_of("held-out"):
        assert np.min(public) <= getattr(population.scanner, key) <= np.max(public)

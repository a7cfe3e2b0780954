"""Facts about phantoms' images: of one size, and silent where they say nothing."""

from __future__ import annotations

import numpy as np

from simulations.phantoms import PUBLIC_HOSPITALS, cohort, facts_of, public_hospital, public_hospitals
from simulations.phantoms.report import region_of


def test_facts_have_one_size_and_say_nothing_of_what_an_image_does_not_show() -> None:
    people = cohort("public", 192, seed=4)
    facts = {flow: facts_of(people, flow) for flow in ("xray", "ct", "mri_t1", "mri_flair")}
    for flow, rows in facts.items():
        known = rows[:, ~np.isnan(rows).all(axis=0)]
        np.testing.assert_allclose(np.nanmean(known, axis=0), 0, atol=1e-6, err_msg=flow)
        np.testing.assert_allclose(np.nanstd(known, axis=0), 1, atol=1e-6, err_msg=flow)
    np.testing.assert_array_equal(facts["mri_t1"], facts["mri_flair"])  # one head, one scanner
    chests = np.array([region_of(patient, "ct") == "chest" for patient, _ in people])
    told = ~np.isnan(facts["ct"])
    scanner, both = 2, told[chests].all(axis=0) & told[~chests].all(axis=0)
    assert both.sum() == scanner and (told[chests].sum(1) == scanner + 12).all()
    assert (told[~chests].sum(1) == scanner + 7).all()


def test_other_hospitals_are_drawn_alike_under_other_numbers() -> None:
    assert public_hospital(5) == public_hospitals()[5]
    other = public_hospital(PUBLIC_HOSPITALS + 952)
    assert other not in public_hospitals() and other == public_hospital(1000)
    ranges = {
        name: [getattr(here.scanner, name) for here in public_hospitals()] for name in ("mri_field", "xray_gamma")
    }
    for name, values in ranges.items():
        assert min(values) - 0.1 < getattr(other.scanner, name) < max(values) + 0.1

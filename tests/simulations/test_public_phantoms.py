"""Public phantoms as pre-training data: which report goes with which image, and what prompts it."""

from __future__ import annotations

import pytest

from medm2g.pretrain import PublicData
from simulations.phantoms import EVERYTHING, IMAGE_FLOWS, PUBLIC_HOSPITALS, PhantomRecords, cohort, render_cohort
from simulations.phantoms.public import PUBLIC
from simulations.phantoms.report import region_of
from simulations.public_phantoms import public_data

PATIENTS = 24


@pytest.fixture(scope="module")
def records() -> PhantomRecords:
    return render_cohort(cohort(PUBLIC, PATIENTS, seed=5), EVERYTHING, size=16, processes=1)


@pytest.fixture(scope="module")
def data(records: PhantomRecords) -> PublicData:
    return public_data(records)


def test_every_image_goes_with_a_report_of_its_patient_and_examination_that_names_what_was_done(
    records: PhantomRecords, data: PublicData
) -> None:
    named = {"xray": "Chest radiograph", "ct": "CT of the ", "mri_t1": "MRI of the head"}
    for flow in IMAGE_FLOWS:
        for patient, report in enumerate(data.report_of[flow]):
            assert data.patients["text"][report] == patient
            assert data.examinations["text"][report] == data.examinations[flow][patient]
            assert named.get(flow, "MRI of the head") in data.texts[report]


def test_a_ct_has_a_report_of_its_own_with_about_every_second_patient(
    records: PhantomRecords, data: PublicData
) -> None:
    """A hospital that does CT alone writes `CT of the head`, which no report about CT and MRI says."""
    alone = [
        data.texts[report].count("MRI") + data.texts[report].count("radiograph") == 0 for report in data.report_of["ct"]
    ]
    assert PATIENTS // 4 < sum(alone) < PATIENTS * 3 // 4
    for number, (patient, apart) in enumerate(zip(records.patients, alone, strict=True)):
        beside = "xray" if region_of(patient, "ct") == "chest" else "mri_t1"
        assert (data.report_of["ct"][number] != data.report_of[beside][number]) == apart


def test_prompts_of_reports_name_the_image_that_they_are_about(data: PublicData) -> None:
    said = set(data.templates["text"])
    assert said == {
        "Radiology report of a chest X-ray.",
        "Radiology report of a CT of the chest.",
        "Radiology report of a CT of the head.",
        "Radiology report of an MRI of the head.",
    }
    named = {"xray": "chest X-ray", "ct": "CT of the "}
    for flow in IMAGE_FLOWS:
        for report in data.report_of[flow]:
            first = next(other for other in IMAGE_FLOWS if report in data.report_of[other])  # of all that it is about
            assert named.get(first, "MRI of the head") in data.templates["text"][report]


def test_patients_keep_their_hospital(records: PhantomRecords, data: PublicData) -> None:
    assert len(set(data.hospitals.values())) == min(PATIENTS, PUBLIC_HOSPITALS)
    first = records.populations[0].name
    alike = [n for n, population in enumerate(records.populations) if population.name == first]
    assert {data.hospitals[n] for n in alike} == {data.hospitals[0]}

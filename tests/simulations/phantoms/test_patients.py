"""Patients: what is drawn fits, is where it says it is, and is the same for the same seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from simulations.phantoms import CHEST_FINDINGS, HEAD_FINDINGS, POPULATIONS, PhysicsConfig, cohort, finding_label
from simulations.phantoms.anatomy import Finding, Patient
from simulations.phantoms.chest import chest_tissue
from simulations.phantoms.head import head_tissue
from simulations.phantoms.physics import axial_labels
from simulations.phantoms.tissue import Tissue

AXIS = np.linspace(-18, 18, 72, dtype=np.float32)
SIGN_OF = {
    "nodule": Tissue.NODULE,
    "consolidation": Tissue.CONSOLIDATION,
    "effusion": Tissue.FLUID,
    "pneumothorax": Tissue.PLEURAL_AIR,
    "tumour": Tissue.TUMOUR,
    "bleed": Tissue.BLOOD,
    "lesions": Tissue.LESION,
}


def _people(kind: str, most: int = 12) -> list[Patient]:
    people = [patient for patient, _ in cohort("referee", 400, seed=3)]
    return [p for p in people if kind in (p.chest_finding.kind, p.head_finding.kind)][:most]


def test_the_same_seed_draws_the_same_people_and_another_does_not() -> None:
    assert cohort("public", 5, seed=1) == cohort("public", 5, seed=1)
    assert cohort("public", 5, seed=1) != cohort("public", 5, seed=2)


@pytest.mark.parametrize("kind", sorted(SIGN_OF))
def test_a_finding_lies_on_the_patients_side_that_the_truth_says(kind: str) -> None:
    for patient in _people(kind):
        region = "chest" if kind in CHEST_FINDINGS else "head"
        finding = patient.finding(region)
        if finding.side == "both":
            continue
        for labels in (axial_labels(patient, region, PhysicsConfig(), 64), *_volume(patient, region)):
            columns = np.nonzero(labels == SIGN_OF[kind])[-1]
            assert columns.size > 0
            left_half = columns >= labels.shape[-1] // 2  # image right is the patient's left
            assert (left_half if finding.side == "left" else ~left_half).mean() > 0.97


def _volume(patient: Patient, region: str) -> list[np.ndarray]:
    if region == "chest":
        return [chest_tissue(patient, AXIS, AXIS, AXIS, posture="upright")]
    return [head_tissue(patient, AXIS, AXIS, AXIS)]


def test_the_slice_is_a_cut_through_the_same_volume() -> None:
    for patient in _people("tumour", most=3):
        axis = AXIS / 2
        level = np.float32(patient.head.level)
        volume = head_tissue(patient, axis, axis, np.array([level - 3, level, level + 3], dtype=np.float32))
        assert (volume[:, 1] == head_tissue(patient, axis, axis, np.array([level]))[:, 0]).all()


def test_an_enlarged_heart_and_wide_ventricles_fill_more_than_healthy_ones() -> None:
    patient = _people("none", most=1)[0]
    healthy = Finding("none", "none", (0.0, 0.0, 0.0), 0.0, "mild")
    least = (("chest", "cardiomegaly", 1.35, Tissue.HEART), ("head", "ventriculomegaly", 2.0, Tissue.CSF))
    for region, kind, size, tissue in least:
        sizes = []
        for finding in (healthy, Finding(kind, "none", (0.0, 0.0, 0.0), size, "mild")):
            person = dataclasses.replace(patient, **{f"{region}_finding": finding})
            sizes.append(int((_volume(person, region)[0] == tissue).sum()))
        assert sizes[1] > 1.15 * sizes[0]


def test_every_patient_has_lungs_on_both_sides_bones_and_a_heart() -> None:
    for patient, _ in cohort("held-out", 24, seed=8):
        labels = chest_tissue(patient, AXIS, AXIS, AXIS, posture="upright")
        lung = np.isin(labels, (Tissue.LUNG, Tissue.FLUID, Tissue.COLLAPSED_LUNG, Tissue.PLEURAL_AIR))
        middle = AXIS.size // 2
        right, left = lung[..., :middle].sum(), lung[..., middle:].sum()
        assert 0.4 < left / right < 2.5
        for tissue in (Tissue.HEART, Tissue.RIB, Tissue.MARROW, Tissue.LIVER):
            assert (labels == tissue).sum() > 100


@pytest.mark.parametrize("name", sorted(POPULATIONS))
def test_findings_come_with_the_prevalence_of_their_population(name: str) -> None:
    population = POPULATIONS[name]
    people = [patient for patient, _ in cohort(name, 1500, seed=5)]
    for region, kinds, weights in (
        ("chest", CHEST_FINDINGS, population.chest_weights),
        ("head", HEAD_FINDINGS, population.head_weights),
    ):
        seen = [patient.finding(region).kind for patient in people]
        assert abs(seen.count("none") / 1500 - population.healthy) < 0.045
        for kind, weight in zip(kinds, weights, strict=True):
            expected = (1 - population.healthy) * weight / sum(weights)
            assert abs(seen.count(kind) / 1500 - expected) < 0.045


def test_the_label_of_a_ct_is_about_the_region_that_it_shows() -> None:
    people = [patient for patient, _ in cohort("public", 200, seed=6)]
    regions = {patient.ct_region for patient in people}
    assert regions == {"chest", "head"}
    for patient in people:
        twin = "xray" if patient.ct_region == "chest" else "mri_t2"
        assert finding_label(patient, "ct") == finding_label(patient, twin)

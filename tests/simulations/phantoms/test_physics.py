"""Rendering: each modality obeys its physics, sides stay where radiology puts them, and nothing depends on chance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from simulations.phantoms import (
    EVERYTHING,
    IMAGE_FLOWS,
    POPULATIONS,
    PhysicsConfig,
    Scanner,
    cohort,
    finding_label,
    render_all,
    render_cohort,
)
from simulations.phantoms import physics as rendering
from simulations.phantoms.anatomy import Patient
from simulations.phantoms.physics import (
    axial_labels,
    mri_signal,
    render_ct,
    render_lateral,
    render_mri,
    render_xray,
    slice_level,
)
from simulations.phantoms.report import region_of
from simulations.phantoms.tissue import TABLE, Tissue

PHYSICS, SCANNER = PhysicsConfig(), Scanner()


def _patient(label: str, flow: str) -> Patient:
    return next(patient for patient, _ in cohort("public", 400, seed=12) if finding_label(patient, flow) == label)


def _xray(patient: Patient, view: str = "PA", scanner: Scanner = SCANNER) -> np.ndarray:
    return render_xray(patient, PHYSICS, scanner, np.random.default_rng(0), 64, view).astype(float)


def test_ct_noise_has_the_deviation_in_hounsfield_units_that_the_scanner_states() -> None:
    for deviation in (10.0, 20.0, 30.0):
        scanner = dataclasses.replace(SCANNER, ct_noise_hu=(deviation, deviation))
        water = np.full((128, 128), Tissue.CSF, dtype=np.uint8)
        image = render_ct(water, "chest", PHYSICS, scanner, np.random.default_rng(1))
        assert abs(image.std() - deviation) < 0.02 * deviation + 0.3
        assert abs(image.mean() - TABLE[Tissue.CSF].hu) < 3


def test_ct_is_in_hounsfield_units_air_fat_and_bone_where_they_belong() -> None:
    patient = _patient("none", "ct")
    image = render_all(patient, ("ct",), PHYSICS, SCANNER)["ct"]
    assert image.dtype == np.int16 and image.shape == (64, 64)
    assert abs(np.median(image[:3]) + 1000) < 30
    assert image.max() > 200
    assert image.min() >= -1024


def test_xray_path_follows_beer_and_lambert() -> None:
    """Without scatter, the film is the path: twice the attenuation gives twice the film, everywhere."""
    patient = _patient("none", "xray")
    clear = dataclasses.replace(SCANNER, xray_scatter=0.0, xray_photons=1e30)
    thin, thick = (_film(patient, dataclasses.replace(clear, xray_energy=energy)) for energy in (0.2, 0.4))
    assert np.ptp(thick) == pytest.approx(2 * np.ptp(thin), rel=0.02)
    assert np.corrcoef(thin.ravel(), thick.ravel())[0, 1] > 0.9999


def test_scatter_costs_contrast() -> None:
    patient = _patient("none", "xray")

    def spread(scatter: float) -> float:
        return float(np.ptp(_film(patient, dataclasses.replace(SCANNER, xray_scatter=scatter, xray_photons=1e12))))

    assert spread(0.6) < spread(0.15) < spread(0.0)


def _film(patient: Patient, scanner: Scanner) -> np.ndarray:
    """The film in its own units, before it is windowed."""
    kept: list[np.ndarray] = []

    def keep(image: np.ndarray, window: object, **how: object) -> np.ndarray:
        kept.append(image)
        return image

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "_windowed", keep)
        render_xray(patient, PHYSICS, scanner, np.random.default_rng(0), 64, "PA")
    return kept[0]


def test_fewer_photons_give_a_noisier_xray() -> None:
    patient = _patient("none", "xray")
    clean = _xray(patient, scanner=dataclasses.replace(SCANNER, xray_photons=1e9))
    noise = [
        np.abs(_xray(patient, scanner=dataclasses.replace(SCANNER, xray_photons=photons)) - clean).mean()
        for photons in (2e3, 2e4)
    ]
    assert noise[0] > 1.5 * noise[1]


def test_bone_is_brighter_than_lung_and_the_heart_lies_to_the_right_of_the_image() -> None:
    for patient in (_patient("none", "xray"), _patient("cardiomegaly", "xray")):
        image = _xray(patient)
        assert image[20:40, 30:34].mean() > image[20:34, 14:22].mean() + 600  # spine over right lung
        assert image[34:42, 35:44].mean() > image[34:42, 20:29].mean()  # patient's left is the image's right


def test_views_differ_and_ap_magnifies_the_heart() -> None:
    patient = _patient("cardiomegaly", "xray")
    frontal, nearer, side = _xray(patient), _xray(patient, "AP"), render_lateral(patient, PHYSICS, SCANNER)
    assert np.abs(frontal - nearer).mean() > 50
    assert np.abs(frontal - side).mean() > 300


@pytest.mark.parametrize("kind", ["nodule", "consolidation", "effusion"])
def test_a_dense_finding_brightens_its_own_side_of_the_xray(kind: str) -> None:
    for side, columns in (("right", slice(0, 32)), ("left", slice(32, 64))):
        patient = _patient(f"{kind}-{side}", "xray")
        healthy = dataclasses.replace(patient, chest_finding=_patient("none", "xray").chest_finding)
        fixed = dataclasses.replace(PHYSICS, xray_window=(0.0, 100.0))
        pair = [
            render_xray(p, fixed, SCANNER, np.random.default_rng(0), 64, "PA").astype(float) for p in (patient, healthy)
        ]
        change = np.clip(pair[0] - pair[1], 0, None)
        assert change[:, columns].sum() > 0.75 * change.sum()


def test_mri_contrasts_are_those_of_the_signal_equations() -> None:
    t1, t2, flair = (mri_signal(name, PHYSICS, SCANNER) for name in ("T1", "T2", "FLAIR"))
    assert t1[Tissue.WHITE] > t1[Tissue.GREY] > t1[Tissue.CSF]
    assert t2[Tissue.CSF] > t2[Tissue.GREY] > t2[Tissue.WHITE]
    assert flair[Tissue.CSF] < 0.1 * flair[Tissue.GREY]
    assert flair[Tissue.LESION] > 1.3 * flair[Tissue.WHITE]
    row, (tr, te) = TABLE[Tissue.WHITE], PHYSICS.t1_tr_te
    assert t1[Tissue.WHITE] == pytest.approx(row.pd * (1 - np.exp(-tr / row.t1)) * np.exp(-te / row.t2), rel=1e-5)


def test_mri_noise_is_rician_between_two_and_four_per_cent_of_the_maximum() -> None:
    """In air the magnitude of pure noise is Rayleigh: its mean is 1.2533 deviations."""
    labels = axial_labels(_patient("none", "mri_t2"), "head", PHYSICS, 64)
    unwindowed = dataclasses.replace(PHYSICS, mri_window=(0.0, 100.0))
    for name, population in POPULATIONS.items():
        noise = population.scanner.mri_noise
        assert 0.02 <= noise <= 0.04, name
        scanner = dataclasses.replace(SCANNER, mri_noise=noise, mri_bias=0.0)
        image = render_mri(labels, "T2", unwindowed, scanner, np.random.default_rng(3)) / 4095
        assert image[:10, :10].mean() == pytest.approx(1.2533 * noise, rel=0.2)


def test_the_bias_field_is_smooth_and_as_strong_as_stated() -> None:
    labels = np.full((128, 128), Tissue.WHITE, dtype=np.uint8)
    flat = dataclasses.replace(SCANNER, mri_noise=0.0, mri_bias=0.3)
    image = render_mri(
        labels, "T2", dataclasses.replace(PHYSICS, mri_window=(0.0, 100.0)), flat, np.random.default_rng(5)
    )
    steps = np.abs(np.diff(image.astype(float), axis=0)).max()
    assert 0 < steps < 300


@pytest.mark.parametrize("flow", IMAGE_FLOWS)
def test_rendering_depends_on_the_patient_alone_not_on_the_flows_beside_it(flow: str) -> None:
    patient = _patient("none", flow)
    alone = render_all(patient, (flow,), PHYSICS, SCANNER)[flow]
    together = render_all(patient, IMAGE_FLOWS, PHYSICS, SCANNER)[flow]
    assert (alone == together).all()
    assert alone.min() >= (-1024 if flow == "ct" else 0) and alone.max() <= 4095


def test_other_sizes_show_the_same_patient() -> None:
    patient = _patient("none", "mri_t2")
    small, large = (render_all(patient, ("mri_t2",), PHYSICS, SCANNER, size)["mri_t2"] for size in (64, 128))
    pooled = large.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), pooled.ravel())[0, 1] > 0.9


def test_a_cohort_is_the_same_with_one_process_or_two() -> None:
    people = cohort("held-out", 12, seed=4)
    one, two = (render_cohort(people, EVERYTHING, processes=n) for n in (1, 2))
    assert one.reports == two.reports
    for flow in IMAGE_FLOWS:
        assert one.images[flow].shape == (12, 64, 64)
        assert (one.images[flow] == two.images[flow]).all()


def test_the_digest_names_every_constant() -> None:
    assert PhysicsConfig().digest() == PHYSICS.digest()
    for field in dataclasses.fields(PHYSICS):
        value = getattr(PHYSICS, field.name)
        changed = tuple(v * 1.5 for v in value) if isinstance(value, tuple) else type(value)(value * 2)
        assert dataclasses.replace(PHYSICS, **{field.name: changed}).digest() != PHYSICS.digest()


@pytest.mark.parametrize("flow", ["xray", "ct", "mri_t2"])
def test_an_ideal_observer_sees_every_finding_through_the_noise(flow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rose's criterion, against the same slice of the same patient healed: the change over a pixel's noise is 5."""
    for patient, population in cohort("held-out", 28, seed=17):
        region = region_of(patient, flow)
        if patient.finding(region).kind == "none":
            continue
        level = slice_level(patient, region)
        monkeypatch.setattr(rendering, "slice_level", lambda patient, region, level=level: level)
        healed = dataclasses.replace(patient.finding(region), kind="none", side="none")
        healthy = dataclasses.replace(patient, **{f"{region}_finding": healed})
        again = dataclasses.replace(healthy, seed=patient.seed + 1)  # only the noise of a healthy region hangs on it
        seen, without, other = (
            render_all(p, (flow,), PHYSICS, population.scanner)[flow].astype(float) for p in (patient, healthy, again)
        )
        noise = np.std(without - other) / np.sqrt(2)
        assert np.sqrt(((seen - without) ** 2).sum()) / noise > 5, finding_label(patient, flow)

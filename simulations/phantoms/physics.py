"""From one patient to every modality, by the physics of each, on one configuration whose digest stands in every result.

CT: Hounsfield table, point spread, Gaussian noise. X-ray: Beer-Lambert line integrals through the 3-D chest, scatter,
photon noise. MRI: spin-echo and inversion-recovery signal equations, bias field, Rician noise (Gudbjartsson 1995).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from simulations.phantoms.anatomy import Patient, chest_tissue, head_tissue
from simulations.phantoms.population import Scanner
from simulations.phantoms.tissue import Tissue, lookup

Array = npt.NDArray[np.float32]
FULL_SCALE = 4095


@dataclass(frozen=True, kw_only=True)
class PhysicsConfig:
    """Every constant of the rendering that is not a patient's or a scanner's."""

    chest_field_cm: float = 40.0
    head_field_cm: float = 22.0
    supersampling: int = 2
    water_attenuation: float = 0.19
    """1/cm near 70 keV."""
    bone_attenuation_factor: float = 1.35
    """Bone over what its HU says at CT energy: photoelectric absorption."""
    t1_tr_te: tuple[float, float] = (500.0, 12.0)
    """ms."""
    t2_tr_te: tuple[float, float] = (4500.0, 95.0)
    flair_tr_te_ti: tuple[float, float, float] = (9000.0, 115.0, 2400.0)
    window_percentiles: tuple[float, float] = (0.5, 99.5)
    """Per-image window of X-ray and MRI."""

    def digest(self) -> str:
        """Hex SHA-256 of the configuration and the tissue table."""
        table = {name: lookup(name).tolist() for name in ("hu", "t1", "t2", "pd")}
        return hashlib.sha256(json.dumps([asdict(self), table], sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=16)
def _axis(field_cm: float, pixels: int) -> Array:
    """Pixel centres, cm."""
    axis = ((np.arange(pixels, dtype=np.float32) + 0.5) / pixels - 0.5) * np.float32(field_cm)
    return np.asarray(axis, dtype=np.float32)


def _pool(values: Array, factor: int) -> Array:
    """Average factor x factor neighbours: partial volume."""
    size = values.shape[0] // factor
    return values.reshape(size, factor, size, factor).mean(axis=(1, 3), dtype=np.float32)


def field_cm(region: str, physics: PhysicsConfig) -> float:
    """Edge of the axial slice."""
    return physics.chest_field_cm if region == "chest" else physics.head_field_cm


def slice_level(patient: Patient, region: str) -> float:
    """z of the axial slice that shows the region's finding, cm."""
    if region == "head":
        return patient.head.level
    finding = patient.chest_finding
    level = {"none": 3.0, "cardiomegaly": 5.0, "effusion": patient.chest.diaphragm - 5.5, "pneumothorax": 0.0}
    return level.get(finding.kind, finding.centre[2])


def axial_labels(patient: Patient, region: str, physics: PhysicsConfig, size: int) -> npt.NDArray[np.uint8]:
    """(supersampled size, same) tissue labels of the axial slice through the region's finding."""
    axis = _axis(field_cm(region, physics), size * physics.supersampling)
    z = np.full((1, 1), np.float32(slice_level(patient, region)))
    if region == "head":
        return head_tissue(patient, axis[None, :], axis[:, None], z)
    return chest_tissue(patient, axis[None, :], axis[:, None], z, posture="supine")


def render_ct(
    labels: npt.NDArray[np.uint8], physics: PhysicsConfig, scanner: Scanner, rng: np.random.Generator
) -> npt.NDArray[np.int16]:
    """(size, size) Hounsfield units."""
    hu = lookup("hu")[labels]
    noise = rng.uniform(*scanner.ct_noise_hu) * rng.standard_normal(hu.shape, dtype=np.float32)
    blurred = gaussian_filter(hu + noise, scanner.ct_blur * hu.shape[0] / 64)  # noise is correlated by the kernel, too
    return np.clip(np.rint(_pool(blurred, physics.supersampling)), -1024, 3071).astype(np.int16)


def _attenuation(physics: PhysicsConfig) -> Array:
    values = physics.water_attenuation * (1 + lookup("hu") / 1000)
    for bone in (Tissue.MARROW, Tissue.CORTEX_BONE, Tissue.SKULL):
        values[bone] *= physics.bone_attenuation_factor
    return np.clip(values, 0, None).astype(np.float32)


def render_xray(
    patient: Patient, physics: PhysicsConfig, scanner: Scanner, rng: np.random.Generator, size: int, view: str
) -> npt.NDArray[np.uint16]:
    """(size, size), 0..4095, MONOCHROME2. Columns: patient's right to left (PA and AP), front to back (LATERAL)."""
    field = physics.chest_field_cm
    rows, beam_steps = _axis(field, size), 30
    beam = _axis(26.0 if view != "LATERAL" else field, beam_steps)
    columns = _axis(field, size)
    z = rows[:, None, None]
    if view == "AP":  # the heart lies near the tube: geometric magnification
        z, columns = z * np.float32(0.96), columns * np.float32(0.94)
    if view == "LATERAL":
        labels = chest_tissue(patient, beam[None, None, :], columns[None, :, None], z, posture="upright")
    else:
        labels = chest_tissue(patient, columns[None, :, None], beam[None, None, :], z, posture="upright")
    step_cm = float(beam[1] - beam[0])
    path = _attenuation(physics)[labels].sum(axis=2, dtype=np.float32) * step_cm
    primary = np.exp(-scanner.xray_energy * path)
    scattered = scanner.xray_scatter * gaussian_filter(primary, size / 10) + 1e-4
    photons = scanner.xray_photons * (primary + scattered)
    detected = np.maximum(photons + np.sqrt(photons) * rng.standard_normal(photons.shape, dtype=np.float32), 1.0)
    return _windowed(gaussian_filter(-np.log(detected), 0.35 * size / 64), physics)


def mri_times(sequence: str, physics: PhysicsConfig, scanner: Scanner) -> tuple[float, float, float]:
    """(TR, TE, TI) in ms as this scanner runs a sequence; TI is zero where nothing is inverted."""
    if sequence == "FLAIR":
        tr, te, ti = physics.flair_tr_te_ti
        return tr, te, ti * (0.5 + 0.5 * scanner.mri_field)  # tuned to null CSF at the scanner's field
    tr, te = physics.t1_tr_te if sequence == "T1" else physics.t2_tr_te
    return tr, te, 0.0


def mri_signal(sequence: str, physics: PhysicsConfig, scanner: Scanner) -> Array:
    """(tissues,) magnitude by the spin-echo, or inversion-recovery, equation."""
    t1, t2, density = lookup("t1") * scanner.mri_field, lookup("t2"), lookup("pd")
    tr, te, ti = mri_times(sequence, physics, scanner)
    if ti:
        signal = density * np.abs(1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1)) * np.exp(-te / t2)
    else:
        signal = density * (1 - np.exp(-tr / t1)) * np.exp(-te / t2)
    return signal.astype(np.float32)


def render_mri(
    labels: npt.NDArray[np.uint8], sequence: str, physics: PhysicsConfig, scanner: Scanner, rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """(size, size), 0..4095, of one sequence: T1, T2 or FLAIR."""
    image = _pool(mri_signal(sequence, physics, scanner)[labels], physics.supersampling)
    size = image.shape[0]
    axis = _axis(2.0, size)
    slope_x, slope_y, bowl = rng.uniform(-1, 1, 3) * scanner.mri_bias
    image = image * (
        1 + slope_x * axis[None, :] + slope_y * axis[:, None] + bowl * (axis[None, :] ** 2 + axis[:, None] ** 2 - 0.6)
    )
    deviation = scanner.mri_noise * float(image.max())
    real = image + deviation * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = deviation * rng.standard_normal(image.shape, dtype=np.float32)
    return _windowed(np.hypot(real, imaginary), physics)


def _windowed(image: Array, physics: PhysicsConfig) -> npt.NDArray[np.uint16]:
    low, high = np.percentile(image, physics.window_percentiles)
    return np.rint(np.clip((image - low) / max(high - low, 1e-6), 0, 1) * FULL_SCALE).astype(np.uint16)


def render_lateral(
    patient: Patient, physics: PhysicsConfig, scanner: Scanner, size: int = 64
) -> npt.NDArray[np.uint16]:
    """(size, size) lateral X-ray, front at the left. Deterministic in the patient."""
    return render_xray(patient, physics, scanner, np.random.default_rng([patient.seed, 20]), size, "LATERAL")


SEQUENCES = {"mri_t1": "T1", "mri_t2": "T2", "mri_flair": "FLAIR"}


def render_all(
    patient: Patient, flows: tuple[str, ...], physics: PhysicsConfig, scanner: Scanner, size: int = 64
) -> dict[str, npt.NDArray[np.generic]]:
    """Every imaging flow of a patient: CT in HU (int16), the others 0..4095 (uint16). Deterministic in the patient."""
    images: dict[str, npt.NDArray[np.generic]] = {}
    head = None
    for index, flow in enumerate(("xray", "ct", "mri_t1", "mri_t2", "mri_flair")):
        if flow not in flows:
            continue
        rng = np.random.default_rng([patient.seed, index])
        if flow == "xray":
            images[flow] = render_xray(patient, physics, scanner, rng, size, patient.view_position)
            continue
        if flow == "ct" and patient.ct_region == "chest":
            images[flow] = render_ct(axial_labels(patient, "chest", physics, size), physics, scanner, rng)
            continue
        head = axial_labels(patient, "head", physics, size) if head is None else head
        if flow == "ct":
            images[flow] = render_ct(head, physics, scanner, rng)
        else:
            images[flow] = render_mri(head, SEQUENCES[flow], physics, scanner, rng)
    return images

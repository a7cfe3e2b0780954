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

from simulations.phantoms.anatomy import Patient, Region
from simulations.phantoms.canvas import Array, Labels
from simulations.phantoms.chest import chest_tissue
from simulations.phantoms.head import head_tissue
from simulations.phantoms.population import Scanner
from simulations.phantoms.tissue import Tissue, lookup

FULL_SCALE = 4095


@dataclass(frozen=True, kw_only=True)
class PhysicsConfig:
    """Every constant of the rendering that is not a patient's or a scanner's."""

    chest_field_cm: float = 38.0
    """Of the axial slice."""
    xray_field_cm: float = 36.0
    xray_beam_steps: int = 30
    """Samples along each ray."""
    head_field_cm: float = 22.0
    supersampling: int = 2
    water_attenuation: float = 0.19
    """1/cm near 70 keV."""
    bone_attenuation_factor: float = 1.35
    """Bone over what its HU says at CT energy: photoelectric absorption."""
    t1_tr_te: tuple[float, float] = (450.0, 12.0)
    """ms."""
    t2_tr_te: tuple[float, float] = (4500.0, 95.0)
    flair_tr_te_ti: tuple[float, float, float] = (9000.0, 115.0, 2400.0)
    xray_window: tuple[float, float] = (2.0, 99.0)
    """Percentiles of the middle of the image that become 0 and full scale, as automatic exposure looks at the lungs."""
    mri_window: tuple[float, float] = (0.5, 99.5)
    t1_window: tuple[float, float] = (0.5, 90.0)
    t1_headroom: float = 1.25
    """Scalp fat is brighter on T1 than all else: the window ends this far above white matter."""
    head_dose: float = 0.5
    """CT noise of the head over that of the chest: heads are scanned with more dose."""
    least_ct_noise_hu: float = 10.0

    def digest(self) -> str:
        """Hex SHA-256 of the configuration and the tissue table."""
        table = {name: lookup(name).tolist() for name in ("hu", "t1", "t2", "pd")}
        return hashlib.sha256(json.dumps([asdict(self), table], sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=16)
def _axis(field_cm: float, pixels: int) -> Array:
    """Pixel centres, cm."""
    return (((np.arange(pixels) + 0.5) / pixels - 0.5) * field_cm).astype(np.float32)


def _pool(values: Array, factor: int) -> Array:
    """Average factor x factor neighbours: partial volume."""
    size = values.shape[0] // factor
    return values.reshape(size, factor, size, factor).mean(axis=(1, 3), dtype=np.float32)


def field_cm(region: Region, physics: PhysicsConfig) -> float:
    """Edge of the axial slice."""
    return physics.chest_field_cm if region == "chest" else physics.head_field_cm


def slice_level(patient: Patient, region: Region) -> float:
    """z of the axial slice that shows the region's finding, cm."""
    chest, finding = patient.chest, patient.chest_finding
    if region == "head":
        return patient.head.level
    if finding.kind in ("nodule", "consolidation"):
        return finding.centre[2]
    if finding.kind == "effusion":  # where the fluid is deepest, just above the dome
        return chest.diaphragm - chest.dome - 2.0
    return 4.5 if finding.kind == "cardiomegaly" else chest.level


def axial_labels(patient: Patient, region: Region, physics: PhysicsConfig, size: int) -> Labels:
    """(supersampled size, same) tissue labels of the axial slice through the region's finding."""
    axis = _axis(field_cm(region, physics), size * physics.supersampling)
    z = np.array([slice_level(patient, region)], dtype=np.float32)
    if region == "head":
        return head_tissue(patient, axis, axis, z)[:, 0]
    return chest_tissue(patient, axis, axis, z, posture="supine")[:, 0]


def render_ct(
    labels: Labels, region: Region, physics: PhysicsConfig, scanner: Scanner, rng: np.random.Generator
) -> npt.NDArray[np.int16]:
    """(size, size) Hounsfield units. Noise has its stated deviation at the pixel and the grain of a soft kernel."""
    image = _pool(lookup("hu")[labels], physics.supersampling)
    image = gaussian_filter(image, scanner.ct_blur * image.shape[0] / 64)
    deviation = rng.uniform(*scanner.ct_noise_hu)
    if region == "head":
        deviation = max(physics.least_ct_noise_hu, physics.head_dose * deviation)
    grain = gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), 0.5 * image.shape[0] / 64)
    image = image + grain * np.float32(deviation / grain.std())
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def _attenuation(physics: PhysicsConfig) -> Array:
    values = physics.water_attenuation * (1 + lookup("hu") / 1000)
    for bone in (Tissue.MARROW, Tissue.RIB, Tissue.SKULL):
        values[bone] *= physics.bone_attenuation_factor
    return np.clip(values, 0, None).astype(np.float32)


def render_xray(
    patient: Patient, physics: PhysicsConfig, scanner: Scanner, rng: np.random.Generator, size: int, view: str
) -> npt.NDArray[np.uint16]:
    """(size, size), 0..4095, MONOCHROME2. Columns: patient's right to left (PA and AP), front to back (LATERAL)."""
    rows = columns = _axis(physics.xray_field_cm, size)
    if view == "AP":  # the heart lies near the tube: geometric magnification
        rows, columns = rows * np.float32(0.96), columns * np.float32(0.94)
    beam = _axis(physics.xray_field_cm if view == "LATERAL" else 27.0, physics.xray_beam_steps)
    x, y, along = (beam, columns, 2) if view == "LATERAL" else (columns, beam, 0)
    labels = chest_tissue(patient, x, y, rows, posture="upright")  # (y, z, x)
    path = _attenuation(physics)[labels].sum(axis=along, dtype=np.float32) * float(beam[1] - beam[0])
    path = path.T if view == "LATERAL" else path  # (z, y) or (z, x)
    primary = np.exp(-scanner.xray_energy * path)
    scattered = scanner.xray_scatter * gaussian_filter(primary, size / 10) + 1e-4
    photons = scanner.xray_photons * (primary + scattered)
    detected = np.maximum(photons + np.sqrt(photons) * rng.standard_normal(photons.shape, dtype=np.float32), 1.0)
    film = gaussian_filter(-np.log(detected), 0.35 * size / 64)
    middle = film[size // 6 : -size // 4, size // 6 : -size // 6]
    return _windowed(film, physics.xray_window, measured=middle, gamma=scanner.xray_gamma)


def mri_times(sequence: str, physics: PhysicsConfig, scanner: Scanner) -> tuple[float, float, float]:
    """(TR, TE, TI) in ms as this scanner runs a sequence; TI is zero where nothing is inverted."""
    repetition, echo = scanner.mri_repetition, scanner.mri_echo
    if sequence == "FLAIR":
        tr, te, ti = physics.flair_tr_te_ti
        return tr * repetition, te * echo, ti * (0.5 + 0.5 * scanner.mri_field)  # tuned to null CSF at this field
    tr, te = physics.t1_tr_te if sequence == "T1" else physics.t2_tr_te
    return tr * repetition, te * echo, 0.0


def mri_signal(sequence: str, physics: PhysicsConfig, scanner: Scanner) -> Array:
    """(tissues,) magnitude by the spin-echo, or inversion-recovery, equation."""
    t1, t2, density = lookup("t1") * scanner.mri_field, lookup("t2"), lookup("pd")
    tr, te, ti = mri_times(sequence, physics, scanner)
    recovery = 1 + np.exp(-tr / t1) - 2 * np.exp(-ti / t1) if ti else 1 - np.exp(-tr / t1)
    return (density * np.abs(recovery) * np.exp(-te / t2)).astype(np.float32)


def render_mri(
    labels: Labels, sequence: str, physics: PhysicsConfig, scanner: Scanner, rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """(size, size), 0..4095, of one sequence: T1, T2 or FLAIR."""
    signal = mri_signal(sequence, physics, scanner)
    image = _pool(signal[labels], physics.supersampling)
    size = image.shape[0]
    axis = _axis(2.0, size)
    slope_x, slope_y, bowl = rng.uniform(-1, 1, 3) * scanner.mri_bias
    image = image * (
        1 + slope_x * axis[None, :] + slope_y * axis[:, None] + bowl * (axis[None, :] ** 2 + axis[:, None] ** 2 - 0.6)
    )
    deviation = scanner.mri_noise * float(image.max())
    real = image + deviation * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = deviation * rng.standard_normal(image.shape, dtype=np.float32)
    magnitude = np.hypot(real, imaginary)
    if sequence == "T1":
        return _windowed(magnitude, physics.t1_window, headroom=physics.t1_headroom)
    return _windowed(magnitude, physics.mri_window)


def _windowed(
    image: Array,
    percentiles: tuple[float, float],
    *,
    measured: Array | None = None,
    gamma: float = 1.0,
    headroom: float = 1.0,
) -> npt.NDArray[np.uint16]:
    """0..4095 between two percentiles of the part that is measured, the upper with headroom."""
    low, high = np.percentile(image if measured is None else measured, percentiles)
    unit = np.clip((image - low) / max(headroom * (high - low), 1e-6), 0, 1)
    return np.rint(unit**gamma * FULL_SCALE).astype(np.uint16)


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
            images[flow] = render_ct(axial_labels(patient, "chest", physics, size), "chest", physics, scanner, rng)
            continue
        head = axial_labels(patient, "head", physics, size) if head is None else head
        if flow == "ct":
            images[flow] = render_ct(head, "head", physics, scanner, rng)
        else:
            images[flow] = render_mri(head, SEQUENCES[flow], physics, scanner, rng)
    return images

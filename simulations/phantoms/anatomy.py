"""One patient: a chest and a head of the same person, as implicit shapes in centimetres that answer what is where.

Coordinates: x from the patient's right (-) to left (+), so that column order is radiological convention; y from front
(-) to back (+); z from head (-) to feet (+). Every modality asks the same two functions, `chest_tissue` and
`head_tissue`, which is what makes a patient's images truly paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from simulations.phantoms.tissue import Tissue

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]
Region = Literal["chest", "head"]
Posture = Literal["upright", "supine"]


@dataclass(frozen=True)
class Finding:
    """What is wrong in one region."""

    kind: str
    """One of CHEST_FINDINGS or HEAD_FINDINGS, or `none`."""
    side: Literal["left", "right", "both", "none"]
    """The patient's side."""
    centre: tuple[float, float, float]
    """cm."""
    size: float
    """Radius in cm; a factor for cardiomegaly and ventricles; a share of the lung for effusion and pneumothorax."""
    severity: Literal["mild", "moderate", "severe"]

    @property
    def sign(self) -> float:
        """-1 on the patient's right, +1 on the left."""
        return -1.0 if self.side == "right" else 1.0


@dataclass(frozen=True)
class Chest:
    """Anatomy of the chest, cm."""

    half_width: float
    half_depth: float
    fat: float
    lung: tuple[float, float, float]
    """Radii of one lung."""
    lung_offset: float
    heart: tuple[float, float, float]
    heart_shift: float
    diaphragm: float
    """z of the diaphragm's foot; the dome rises above it."""
    rib_pitch: float
    rib_phase: float
    rib_slope: float


@dataclass(frozen=True)
class Head:
    """Anatomy of the head, cm."""

    half_width: float
    half_length: float
    skull: float
    cortex: float
    csf: float
    ventricle: float
    """Factor on ventricle size."""
    sulci: float
    sulci_phase: float
    level: float
    """z of the axial slice."""


@dataclass(frozen=True)
class Patient:
    """A person: anatomy, findings, and the seed of everything random about their images and report."""

    seed: int
    chest: Chest
    head: Head
    chest_finding: Finding
    head_finding: Finding
    ct_region: Region
    view_position: Literal["PA", "AP"]
    sex: Literal["F", "M"]
    age: int

    def finding(self, region: Region) -> Finding:
        """The finding of a region."""
        return self.chest_finding if region == "chest" else self.head_finding


def _ball(x: Array, y: Array, z: Array, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Array:
    """Squared normalised distance: inside an ellipsoid where below 1."""
    return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 + ((z - centre[2]) / radii[2]) ** 2


def chest_tissue(patient: Patient, x: Array, y: Array, z: Array, *, posture: Posture) -> Labels:
    """Tissue at each point of the chest; x, y, z broadcast together. Posture decides where fluid lies."""
    chest, finding = patient.chest, patient.chest_finding
    x, y, z = np.broadcast_arrays(x, y, z)
    labels = np.zeros(x.shape, dtype=np.uint8)
    narrowing = np.clip((-z - 13.0) / 8.0, 0.0, 0.55)  # shoulders to neck
    body = (np.abs(x) / (chest.half_width * (1 - narrowing))) ** 2.4 + (np.abs(y) / chest.half_depth) ** 2.4
    labels[body < 1] = Tissue.FAT
    labels[body < (1 - chest.fat / chest.half_depth) ** 2.4] = Tissue.MUSCLE
    _ribs(labels, chest, x, y, z)
    cavity = _lungs(labels, chest, x, y, z)
    _mediastinum(labels, patient, x, y, z)
    _abdomen(labels, chest, x, y, z, cavity)
    _CHEST_FINDING.get(finding.kind, _nothing)(labels, patient, x, y, z, posture)
    return labels


def _dome(chest: Chest, x: Array, y: Array) -> Array:
    """z of the diaphragm: two domes, the right one higher for the liver."""
    rise = 4.0 + 1.0 * (x < 0)
    return chest.diaphragm - rise * np.exp(-(((np.abs(x) - chest.lung_offset) / 5.0) ** 2) - (y / 8.0) ** 2)


def _in_lung(chest: Chest, x: Array, y: Array, z: Array, side: float, shrink: float = 1.0) -> npt.NDArray[np.bool_]:
    radii = (chest.lung[0] * shrink, chest.lung[1] * shrink, chest.lung[2] * shrink)
    hilum = side * (chest.lung_offset - (1 - shrink) * 4.5)
    return (_ball(x, y, z, (hilum, 0.3, 1.0), radii) < 1) & (z < _dome(chest, x, y)) & (side * x > 0.4)


def _lungs(labels: Labels, chest: Chest, x: Array, y: Array, z: Array) -> npt.NDArray[np.bool_]:
    inside = _in_lung(chest, x, y, z, -1.0) | _in_lung(chest, x, y, z, 1.0)
    labels[inside] = Tissue.LUNG
    return inside


def _ribs(labels: Labels, chest: Chest, x: Array, y: Array, z: Array) -> None:
    """A shell around the lungs, banded along a sloping z; spine, sternum and clavicles beside it."""
    shell = ((np.abs(x)) / (chest.half_width - 2.0)) ** 2 + (y / (chest.half_depth - 1.6)) ** 2
    in_shell = (shell > 0.80) & (shell < 1.0) & (z > -14) & (z < chest.diaphragm + 4)
    band = np.cos(2 * np.pi * (z + chest.rib_slope * y + chest.rib_phase) / chest.rib_pitch)
    labels[in_shell & (band > 0.45)] = Tissue.CORTEX_BONE
    back = chest.half_depth - 3.2
    spine = (x / 2.0) ** 2 + ((y - back) / 1.9) ** 2
    labels[spine < 1] = Tissue.MARROW
    labels[(spine < 1) & (np.cos(2 * np.pi * z / 2.9) > 0.75)] = Tissue.MUSCLE  # discs
    labels[(np.abs(x) < 1.6) & (np.abs(y + chest.half_depth - 2.0) < 0.6) & (z > -10) & (z < 6)] = Tissue.MARROW
    collar = (
        (np.abs(z + 12.5 + 0.12 * np.abs(x)) < 0.6) & (np.abs(y + chest.half_depth - 3.5) < 0.8) & (np.abs(x) > 1.5)
    )
    labels[collar & (np.abs(x) < chest.half_width - 2)] = Tissue.CORTEX_BONE


def _mediastinum(labels: Labels, patient: Patient, x: Array, y: Array, z: Array) -> None:
    chest = patient.chest
    factor = patient.chest_finding.size if patient.chest_finding.kind == "cardiomegaly" else 1.0
    radii = (chest.heart[0] * factor, chest.heart[1] * (0.5 + 0.5 * factor), chest.heart[2] * (0.6 + 0.4 * factor))
    tilted_x, tilted_z = x + 0.35 * (z - 5.0), z
    heart = _ball(tilted_x, y, tilted_z, (chest.heart_shift, -2.2, 5.0), radii)
    vessels = (np.abs(x - 0.4) / 3.0) ** 2 + ((y + 0.5) / 4.0) ** 2
    labels[(vessels < 1) & (z < 8) & (labels == Tissue.LUNG)] = Tissue.MUSCLE
    labels[(heart < 1) & (z < _dome(chest, x, y) + 1.5)] = Tissue.HEART
    labels[(x / 0.9) ** 2 + ((y - 0.5) / 0.9) ** 2 + 0 * z < np.where(z < 0, 1.0, 0.0)] = Tissue.AIR  # trachea


def _abdomen(labels: Labels, chest: Chest, x: Array, y: Array, z: Array, cavity: npt.NDArray[np.bool_]) -> None:
    below = (z > _dome(chest, x, y)) & (np.abs(x) < chest.half_width - 2.2) & (np.abs(y) < chest.half_depth - 2.4)
    soft = below & (labels == Tissue.MUSCLE) & ~cavity
    labels[soft & (x < 2)] = Tissue.LIVER
    gas = _ball(x, y, z, (6.0, -3.0, chest.diaphragm + 0.2), (2.4, 2.0, 1.6)) < 1
    labels[gas & soft] = Tissue.AIR


def _nothing(labels: Labels, patient: Patient, x: Array, y: Array, z: Array, posture: Posture) -> None:
    """Healthy, or a finding that is already part of the anatomy."""


def _nodule(labels: Labels, patient: Patient, x: Array, y: Array, z: Array, posture: Posture) -> None:
    finding = patient.chest_finding
    labels[_ball(x, y, z, finding.centre, (finding.size,) * 3) < 1] = Tissue.NODULE


def _consolidation(labels: Labels, patient: Patient, x: Array, y: Array, z: Array, posture: Posture) -> None:
    finding = patient.chest_finding
    wobble = 1 + 0.25 * np.sin(1.7 * x + patient.seed % 7) * np.sin(1.3 * z) + 0.15 * np.sin(2.1 * y)
    radii = (finding.size, finding.size * 1.2, finding.size * 0.9)
    patchy = (np.sin(3.1 * x) * np.sin(2.7 * y + 1) * np.sin(2.9 * z)) < 0.35  # air bronchograms
    inside = _ball(x, y, z, finding.centre, radii) < wobble
    labels[inside & patchy & (labels == Tissue.LUNG)] = Tissue.CONSOLIDATION


def _effusion(labels: Labels, patient: Patient, x: Array, y: Array, z: Array, posture: Posture) -> None:
    chest, finding = patient.chest, patient.chest_finding
    pleura = _in_lung(chest, x, y, z, finding.sign)
    lateral = np.abs(x) - chest.lung_offset
    if posture == "upright":
        level = chest.diaphragm - 2.0 - 12.0 * finding.size - 0.12 * np.clip(lateral, 0, None) ** 2  # meniscus
        wet = z > level
    else:
        wet = y > chest.lung[1] * (1.0 - 1.4 * finding.size)
    labels[pleura & wet & (labels == Tissue.LUNG)] = Tissue.FLUID


def _pneumothorax(labels: Labels, patient: Patient, x: Array, y: Array, z: Array, posture: Posture) -> None:
    chest, finding = patient.chest, patient.chest_finding
    pleura = _in_lung(chest, x, y, z, finding.sign)
    collapsed = _in_lung(chest, x, y, z, finding.sign, shrink=1.0 - finding.size)
    labels[pleura & ~collapsed & (labels == Tissue.LUNG)] = Tissue.PLEURAL_AIR
    labels[collapsed & (labels == Tissue.LUNG) & (np.sin(2.3 * x) * np.sin(2.1 * z + y) > 0.55)] = Tissue.CONSOLIDATION


_CHEST_FINDING = {
    "nodule": _nodule,
    "consolidation": _consolidation,
    "effusion": _effusion,
    "pneumothorax": _pneumothorax,
}


def head_tissue(patient: Patient, x: Array, y: Array, z: Array) -> Labels:
    """Tissue at each point of the head; x, y, z broadcast together."""
    head, finding = patient.head, patient.head_finding
    x, y, z = np.broadcast_arrays(x, y, z)
    shrink = np.sqrt(np.clip(1 - (z / 10.5) ** 2, 0.05, 1))
    width, length = head.half_width * shrink, head.half_length * shrink
    angle = np.arctan2(y / head.half_length, x / head.half_width)
    radius = np.sqrt((x / width) ** 2 + (y / length) ** 2)
    in_cm = radius * head.half_width  # roughly the distance from the centre, cm
    labels = np.zeros(x.shape, dtype=np.uint8)
    labels[in_cm < head.half_width + head.skull + 0.5] = Tissue.FAT
    labels[in_cm < head.half_width + head.skull] = Tissue.SKULL
    labels[in_cm < head.half_width] = Tissue.CSF
    folds = np.cos(head.sulci * angle + head.sulci_phase) + 0.6 * np.cos(
        1.7 * head.sulci * angle + 2 * head.sulci_phase
    )
    brain = head.half_width - head.csf - 0.16 * np.clip(-folds, 0, None)
    labels[in_cm < brain] = Tissue.GREY
    labels[in_cm < brain - head.cortex - 0.18 * np.clip(folds, -0.5, None)] = Tissue.WHITE
    labels[(np.abs(x) < 0.12) & (in_cm < brain) & (np.abs(y) > 0.35 * head.half_length)] = Tissue.CSF  # falx
    _deep_brain(labels, patient, x, y, z)
    _HEAD_FINDING.get(finding.kind, _head_nothing)(labels, patient, x, y, z)
    return labels


def _deep_brain(labels: Labels, patient: Patient, x: Array, y: Array, z: Array) -> None:
    factor = patient.head.ventricle * (
        patient.head_finding.size if patient.head_finding.kind == "ventriculomegaly" else 1.0
    )
    brain = (labels == Tissue.WHITE) | (labels == Tissue.GREY)
    across = np.abs(x)
    thalamus = _ball(across, y, z, (1.7, 1.0, 0.0), (1.1, 1.5, 2.4)) < 1
    caudate = _ball(across, y, z, (2.3, -2.0, 0.0), (0.6, 1.2, 2.4)) < 1
    labels[(thalamus | caudate) & brain] = Tissue.GREY
    bend = across - 0.28 * np.abs(y + 0.6)
    front = _ball(bend, y, z, (0.55, -2.2, 0.0), (0.50 * factor, 1.7 * np.sqrt(factor), 3.4)) < 1
    back = _ball(bend, y, z, (0.75, 2.7, 0.0), (0.52 * factor, 1.8 * np.sqrt(factor), 3.4)) < 1
    third = _ball(x, y, z, (0.0, 0.4, 0.0), (0.22 * factor, 1.0, 2.0)) < 1
    labels[(front | back | third) & ((labels == Tissue.WHITE) | (labels == Tissue.GREY))] = Tissue.CSF


def _head_nothing(labels: Labels, patient: Patient, x: Array, y: Array, z: Array) -> None:
    """Healthy, or a finding that is already part of the anatomy."""


def _brain(labels: Labels) -> npt.NDArray[np.bool_]:
    return (labels == Tissue.WHITE) | (labels == Tissue.GREY) | (labels == Tissue.CSF)


def _tumour(labels: Labels, patient: Patient, x: Array, y: Array, z: Array) -> None:
    finding = patient.head_finding
    wobble = 1 + 0.2 * np.sin(2.3 * x + patient.seed % 5) + 0.2 * np.sin(2.9 * y)
    distance = _ball(x, y, z, finding.centre, (finding.size,) * 3)
    labels[(distance < 2.6 * wobble) & ((labels == Tissue.WHITE) | (labels == Tissue.GREY))] = Tissue.OEDEMA
    labels[(distance < 1) & _brain(labels) | (distance < 1) & (labels == Tissue.OEDEMA)] = Tissue.TUMOUR
    labels[distance < 0.12] = Tissue.FLUID  # necrotic core


def _bleed(labels: Labels, patient: Patient, x: Array, y: Array, z: Array) -> None:
    finding = patient.head_finding
    radii = (finding.size * 0.85, finding.size * 1.2, finding.size)
    distance = _ball(x, y, z, finding.centre, radii)
    labels[(distance < 1.5) & _brain(labels)] = Tissue.OEDEMA
    labels[distance < 1] = Tissue.BLOOD


def _lesions(labels: Labels, patient: Patient, x: Array, y: Array, z: Array) -> None:
    """Several small white-matter plaques around the ventricles."""
    finding = patient.head_finding
    rng = np.random.default_rng(patient.seed + 11)
    count = {"mild": 4, "moderate": 6, "severe": 9}[finding.severity]
    for index in range(count):
        side = finding.sign if finding.side != "both" else (-1.0 if index % 2 else 1.0)
        centre = (side * rng.uniform(1.6, 4.6), rng.uniform(-4.6, 4.8), finding.centre[2])
        inside = _ball(x, y, z, centre, (finding.size, finding.size * rng.uniform(0.9, 1.7), finding.size)) < 1
        labels[inside & ((labels == Tissue.WHITE) | (labels == Tissue.GREY))] = Tissue.LESION


_HEAD_FINDING = {"tumour": _tumour, "bleed": _bleed, "lesions": _lesions}

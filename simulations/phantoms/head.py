"""What is where in the head: scalp, skull, grey and white matter, ventricles, and its findings, as implicit shapes."""

from __future__ import annotations

import numpy as np

from simulations.phantoms.anatomy import Head, Patient
from simulations.phantoms.canvas import Array, Canvas, Labels
from simulations.phantoms.tissue import Tissue

_MATTER = (Tissue.GREY, Tissue.WHITE)
_BRAIN = (*_MATTER, Tissue.CSF)


def head_tissue(patient: Patient, x: Array, y: Array, z: Array) -> Labels:
    """Tissue on the grid of three ascending axes (cm), (y, z, x)."""
    canvas = Canvas(x, y, z)
    _skull_and_cortex(canvas, patient.head)
    _deep_brain(canvas, patient)
    if finding := _FINDINGS.get(patient.head_finding.kind):
        finding(canvas, patient)
    return canvas.labels


def _skull_and_cortex(canvas: Canvas, head: Head) -> None:
    """Shells from the scalp inwards; the cortex folds with the angle; the falx divides front and back."""
    shrink = np.sqrt(np.clip(1 - (canvas.z / 10.5) ** 2, 0.05, 1))
    angle = np.arctan2(canvas.y / head.half_length, canvas.x / head.half_width)
    flat = np.hypot(canvas.x, canvas.y * (head.half_width / head.half_length))
    radius = flat / shrink  # about the distance from the centre, cm
    for tissue, reach in (
        (Tissue.FAT, head.half_width + head.skull + 0.4),
        (Tissue.SKULL, head.half_width + head.skull),
        (Tissue.CSF, head.half_width),
    ):
        canvas.paint(tissue, radius < reach)
    folds = np.cos(head.sulci * angle + head.sulci_phase) + 0.6 * np.cos(
        (head.sulci + 7) * angle + 2 * head.sulci_phase
    )
    brain = head.half_width - head.csf - 0.16 * np.clip(-folds, 0, None)
    canvas.paint(Tissue.GREY, radius < brain)
    canvas.paint(Tissue.WHITE, radius < brain - head.cortex - 0.18 * np.clip(folds, -0.5, None))
    canvas.paint(
        Tissue.CSF, (np.abs(canvas.x) < 0.12) & (np.abs(canvas.y) > 0.35 * head.half_length) & (radius < brain)
    )


def _deep_brain(canvas: Canvas, patient: Patient) -> None:
    """Thalami, caudate nuclei and ventricles; enlarged ventricles are part of it."""
    widened = patient.head_finding.size if patient.head_finding.kind == "ventriculomegaly" else 1.0
    factor = patient.head.ventricle * widened
    for side in (-1.0, 1.0):
        canvas.ellipsoid(Tissue.GREY, (side * 1.7, 1.0, 0.0), (1.1, 1.5, 2.4), over=_MATTER)
        canvas.ellipsoid(Tissue.GREY, (side * 2.3, -2.0, 0.0), (0.6, 1.2, 2.4), over=_MATTER)
    bend = np.abs(canvas.x) - 0.28 * np.abs(canvas.y + 0.6)
    depth = (canvas.z / 3.4) ** 2
    long = np.sqrt(factor)
    front = ((bend - 0.55) / (0.50 * factor)) ** 2 + ((canvas.y + 2.2) / (1.7 * long)) ** 2 + depth < 1
    back = ((bend - 0.75) / (0.52 * factor)) ** 2 + ((canvas.y - 2.7) / (1.8 * long)) ** 2 + depth < 1
    canvas.paint(Tissue.CSF, (front | back) & canvas.is_one_of(*_MATTER))
    canvas.ellipsoid(Tissue.CSF, (0.0, 0.4, 0.0), (0.22 * factor, 1.0, 2.0), over=_MATTER)


def _tumour(canvas: Canvas, patient: Patient) -> None:
    """Oedema around a mass around a necrotic core."""
    finding = patient.head_finding
    x, y, z = finding.centre
    uneven = 1 + 0.2 * np.sin(2.3 * canvas.x + patient.seed % 5) + 0.2 * np.sin(2.9 * canvas.y)
    distance = ((canvas.x - x) ** 2 + (canvas.y - y) ** 2 + (canvas.z - z) ** 2) / finding.size**2
    canvas.paint(Tissue.OEDEMA, (distance < 3.2 * uneven) & canvas.is_one_of(*_MATTER))
    canvas.paint(Tissue.TUMOUR, (distance < 1) & canvas.is_one_of(*_BRAIN, Tissue.OEDEMA))
    canvas.paint(Tissue.FLUID, distance < 0.12)


def _bleed(canvas: Canvas, patient: Patient) -> None:
    """A haematoma of a few days with a rim of oedema."""
    finding, size = patient.head_finding, patient.head_finding.size
    radii = (0.85 * size, 1.2 * size, size)
    canvas.ellipsoid(Tissue.OEDEMA, finding.centre, (1.22 * radii[0], 1.22 * radii[1], 1.22 * radii[2]), over=_BRAIN)
    canvas.ellipsoid(Tissue.BLOOD, finding.centre, radii)


def _lesions(canvas: Canvas, patient: Patient) -> None:
    """Several white-matter plaques around the ventricles, on one side or both."""
    finding = patient.head_finding
    rng = np.random.default_rng(patient.seed + 11)
    for index in range({"mild": 4, "moderate": 6, "severe": 9}[finding.severity]):
        side = finding.sign if finding.side != "both" else (-1.0 if index % 2 else 1.0)
        centre = (side * rng.uniform(1.6, 4.6), rng.uniform(-4.6, 4.8), finding.centre[2])
        radii = (finding.size, finding.size * rng.uniform(0.9, 1.7), finding.size)
        canvas.ellipsoid(Tissue.LESION, centre, radii, over=_MATTER)


_FINDINGS = {"tumour": _tumour, "bleed": _bleed, "lesions": _lesions}

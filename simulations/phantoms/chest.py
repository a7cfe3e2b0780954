"""What is where in the chest: body, ribs, lungs, heart, spine, diaphragm, and its findings, as implicit shapes."""

from __future__ import annotations

import numpy as np

from simulations.phantoms.anatomy import Chest, Patient, Posture
from simulations.phantoms.canvas import Array, Canvas, Labels, Mask
from simulations.phantoms.tissue import Tissue


def chest_tissue(patient: Patient, x: Array, y: Array, z: Array, *, posture: Posture) -> Labels:
    """Tissue on the grid of three ascending axes (cm), (y, z, x). Posture decides where fluid lies."""
    chest, canvas = patient.chest, Canvas(x, y, z)
    cage, dome = _cage(chest, canvas.x, canvas.y, canvas.z), _dome(chest, canvas.x, canvas.y)
    _body(canvas, chest, cage, dome)
    _bones(canvas, chest, cage)
    inside = (cage < 1) & (canvas.z < dome) & (canvas.z > chest.apex)
    edge = _mediastinal_edge(chest, canvas.y, canvas.z)
    lungs = {side: inside & (side * canvas.x > edge) for side in (-1.0, 1.0)}
    canvas.paint(Tissue.LUNG, lungs[-1.0] | lungs[1.0])
    _mediastinum(canvas, patient, inside | ((canvas.z < dome + 1.5) & (cage < 1)))
    _spine(canvas, chest)
    if finding := _FINDINGS.get(patient.chest_finding.kind):
        finding(canvas, patient, posture, lungs[patient.chest_finding.sign] & (canvas.labels == Tissue.LUNG))
    return canvas.labels


def _cage(chest: Chest, x: Array, y: Array, z: Array) -> Array:
    """Squared normalised distance from the axis of the rib cage, 1 on its inner surface, which closes to the apex."""
    wide, deep = chest.half_width - chest.fat - chest.wall, chest.half_depth - chest.fat - chest.wall
    widest = 6.0
    closing = np.clip(1 - (np.minimum(z - widest, 0) / (widest - chest.apex)) ** 2, 0.02, 1) ** 0.8
    return ((x / wide) ** 2 + (y / deep) ** 2) / closing


def _dome(chest: Chest, x: Array, y: Array) -> Array:
    """z of the diaphragm: two domes, the right one higher for the liver."""
    rise = np.float32(chest.dome) + (x < 0).astype(np.float32)
    return chest.diaphragm - rise * np.exp(-(((np.abs(x) - 6.5) / 5.5) ** 2)) * np.exp(-((y / 8.5) ** 2))


def _mediastinal_edge(chest: Chest, y: Array, z: Array) -> Array:
    """Distance from the midline at which a lung begins: more at the hilum, less beside the spine."""
    return chest.mediastinum + 0.9 * np.exp(-((z / 3.0) ** 2)) - 0.6 * np.exp(-(((y - 3.0) / 3.0) ** 2))


def _body(canvas: Canvas, chest: Chest, cage: Array, dome: Array) -> None:
    """Skin to muscle: trunk, shoulders and neck; breasts; liver and stomach gas below the diaphragm."""
    shoulder = 1 + 0.32 * np.exp(-(((canvas.z + 13.0) / 4.5) ** 2))
    reach = np.maximum(0.38, shoulder * np.clip((canvas.z + 21.0) / 6.0, 0.0, 1.0) ** 0.5)  # times half_width
    skin = np.abs(canvas.x / chest.half_width) ** 2.4 * reach**-2.4 + np.abs(canvas.y / chest.half_depth) ** 2.4
    canvas.paint(Tissue.FAT, skin < 1)
    for side in (-0.5, 0.5) if chest.breast else ():
        place = (side * chest.half_width, -chest.half_depth - 0.2, 3.5)
        canvas.ellipsoid(Tissue.BREAST, place, (chest.breast, 0.55 * chest.breast, chest.breast))
    canvas.paint(Tissue.MUSCLE, skin < (1 - chest.fat / chest.half_depth) ** 2.4)
    canvas.paint(Tissue.LIVER, (cage < 1) & (canvas.z > dome) & (canvas.x < 2.5))
    gas = (6.0, -2.5, chest.diaphragm - 0.6 * chest.dome + 2.2)
    canvas.ellipsoid(Tissue.AIR, gas, (2.6, 2.4, 1.5), over=(Tissue.MUSCLE, Tissue.LIVER))


def _bones(canvas: Canvas, chest: Chest, cage: Array) -> None:
    """Ribs as bands of a shell around the lungs, falling towards the front; sternum and clavicles."""
    x, z = canvas.x, canvas.z
    thickness = 1.0 / (chest.half_width - chest.fat - chest.wall)
    turns = (z - 0.13 * np.abs(x)) / chest.rib_pitch + (chest.rib_slope * canvas.y + chest.rib_phase) / chest.rib_pitch
    shell = (cage > 1) & (cage < (1 + thickness) ** 2) & ((z > chest.apex - 1.5) & (z < chest.diaphragm + 3))
    canvas.paint(Tissue.RIB, shell & (np.abs(turns - np.rint(turns)) < 0.2))
    front = canvas.y + chest.half_depth - chest.fat - 0.9
    canvas.paint(Tissue.MARROW, ((np.abs(x) < 1.5) & (z > -9) & (z < 6)) & (np.abs(front) < 0.7))
    rise = (np.abs(z - chest.apex - 0.8 + 0.16 * np.abs(x)) < 0.55) & (np.abs(x) > 1.5) & (np.abs(x) < 14)
    canvas.paint(Tissue.RIB, rise & (np.abs(front - 1.5) < 0.8))


def _mediastinum(canvas: Canvas, patient: Patient, room: Mask) -> None:
    """Heart, hila, aorta and trachea; an enlarged heart is part of it."""
    chest, (x, y, z) = patient.chest, (canvas.x, canvas.y, canvas.z)
    factor = patient.chest_finding.size if patient.chest_finding.kind == "cardiomegaly" else 1.0
    across, deep, tall = chest.heart[0] * factor, chest.heart[1] * (0.4 + 0.6 * factor), chest.heart[2]
    tilted = x - 0.35 * (z - 5.0)  # the apex of the heart points down and to the left
    in_plane = ((tilted - chest.heart_shift) / across) ** 2 + ((z - 5.0) / (tall * (0.5 + 0.5 * factor))) ** 2
    canvas.paint(Tissue.HEART, (in_plane + ((y + 2.2) / deep) ** 2 < 1) & room)
    for side in (-1.0, 1.0):
        hilum = (side * (chest.mediastinum + 0.8), 1.0, 0.5)
        canvas.ellipsoid(Tissue.HEART, hilum, (1.7, 1.6, 2.4), over=(Tissue.LUNG,))
    aorta = ((x - 2.6) / 1.3) ** 2 + ((y - 3.4) / 1.3) ** 2 < 1
    canvas.paint(Tissue.HEART, aorta & (z > -4) & (canvas.labels == Tissue.LUNG))
    trachea = (x / 0.9) ** 2 + ((y - 0.8) / 0.9) ** 2 < 1
    canvas.paint(Tissue.AIR, trachea & (z < 0.5))


def _spine(canvas: Canvas, chest: Chest) -> None:
    """Vertebrae with discs between."""
    back = chest.half_depth - chest.fat - chest.wall - 0.6
    spine = (canvas.x / 2.0) ** 2 + ((canvas.y - back) / 1.9) ** 2 < 1
    disc = np.cos((2 * np.pi / 2.7) * canvas.z) > 0.6
    canvas.paint(Tissue.MARROW, spine & ~disc)
    canvas.paint(Tissue.DISC, spine & disc)


def _nodule(canvas: Canvas, patient: Patient, posture: Posture, lung: Mask) -> None:
    finding = patient.chest_finding
    canvas.ellipsoid(Tissue.NODULE, finding.centre, (finding.size,) * 3)


def _consolidation(canvas: Canvas, patient: Patient, posture: Posture, lung: Mask) -> None:
    """A dense core with a hazy, uneven margin."""
    finding, turn, (x, y, z) = patient.chest_finding, float(patient.seed % 628) / 100, (canvas.x, canvas.y, canvas.z)
    uneven = 0.22 * np.sin(1.5 * x + turn) * np.sin(1.2 * z - turn) + 0.18 * np.sin(1.9 * y + 2 * turn)
    radii, at = (finding.size, 1.2 * finding.size, 0.9 * finding.size), finding.centre
    in_plane = ((x - at[0]) / radii[0]) ** 2 + ((z - at[2]) / radii[2]) ** 2
    distance = in_plane + (((y - at[1]) / radii[1]) ** 2 + uneven)
    canvas.paint(Tissue.HAZE, (distance < 1.25) & lung)
    canvas.paint(Tissue.CONSOLIDATION, (distance < 0.8) & lung)


def _effusion(canvas: Canvas, patient: Patient, posture: Posture, lung: Mask) -> None:
    """Fluid falls: to the bottom with a meniscus when upright, to the back when lying."""
    chest, size = patient.chest, patient.chest_finding.size
    lateral = np.clip(np.abs(canvas.x) - 6.0, 0, None)
    if posture == "upright":
        wet = canvas.z + 0.10 * lateral**2 > chest.diaphragm - 4.0 - 10.0 * size
    else:
        wet = canvas.y - 0.12 * lateral > 0.62 * chest.half_depth * (1.0 - 1.5 * size)
    canvas.paint(Tissue.FLUID, lung & wet)


def _pneumothorax(canvas: Canvas, patient: Patient, posture: Posture, lung: Mask) -> None:
    """The lung shrinks towards its hilum and grows denser; air takes its place."""
    chest, finding = patient.chest, patient.chest_finding
    hilum, grow = (finding.sign * (chest.mediastinum + 0.5), 1.5, 2.5), np.float32(1 / (1.0 - finding.size))
    x, y, z = ((axis - at) * grow + at for axis, at in zip((canvas.x, canvas.y, canvas.z), hilum, strict=True))
    collapsed = (_cage(chest, x, y, z) < 1) & (z < _dome(chest, x, y)) & (z > chest.apex)
    canvas.paint(Tissue.PLEURAL_AIR, lung & ~collapsed)
    canvas.paint(Tissue.COLLAPSED_LUNG, lung & collapsed)


_FINDINGS = {
    "nodule": _nodule,
    "consolidation": _consolidation,
    "effusion": _effusion,
    "pneumothorax": _pneumothorax,
}

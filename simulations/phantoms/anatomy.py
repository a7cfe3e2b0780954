"""One patient: a chest and a head of the same person, and what is wrong with each. Lengths in centimetres.

Coordinates: x from the patient's right (-) to left (+), so that column order is radiological convention; y from front
(-) to back (+); z from head (-) to feet (+). Every modality asks the same two functions, `chest.chest_tissue` and
`head.head_tissue`, what is where: that is what makes a patient's images truly paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
    wall: float
    """Muscle and rib between fat and lung."""
    apex: float
    """z of the top of the lungs."""
    mediastinum: float
    """Half width between the lungs."""
    heart: tuple[float, float, float]
    heart_shift: float
    diaphragm: float
    """z of the diaphragm's foot; the dome rises above it."""
    dome: float
    """Rise of the domes."""
    rib_pitch: float
    rib_phase: float
    rib_slope: float
    breast: float
    """Radius; 0 for none."""
    level: float
    """z of the axial slice where no finding decides it."""


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

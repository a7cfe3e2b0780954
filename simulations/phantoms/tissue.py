"""Tissues: one table of physical properties from which every modality is rendered.

HU: common soft-tissue windows; T1/T2 (ms) and proton density at 1.5 T: Bottomley et al. 1984, Stanisz et al. 2005,
rounded. The nodule is calcified, the blood some days old. Attenuation follows from HU (water 0.19 / cm near 70 keV);
bone is denser to X-rays than HU alone says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Tissue(IntEnum):
    """Index into the table."""

    AIR = 0
    LUNG = 1
    FAT = 2
    MUSCLE = 3
    HEART = 4
    MARROW = 5
    RIB = 6
    LIVER = 7
    FLUID = 8
    CONSOLIDATION = 9
    NODULE = 10
    PLEURAL_AIR = 11
    SKULL = 12
    CSF = 13
    GREY = 14
    WHITE = 15
    TUMOUR = 16
    OEDEMA = 17
    BLOOD = 18
    LESION = 19
    DISC = 20
    BREAST = 21
    HAZE = 22
    COLLAPSED_LUNG = 23


@dataclass(frozen=True)
class Properties:
    """Physical properties of one tissue."""

    hu: float
    t1: float
    """ms; 0 gives no signal."""
    t2: float
    """ms."""
    pd: float
    """Proton density relative to water."""


TABLE: dict[Tissue, Properties] = {
    Tissue.AIR: Properties(-1000, 1, 1, 0.0),
    Tissue.LUNG: Properties(-820, 1200, 30, 0.15),
    Tissue.FAT: Properties(-95, 260, 80, 0.9),
    Tissue.MUSCLE: Properties(50, 900, 50, 0.8),
    Tissue.HEART: Properties(42, 1000, 60, 0.85),
    Tissue.MARROW: Properties(230, 350, 60, 0.5),
    Tissue.RIB: Properties(480, 320, 20, 0.25),
    Tissue.LIVER: Properties(60, 580, 45, 0.8),
    Tissue.FLUID: Properties(10, 3000, 600, 1.0),
    Tissue.CONSOLIDATION: Properties(10, 1200, 90, 0.8),
    Tissue.NODULE: Properties(400, 1100, 90, 0.8),
    Tissue.PLEURAL_AIR: Properties(-1000, 1, 1, 0.0),
    Tissue.SKULL: Properties(950, 300, 1, 0.05),
    Tissue.CSF: Properties(5, 4000, 2000, 1.0),
    Tissue.GREY: Properties(39, 1100, 100, 0.82),
    Tissue.WHITE: Properties(28, 600, 80, 0.70),
    Tissue.TUMOUR: Properties(46, 1400, 150, 0.85),
    Tissue.OEDEMA: Properties(6, 1250, 150, 0.85),
    Tissue.BLOOD: Properties(84, 450, 45, 0.85),
    Tissue.LESION: Properties(4, 1250, 180, 0.85),
    Tissue.DISC: Properties(140, 900, 60, 0.7),
    Tissue.BREAST: Properties(-20, 400, 70, 0.85),
    Tissue.HAZE: Properties(-380, 1200, 60, 0.45),
    Tissue.COLLAPSED_LUNG: Properties(-450, 1200, 35, 0.25),
}


def lookup(name: str) -> npt.NDArray[np.float32]:
    """(tissues,) values of one property, indexed by Tissue."""
    return np.array([getattr(TABLE[tissue], name) for tissue in Tissue], dtype=np.float32)

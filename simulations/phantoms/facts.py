"""What is known of a phantom's image besides its finding: how the scanner was set, and whose anatomy it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from simulations.phantoms.anatomy import Patient, Region
from simulations.phantoms.population import Population
from simulations.phantoms.report import region_of

_SCANNER: Mapping[str, tuple[str, ...]] = {
    "xray": ("xray_energy", "xray_scatter", "xray_photons", "xray_gamma"),
    "ct": ("ct_noise_hu", "ct_blur"),
    "mri": ("mri_noise", "mri_bias", "mri_field", "mri_echo", "mri_repetition"),
}
_ANATOMY: Mapping[Region, tuple[str, ...]] = {
    "chest": (
        "half_width", "half_depth", "fat", "wall", "apex", "mediastinum", "heart_shift", "diaphragm", "dome",
        "rib_pitch", "breast", "level",
    ),
    "head": ("half_width", "half_length", "skull", "cortex", "csf", "ventricle", "level"),
}  # fmt: skip
_NAMES = (
    *((modality, name) for modality, names in _SCANNER.items() for name in names),
    *((region, name) for region, names in _ANATOMY.items() for name in names),
)


def facts_of(people: Sequence[tuple[Patient, Population]], flow: str) -> npt.NDArray[np.float64]:
    """(people, facts) of their images of one flow, each fact of mean 0 and variance 1; NaN where it says nothing of an
    image: the fat of the chest of a CT of the head, or the field strength of an X-ray."""
    modality = flow.partition("_")[0]
    rows = np.full((len(people), len(_NAMES)), np.nan)
    for row, (patient, population) in zip(rows, people, strict=True):
        region = region_of(patient, flow)
        for column, (whose, name) in enumerate(_NAMES):
            if whose == modality:
                row[column] = _setting(population, name)
            elif whose == region:
                row[column] = getattr(getattr(patient, region), name)
    known = ~np.isnan(rows).all(axis=0)
    own = rows[:, known]
    rows[:, known] = (own - np.nanmean(own, axis=0)) / np.maximum(np.nanstd(own, axis=0), 1e-9)
    return rows


def _setting(population: Population, name: str) -> float:
    """One number of the scanner: the middle of a range, and of photons the logarithm."""
    value = getattr(population.scanner, name)
    middle = sum(value) / 2 if isinstance(value, tuple) else float(value)
    return math.log(middle) if name == "xray_photons" else middle

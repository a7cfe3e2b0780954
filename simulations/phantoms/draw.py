"""Draw patients from a population: anatomy varies, findings get a side, a place that fits, a size and a severity."""

from __future__ import annotations

from typing import Literal

import numpy as np

from simulations.phantoms.anatomy import Chest, Finding, Head, Patient
from simulations.phantoms.population import CHEST_FINDINGS, HEAD_FINDINGS, HEALTHY, Population

Side = Literal["left", "right", "both", "none"]
Severity = Literal["mild", "moderate", "severe"]
SEVERITIES: tuple[Severity, ...] = ("mild", "moderate", "severe")


def draw_patient(rng: np.random.Generator, population: Population) -> Patient:
    """One patient with a chest and a head, each healthy or with one finding."""
    seed = int(rng.integers(2**31))
    sex: Literal["F", "M"] = "F" if rng.random() < 0.5 else "M"
    chest, head = _chest(rng, population, sex), _head(rng, population)
    return Patient(
        seed=seed,
        chest=chest,
        head=head,
        chest_finding=_chest_finding(rng, population, chest),
        head_finding=_head_finding(rng, population, head),
        ct_region="chest" if rng.random() < 0.5 else "head",
        view_position="PA" if rng.random() < 0.6 else "AP",
        sex=sex,
        age=int(rng.integers(22, 95)),
    )


def _chest(rng: np.random.Generator, population: Population, sex: str) -> Chest:
    def normal(mean: float, deviation: float, shift: float = 0.0) -> float:
        return float(mean + deviation * (shift + population.spread * _clip(rng.normal(), -2.5, 2.5)))

    habitus = population.size_shift
    return Chest(
        half_width=normal(15.5, 0.7, habitus),
        half_depth=normal(10.8, 0.5, habitus),
        fat=_clip(normal(1.3, 0.35, habitus), 0.5, 3.0),
        wall=normal(1.5, 0.12),
        apex=normal(-13.0, 0.5, -0.5 * population.lung_shift),
        mediastinum=normal(2.0, 0.2, 0.3 * habitus),
        heart=(normal(4.4, 0.25), normal(4.2, 0.2), normal(5.4, 0.3)),
        heart_shift=normal(1.6, 0.25),
        diaphragm=normal(13.0, 0.8, population.lung_shift),
        dome=normal(5.0, 0.4),
        rib_pitch=normal(3.3, 0.15),
        rib_phase=float(rng.uniform(0, 3.3)),
        rib_slope=normal(0.42, 0.06),
        breast=_clip(normal(4.2, 0.5, habitus), 2.5, 6.0) if sex == "F" else 0.0,
        level=float(rng.uniform(-1.0, 5.0)),
    )


def _head(rng: np.random.Generator, population: Population) -> Head:
    def normal(mean: float, deviation: float, shift: float = 0.0) -> float:
        return float(mean + deviation * (shift + population.spread * _clip(rng.normal(), -2.5, 2.5)))

    return Head(
        half_width=normal(6.9, 0.25, 0.6 * population.head_shift),
        half_length=normal(8.6, 0.3, -0.4 * population.head_shift),
        skull=normal(0.65, 0.07),
        cortex=normal(0.55, 0.06, -0.5 * population.head_shift),
        csf=_clip(normal(0.35, 0.07, population.head_shift), 0.15, 0.9),
        ventricle=_clip(normal(1.0, 0.10, population.head_shift), 0.6, 1.5),
        sulci=float(rng.integers(11, 17)),
        sulci_phase=float(rng.uniform(0, 6.28)),
        level=float(rng.uniform(-0.8, 0.8)),
    )


def _clip(value: float, low: float, high: float) -> float:
    return float(min(max(value, low), high))


def _choose(
    rng: np.random.Generator, population: Population, kinds: tuple[str, ...], weights: tuple[float, ...]
) -> str:
    if rng.random() < population.healthy:
        return HEALTHY
    share = np.array(weights) / sum(weights)
    return str(rng.choice(np.array(kinds), p=share))


def _graded(rng: np.random.Generator, low: float, high: float) -> tuple[float, Severity]:
    share = float(rng.random())
    return low + share * (high - low), SEVERITIES[min(2, int(3 * share))]


_HEALTHY = Finding(HEALTHY, "none", (0.0, 0.0, 0.0), 0.0, "mild")


def _chest_finding(rng: np.random.Generator, population: Population, chest: Chest) -> Finding:
    kind = _choose(rng, population, CHEST_FINDINGS, population.chest_weights)
    if kind == HEALTHY:
        return _HEALTHY
    low, high = {
        "nodule": (1.8, 2.7),
        "consolidation": (3.0, 4.8),
        "effusion": (0.25, 0.7),
        "cardiomegaly": (1.35, 1.7),
        "pneumothorax": (0.2, 0.45),
    }[kind]
    size, severity = _graded(rng, low, high)
    side: Side = "none" if kind == "cardiomegaly" else ("left" if rng.random() < 0.5 else "right")
    return Finding(kind, side, _in_lung_field(rng, chest, side, size), size, severity)


def _in_lung_field(rng: np.random.Generator, chest: Chest, side: Side, size: float) -> tuple[float, float, float]:
    """A centre whose shadow stays clear of the diaphragm and, on the left, of the heart below."""
    z = float(rng.uniform(-8.0, min(4.0, chest.diaphragm - chest.dome - 1.5 - size)))
    outer = (chest.half_width - chest.fat - chest.wall) * (0.62 if z < -5 else 0.68)
    inner = chest.mediastinum + (3.6 if side == "left" and z > 0 else 2.6)
    x = float(rng.uniform(inner, max(inner + 0.5, outer)))
    return (x if side == "left" else -x, float(rng.uniform(-2.5, 3.0)), z)


def _head_finding(rng: np.random.Generator, population: Population, head: Head) -> Finding:
    kind = _choose(rng, population, HEAD_FINDINGS, population.head_weights)
    if kind == HEALTHY:
        return _HEALTHY
    low, high = {"tumour": (1.3, 2.2), "bleed": (1.1, 1.9), "lesions": (0.55, 0.8), "ventriculomegaly": (2.0, 3.2)}[
        kind
    ]
    size, severity = _graded(rng, low, high)
    if kind == "ventriculomegaly":
        return Finding(kind, "both", (0.0, 0.0, head.level), size, severity)
    side: Side = "left" if rng.random() < 0.5 else "right"
    if kind == "lesions" and rng.random() < 0.34:
        side = "both"
    sign = 1.0 if side == "left" else -1.0
    centre = (sign * float(rng.uniform(2.4, 4.2)), float(rng.uniform(-4.2, 4.2)), head.level)
    return Finding(kind, side, centre, size, severity)

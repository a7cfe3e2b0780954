"""Populations: whose anatomy, findings, scanner and wording. Each hospital is one; the public ones are in `public`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

CHEST_FINDINGS: tuple[str, ...] = ("nodule", "consolidation", "effusion", "cardiomegaly", "pneumothorax")
HEAD_FINDINGS: tuple[str, ...] = ("tumour", "bleed", "lesions", "ventriculomegaly")
HEALTHY = "none"


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """How this hospital's machines differ from the reference physics; all factors are relative to PhysicsConfig."""

    ct_noise_hu: tuple[float, float] = (10.0, 20.0)
    """Range of the noise standard deviation at the rendered pixel, in HU."""
    ct_blur: float = 0.5
    """Standard deviation of the point spread, in pixels of 64."""
    xray_energy: float = 1.0
    """Factor on all attenuation coefficients: softer tubes are above 1."""
    xray_scatter: float = 0.15
    """Scattered over primary intensity."""
    xray_photons: float = 2e4
    """Photons per pixel through air."""
    xray_gamma: float = 1.0
    """Exponent of the display curve: above 1 darkens the middle tones."""
    mri_noise: float = 0.02
    """Rician standard deviation over the maximum signal."""
    mri_bias: float = 0.15
    """Amplitude of the multiplicative bias field."""
    mri_field: float = 1.0
    """Factor on tissue T1 (longer at higher field strength)."""
    mri_echo: float = 1.0
    """Factor on echo times."""
    mri_repetition: float = 1.0
    """Factor on repetition times."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """A frozen description from which patients are drawn."""

    name: str
    healthy: float = 0.3
    """Share of regions without a finding."""
    chest_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    """Relative prevalence of CHEST_FINDINGS among the others."""
    head_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    size_shift: float = 0.0
    """Shift of body habitus, in standard deviations."""
    spread: float = 1.0
    """Factor on anatomical variation."""
    lung_shift: float = 0.0
    """Shift of inspiration depth, in standard deviations."""
    head_shift: float = 0.0
    """Shift of head shape and ventricle size, in standard deviations (age)."""
    scanner: Scanner = field(default_factory=Scanner)
    wording: int = 0
    """Which house style the reports are written in (0 mixes all)."""


_ORIGINALS: dict[str, Population] = {
    population.name: population
    for population in (
        Population(
            name="referee",
            healthy=0.25,
            spread=1.4,
            scanner=Scanner(ct_noise_hu=(10.0, 28.0), xray_scatter=0.22, mri_noise=0.03, mri_bias=0.22),
        ),
        Population(
            name="hospital-xray",
            healthy=0.2,
            size_shift=1.2,
            lung_shift=-0.8,
            scanner=Scanner(xray_energy=1.25, xray_scatter=0.30, xray_photons=8e3, xray_gamma=1.3),
            chest_weights=(0.8, 1.2, 1.2, 1.0, 0.8),
            wording=1,
        ),
        Population(
            name="hospital-ct",
            healthy=0.2,
            size_shift=0.9,
            head_shift=0.8,
            scanner=Scanner(ct_noise_hu=(20.0, 30.0), ct_blur=0.8),
            chest_weights=(1.3, 0.9, 1.0, 0.8, 1.0),
            head_weights=(0.9, 1.3, 0.8, 1.0),
            wording=2,
        ),
        Population(
            name="hospital-mri",
            healthy=0.2,
            head_shift=1.2,
            scanner=Scanner(mri_noise=0.04, mri_bias=0.32, mri_field=1.35, mri_echo=1.15, mri_repetition=0.9),
            head_weights=(1.2, 0.7, 1.2, 0.9),
            wording=3,
        ),
        Population(
            name="hospital-university",
            healthy=0.15,
            size_shift=0.8,
            head_shift=1.0,
            lung_shift=-0.5,
            scanner=Scanner(
                ct_noise_hu=(18.0, 28.0),
                ct_blur=0.7,
                xray_energy=1.2,
                xray_scatter=0.27,
                xray_gamma=1.2,
                mri_noise=0.035,
                mri_bias=0.28,
                mri_field=1.3,
                mri_echo=1.1,
            ),
            wording=4,
        ),
    )
}


def _half_way(value: Any, usual: Any) -> Any:
    """Numbers, or tuples of them, half as far from the usual ones."""
    if isinstance(value, tuple):
        return tuple(_half_way(own, other) for own, other in zip(value, usual, strict=True))
    return (value + usual) / 2


def _nearer(population: Population, name: str) -> Population:
    """The same hospital, half as unusual: about where the middle of the public ones lies (`public.py`)."""
    own, usual = population.scanner, Scanner()
    scanner = Scanner(**{f.name: _half_way(getattr(own, f.name), getattr(usual, f.name)) for f in fields(Scanner)})
    numbers = ("healthy", "chest_weights", "head_weights", "size_shift", "spread", "lung_shift", "head_shift")
    plain = Population(name=name)
    nearer = {number: _half_way(getattr(population, number), getattr(plain, number)) for number in numbers}
    return replace(population, name=name, scanner=scanner, **nearer)


POPULATIONS: dict[str, Population] = _ORIGINALS | {
    (near := name.replace("hospital-", "near-")): _nearer(population, near)
    for name, population in _ORIGINALS.items()
    if name.startswith("hospital-")
}
"""By name: `referee`, of whose reports the features are, the demo's four hospitals, and these half as unusual."""

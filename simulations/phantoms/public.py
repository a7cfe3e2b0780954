"""The public hospitals: whose phantoms pre-training may see. None has scanner, patients or prevalence of the demo's.

A generator that has seen one scanner knows one look. The public set is therefore many hospitals with scanners, habitus,
age and prevalence drawn at random over what is plausible: a hospital that joins later differs from each of them and
lies somewhere among them (domain randomisation, Tobin et al. 2017; here with a style learnt per hospital).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from simulations.phantoms.population import CHEST_FINDINGS, HEAD_FINDINGS, POPULATIONS, Population, Scanner

PUBLIC_HOSPITALS = 48
_SEED = 2024
_WORDINGS = 4


PUBLIC, HELD_OUT = "public", "held-out"
"""Names that stand for several populations: the public hospitals, and the four of the demo."""
POPULATION_NAMES = (*POPULATIONS, PUBLIC)
"""Every population that can be exported or evaluated."""


def hospitals_of(name: str) -> tuple[Population, ...]:
    """The populations behind a name: one, or several that patients are drawn from in turn."""
    if name == PUBLIC:
        return public_hospitals()
    if name == HELD_OUT:
        return tuple(population for key, population in POPULATIONS.items() if key.startswith("hospital-"))
    return (POPULATIONS[name],)


@lru_cache(maxsize=1)
def public_hospitals() -> tuple[Population, ...]:
    """All of them, in a fixed order."""
    return tuple(public_hospital(number) for number in range(PUBLIC_HOSPITALS))


def public_hospital(number: int) -> Population:
    """The hospital of a number: those from 0 to PUBLIC_HOSPITALS are for pre-training, others for other ends."""
    rng = np.random.default_rng([_SEED, number])
    return Population(
        name=f"public-{number}",
        healthy=float(rng.uniform(0.15, 0.5)),
        chest_weights=_weights(rng, len(CHEST_FINDINGS)),
        head_weights=_weights(rng, len(HEAD_FINDINGS)),
        size_shift=float(rng.normal(0.0, 0.8)),
        lung_shift=float(rng.normal(0.0, 0.6)),
        head_shift=float(rng.normal(0.0, 0.8)),
        spread=float(rng.uniform(0.9, 1.2)),
        scanner=_scanner(rng),
        wording=int(rng.integers(1, _WORDINGS + 1)),
    )


def _scanner(rng: np.random.Generator) -> Scanner:
    quietest = float(rng.uniform(10.0, 22.0))
    return Scanner(
        ct_noise_hu=(quietest, min(30.0, quietest + float(rng.uniform(4.0, 10.0)))),
        ct_blur=float(rng.uniform(0.35, 0.9)),
        xray_energy=float(rng.uniform(0.85, 1.35)),
        xray_scatter=float(rng.uniform(0.08, 0.35)),
        xray_photons=float(np.exp(rng.uniform(np.log(6e3), np.log(3e4)))),
        xray_gamma=float(rng.uniform(0.75, 1.4)),
        mri_noise=float(rng.uniform(0.02, 0.04)),
        mri_bias=float(rng.uniform(0.08, 0.36)),
        mri_field=float(rng.uniform(0.85, 1.45)),
        mri_echo=float(rng.uniform(0.85, 1.2)),
        mri_repetition=float(rng.uniform(0.85, 1.15)),
    )


def _weights(rng: np.random.Generator, kinds: int) -> tuple[float, ...]:
    return tuple(float(weight) for weight in np.exp(rng.normal(0.0, 0.25, kinds)))

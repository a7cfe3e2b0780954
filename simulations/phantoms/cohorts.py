"""Cohorts in memory, for pre-training and for the omniscient referee: images, reports and the truth, truly paired."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulations.phantoms.anatomy import Patient, Region
from simulations.phantoms.draw import draw_patient
from simulations.phantoms.physics import PhysicsConfig, render_all
from simulations.phantoms.population import CHEST_FINDINGS, HEAD_FINDINGS, Population
from simulations.phantoms.public import hospitals_of, public_hospital
from simulations.phantoms.report import region_of, regions_of, report

_SIDELESS = frozenset({"none", "cardiomegaly", "lesions", "ventriculomegaly"})


@dataclass(frozen=True)
class PhantomRecords:
    """What a cohort looks like, aligned by patient."""

    patients: list[Patient]
    images: dict[str, npt.NDArray[np.int16]]
    """Flow to (patients, size, size): HU for CT, 0..4095 for the others."""
    reports: list[dict[Region, str]]
    """One per patient and region, about everything that `flows` image there."""
    populations: list[Population]
    """Each patient's."""

    def report_beside(self, flow: str) -> list[str]:
        """(patients,) the report of the region that this flow's image shows."""
        return [texts[region_of(patient, flow)] for patient, texts in zip(self.patients, self.reports, strict=True)]


def finding_label(patient: Patient, flow: str) -> str:
    """The finding that an image of this flow shows, with its side where it has one: `nodule-left`, `none`."""
    finding = patient.finding(region_of(patient, flow))
    return finding.kind if finding.kind in _SIDELESS else f"{finding.kind}-{finding.side}"


def labels_of(flow: str) -> tuple[str, ...]:
    """Every label that images of a flow can have."""
    kinds = {"xray": CHEST_FINDINGS, "ct": CHEST_FINDINGS + HEAD_FINDINGS}.get(flow, HEAD_FINDINGS)
    sided = [[kind] if kind in _SIDELESS else [f"{kind}-left", f"{kind}-right"] for kind in kinds]
    return ("none", *(label for labels in sided for label in labels))


def cohort(population: str, patients: int, seed: int) -> list[tuple[Patient, Population]]:
    """Patients with the population each comes from; of several hospitals in turn (see `hospitals_of`)."""
    chosen = hospitals_of(population)
    rng = np.random.default_rng(seed)
    return [(draw_patient(rng, here), here) for here in (chosen[i % len(chosen)] for i in range(patients))]


def cohort_of_hospitals(numbers: Iterable[int], patients: int, seed: int) -> list[tuple[Patient, Population]]:
    """So many patients of each of these hospitals, one hospital after another (`public_hospital`)."""
    rng = np.random.default_rng(seed)
    return [(draw_patient(rng, here), here) for here in map(public_hospital, numbers) for _ in range(patients)]


def render_cohort(
    people: list[tuple[Patient, Population]],
    flows: tuple[str, ...],
    *,
    physics: PhysicsConfig | None = None,
    size: int = 64,
    processes: int = 2,
    on_patient: Callable[[], None] = lambda: None,
) -> PhantomRecords:
    """Render every imaging flow among `flows` and write every report."""
    physics = physics or PhysicsConfig()
    jobs = [(patient, population, flows, physics, size) for patient, population in people]
    rendered = []
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            for result in pool.map(_render, jobs, chunksize=16):
                rendered.append(result)
                on_patient()
    else:
        for job in jobs:
            rendered.append(_render(job))
            on_patient()
    names = [flow for flow in flows if flow != "text"]
    images = {flow: np.stack([images[flow] for images, _ in rendered]) for flow in names}
    return PhantomRecords(
        patients=[patient for patient, _ in people],
        images=images,
        reports=[text for _, text in rendered],
        populations=[population for _, population in people],
    )


def _render(
    job: tuple[Patient, Population, tuple[str, ...], PhysicsConfig, int],
) -> tuple[dict[str, npt.NDArray[np.int16]], dict[Region, str]]:
    patient, population, flows, physics, size = job
    images = render_all(patient, flows, physics, population.scanner, size)
    texts = {region: report(patient, population, region, flows) for region in regions_of(patient, flows)}
    return {flow: image.astype(np.int16) for flow, image in images.items()}, texts

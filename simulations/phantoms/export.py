"""Write a hospital's export: DICOM in a patient/study/series tree, reports by accession number, the truth beside.

The planted identifiers are listed in `identifiers.txt`. The same seed gives the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simulations.phantoms.anatomy import Region
from simulations.phantoms.dicom import Visit, instance
from simulations.phantoms.draw import draw_patient
from simulations.phantoms.identities import identify
from simulations.phantoms.physics import PhysicsConfig, render_all, render_lateral
from simulations.phantoms.public import hospitals_of
from simulations.phantoms.report import region_of, regions_of, report

IMAGE_FLOWS: tuple[str, ...] = ("xray", "ct", "mri_t1", "mri_t2", "mri_flair")
#: What each invented hospital keeps in its archive; the others keep everything.
FLOWS_OF: dict[str, tuple[str, ...]] = {
    "hospital-xray": ("xray", "text"),
    "hospital-ct": ("ct", "text"),
    "hospital-mri": ("mri_t1", "mri_t2", "mri_flair"),
}
EVERYTHING: tuple[str, ...] = (*IMAGE_FLOWS, "text")


@dataclass(frozen=True)
class _Job:
    out: Path
    index: int
    visit: Visit
    flows: tuple[str, ...]
    lateral: bool


def export_hospital(
    out: Path,
    *,
    patients: int,
    seed: int,
    population: str,
    flows: tuple[str, ...] | None = None,
    physics: PhysicsConfig | None = None,
    size: int = 64,
    lateral: bool = False,
    processes: int = 1,
    on_patient: Callable[[], None] = lambda: None,
) -> int:
    """Write the export of one invented hospital and return the number of DICOM files.

    flows: None for all that this hospital keeps. lateral: write a lateral X-ray beside each frontal one.
    """
    hospitals, physics = hospitals_of(population), physics or PhysicsConfig()
    flows = flows or FLOWS_OF.get(population, EVERYTHING)
    rng = np.random.default_rng(seed)
    jobs = []
    for index in range(patients):
        chosen = hospitals[index % len(hospitals)]
        patient = draw_patient(rng, chosen)
        identity = identify(patient, rng=rng, index=index, seed=seed, population=population)
        jobs.append(_Job(out, index, Visit(patient, identity, chosen, physics, size), flows, lateral))
    out.mkdir(parents=True, exist_ok=True)
    files = 0
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            for written in pool.map(_write_patient, jobs, chunksize=8):
                files += written
                on_patient()
    else:
        for job in jobs:
            files += _write_patient(job)
            on_patient()
    _write_tables(out, jobs)
    return files


def _write_patient(job: _Job) -> int:
    visit = job.visit
    scanner = visit.population.scanner
    images = render_all(visit.patient, job.flows, visit.physics, scanner, visit.size)
    series: list[tuple[str, npt.NDArray[np.generic], str]] = [
        (flow, pixels, visit.patient.view_position) for flow, pixels in images.items()
    ]
    if job.lateral and "xray" in images:
        series.append(("xray", render_lateral(visit.patient, visit.physics, scanner, visit.size), "LATERAL"))
    for number, (flow, pixels, view) in enumerate(series, start=1):
        accession = visit.identity.accession_of(region_of(visit.patient, flow))
        folder = job.out / visit.identity.patient_id / accession / f"{number:03d}_{flow}"
        folder.mkdir(parents=True, exist_ok=True)
        dataset = instance(visit, flow, pixels, number=number, view=view)
        dataset.save_as(folder / "000001.dcm", enforce_file_format=True)
    return len(series)


def _write_tables(out: Path, jobs: list[_Job]) -> None:
    with (out / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        truth = csv.writer(file)
        truth.writerow(["patient_id", "accession", "region", "finding", "side", "size", "severity"])
        for job in jobs:
            for region in regions_of(job.visit.patient, job.flows):
                finding = job.visit.patient.finding(region)
                row = [finding.kind, finding.side, f"{finding.size:.2f}", finding.severity]
                truth.writerow([job.visit.identity.patient_id, job.visit.identity.accession_of(region), region, *row])
    planted = sorted({text for job in jobs for text in job.visit.identity.strings()})
    (out / "identifiers.txt").write_text("\n".join(planted) + "\n", encoding="utf-8")
    if "text" not in jobs[0].flows:
        return
    with (out / "reports.csv").open("w", newline="", encoding="utf-8") as file:
        reports = csv.writer(file)
        reports.writerow(["accession_number", "text"])
        for job in jobs:
            for region in regions_of(job.visit.patient, job.flows):
                reports.writerow([job.visit.identity.accession_of(region), _letter(job, region)])


def _letter(job: _Job, region: Region) -> str:
    """The report as the information system exports it: one in five still has its letterhead."""
    text = report(job.visit.patient, job.visit.population, region, job.flows)
    if job.index % 5:
        return text
    identity = job.visit.identity
    family, given = identity.name.split("^")
    born = identity.birth_date
    date = f"{born[6:]}/{born[4:6]}/{born[:4]}"
    head = f"Patient: {family}, {given.title()}  DOB: {date}  MRN: {identity.patient_id}"
    return f"{head}\n{text}\nDictated by {identity.physician}"

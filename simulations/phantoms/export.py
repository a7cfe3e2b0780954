"""Write a hospital's export: valid DICOM in a patient/study/series tree, reports by accession number, the truth beside.

Every identifier is invented (names, dates, numbers), realistic on purpose: what de-identification must remove. The
planted ones are listed in `identifiers.txt`. The same seed gives the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

from simulations.phantoms.anatomy import Patient, Region
from simulations.phantoms.draw import draw_patient
from simulations.phantoms.physics import PhysicsConfig, render_all
from simulations.phantoms.population import POPULATIONS, Population
from simulations.phantoms.report import region_of, regions_of, report

IMAGE_FLOWS: tuple[str, ...] = ("xray", "ct", "mri_t1", "mri_t2", "mri_flair")
#: What each invented hospital keeps in its archive; the others keep everything.
FLOWS_OF: dict[str, tuple[str, ...]] = {
    "hospital-xray": ("xray", "text"),
    "hospital-ct": ("ct", "text"),
    "hospital-mri": ("mri_t1", "mri_t2", "mri_flair"),
}
EVERYTHING: tuple[str, ...] = (*IMAGE_FLOWS, "text")

_FAMILY = (
    "OKONKWO",
    "LINDQVIST",
    "MARCHETTI",
    "HERRERA",
    "NAKAMURA",
    "DUBOIS",
    "KOWALSKI",
    "ADEYEMI",
    "VANDERBERG",
    "PETROVA",
)
_GIVEN = {"F": ("AMARA", "INGRID", "CHIARA", "LUCIA", "YUKI"), "M": ("EMEKA", "LARS", "MATTEO", "DIEGO", "KENJI")}
_STREETS = ("Elm Street", "Harbour Road", "Mill Lane", "Station Avenue")


@dataclass(frozen=True)
class Identity:
    """Invented identifiers of one patient and visit."""

    patient_id: str
    name: str
    birth_date: str
    accession: str
    """Of the visit; each region is a study of its own (`accession_of`)."""
    study_date: str
    institution: str
    physician: str
    address: str

    def accession_of(self, region: Region) -> str:
        """The accession number of one region's imaging study."""
        return f"{self.accession}{region[0].upper()}"

    def strings(self) -> list[str]:
        """Every planted identifier, for tests that search for them."""
        family, given = self.name.split("^")
        return [
            self.patient_id,
            family,
            given,
            self.birth_date,
            self.accession,
            self.institution,
            self.physician,
            self.address,
        ]


@dataclass(frozen=True)
class _Job:
    out: Path
    index: int
    patient: Patient
    identity: Identity
    population: Population
    flows: tuple[str, ...]
    physics: PhysicsConfig
    size: int


def export_hospital(
    out: Path,
    *,
    patients: int,
    seed: int,
    population: str,
    flows: tuple[str, ...] | None = None,
    physics: PhysicsConfig | None = None,
    size: int = 64,
    processes: int = 1,
    on_patient: Callable[[], None] = lambda: None,
) -> int:
    """Write the export of one invented hospital and return the number of DICOM files."""
    chosen = POPULATIONS[population]
    flows = flows or FLOWS_OF.get(population, EVERYTHING)
    rng = np.random.default_rng(seed)
    people = [(draw_patient(rng, chosen), _identity(rng, index, seed, population)) for index in range(patients)]
    people = [(person, _named(identity, person)) for person, identity in people]
    jobs = [
        _Job(out, index, person, identity, chosen, flows, physics or PhysicsConfig(), size)
        for index, (person, identity) in enumerate(people)
    ]
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


def _identity(rng: np.random.Generator, index: int, seed: int, population: str) -> Identity:
    number = int(hashlib.sha256(f"{population}/{seed}/{index}".encode()).hexdigest()[:8], 16)
    return Identity(
        patient_id=f"PH{number % 10**8:08d}",
        name=_FAMILY[int(rng.integers(len(_FAMILY)))],
        birth_date="",
        accession=f"ACC{number % 10**7:07d}{index:04d}",
        study_date=f"2025{int(rng.integers(1, 13)):02d}{int(rng.integers(1, 29)):02d}",
        institution=f"St. {_FAMILY[number % 7].title()} {population.removeprefix('hospital-').title()} Hospital",
        physician=f"Dr. {_FAMILY[(number // 7) % 10].title()}-{number % 97}",
        address=f"{number % 900 + 10} {_STREETS[number % 4]}",
    )


def _named(identity: Identity, patient: Patient) -> Identity:
    given = _GIVEN[patient.sex][patient.seed % 5]
    birth = f"{2025 - patient.age}{patient.seed % 12 + 1:02d}{patient.seed % 28 + 1:02d}"
    return Identity(**{**identity.__dict__, "name": f"{identity.name}^{given}", "birth_date": birth})


def _write_patient(job: _Job) -> int:
    images = render_all(job.patient, job.flows, job.physics, job.population.scanner, job.size)
    for number, (flow, pixels) in enumerate(images.items(), start=1):
        accession = job.identity.accession_of(region_of(job.patient, flow))
        series = job.out / job.identity.patient_id / accession / f"{number:03d}_{flow}"
        series.mkdir(parents=True, exist_ok=True)
        _dataset(job, flow, pixels, number).save_as(series / "000001.dcm", enforce_file_format=True)
    return len(images)


def _uid(*parts: object) -> UID:
    number = int(hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:30], 16)
    return UID(f"2.25.{number}")


def _dataset(job: _Job, flow: str, pixels: npt.NDArray[np.generic], number: int) -> FileDataset:
    """One DICOM instance."""
    identity, patient = job.identity, job.patient
    sop_class = {"xray": ComputedRadiographyImageStorage, "ct": CTImageStorage}.get(flow, MRImageStorage)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    accession = identity.accession_of(region_of(patient, flow))
    meta.MediaStorageSOPInstanceUID = _uid(accession, flow)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("2.25.314159265358979")
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(accession), _uid(accession, number)
    dataset.FrameOfReferenceUID = _uid(accession, "frame")
    dataset.PatientID, dataset.PatientName = identity.patient_id, identity.name
    dataset.PatientBirthDate, dataset.PatientSex = identity.birth_date, patient.sex
    dataset.PatientAge, dataset.PatientAddress = f"{patient.age:03d}Y", identity.address
    dataset.AccessionNumber, dataset.StudyID = accession, "1"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = identity.study_date
    dataset.StudyTime = "101500"
    dataset.InstitutionName, dataset.ReferringPhysicianName = identity.institution, identity.physician
    dataset.PatientComments = f"Seen by {identity.physician}"
    dataset.Manufacturer, dataset.SeriesNumber, dataset.InstanceNumber = "FedM2G phantoms", number, 1
    dataset.BurnedInAnnotation = "NO"
    _pixels(dataset, flow, pixels)
    _acquisition(dataset, job, flow)
    return dataset


def _pixels(dataset: FileDataset, flow: str, pixels: npt.NDArray[np.generic]) -> None:
    rows, columns = pixels.shape
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    if flow == "ct":
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
        stored = (pixels.astype(np.int32) + 1024).astype(np.uint16)
    else:
        stored = pixels.astype(np.uint16)
        dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = stored.tobytes()


def _acquisition(dataset: FileDataset, job: _Job, flow: str) -> None:
    physics = job.physics
    region = region_of(job.patient, flow)
    dataset.BodyPartExamined = region.upper()
    spacing = (physics.chest_field_cm if region == "chest" else physics.head_field_cm) * 10 / job.size
    if flow == "xray":
        dataset.Modality, dataset.ViewPosition = "CR", job.patient.view_position
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        dataset.ImagerPixelSpacing = [spacing, spacing]
        dataset.PatientOrientation = ["L", "F"]
        dataset.SeriesDescription = f"CHEST {job.patient.view_position}"
        return
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PixelSpacing, dataset.SliceThickness = [spacing, spacing], 5
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    corner = -spacing * job.size / 2
    dataset.ImagePositionPatient = [corner, corner, 0]
    dataset.PatientPosition = "HFS"
    if flow == "ct":
        dataset.Modality, dataset.KVP = "CT", 120
        dataset.SeriesDescription = f"CT {region.upper()} AXIAL"
        return
    dataset.Modality, dataset.MRAcquisitionType, dataset.MagneticFieldStrength = "MR", "2D", 1.5
    if flow == "mri_flair":
        tr, te, ti = physics.flair_tr_te_ti
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.InversionTime = ["SE", "IR"], "SK", ti
    else:
        tr, te = physics.t1_tr_te if flow == "mri_t1" else physics.t2_tr_te
        dataset.ScanningSequence, dataset.SequenceVariant = "SE", "NONE"
    dataset.ScanOptions, dataset.RepetitionTime, dataset.EchoTime = "", tr, te
    dataset.SeriesDescription = {"mri_t1": "AX T1 SE", "mri_t2": "AX T2 TSE", "mri_flair": "AX FLAIR"}[flow]


def _write_tables(out: Path, jobs: list[_Job]) -> None:
    with (out / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        truth = csv.writer(file)
        truth.writerow(["patient_id", "accession", "region", "finding", "side", "size", "severity"])
        for job in jobs:
            for region in regions_of(job.patient, job.flows):
                finding = job.patient.finding(region)
                row = [finding.kind, finding.side, f"{finding.size:.2f}", finding.severity]
                truth.writerow([job.identity.patient_id, job.identity.accession_of(region), region, *row])
    planted = sorted({text for job in jobs for text in job.identity.strings()})
    (out / "identifiers.txt").write_text("\n".join(planted) + "\n", encoding="utf-8")
    if "text" not in jobs[0].flows:
        return
    with (out / "reports.csv").open("w", newline="", encoding="utf-8") as file:
        reports = csv.writer(file)
        reports.writerow(["accession_number", "text"])
        for job in jobs:
            for region in regions_of(job.patient, job.flows):
                reports.writerow([job.identity.accession_of(region), _letter(job, region)])


def _letter(job: _Job, region: Region) -> str:
    """The report as the information system exports it: one in five still has its letterhead."""
    text = report(job.patient, job.population, region, job.flows)
    if job.index % 5:
        return text
    family, given = job.identity.name.split("^")
    born = job.identity.birth_date
    head = (
        f"Patient: {family}, {given.title()}  DOB: {born[6:]}/{born[4:6]}/{born[:4]}  MRN: {job.identity.patient_id}\n"
    )
    return f"{head}{text}\nDictated by {job.identity.physician}"

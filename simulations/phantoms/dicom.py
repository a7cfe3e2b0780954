"""One image of a phantom as a valid DICOM instance, with invented identifiers and true geometry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from simulations.phantoms.anatomy import Patient
from simulations.phantoms.identities import Identity
from simulations.phantoms.physics import SEQUENCES, PhysicsConfig, field_cm, mri_times, slice_level
from simulations.phantoms.population import Population
from simulations.phantoms.report import region_of


@dataclass(frozen=True)
class Visit:
    """One patient's visit to an invented hospital, and how it is imaged there."""

    patient: Patient
    identity: Identity
    population: Population
    physics: PhysicsConfig
    size: int


def _uid(*parts: object) -> UID:
    number = int(hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:30], 16)
    return UID(f"2.25.{number}")


def instance(visit: Visit, flow: str, pixels: npt.NDArray[np.generic], *, number: int, view: str) -> FileDataset:
    """One valid DICOM instance; `number` is the series, `view` the X-ray's projection."""
    identity, patient = visit.identity, visit.patient
    sop_class = {"xray": ComputedRadiographyImageStorage, "ct": CTImageStorage}.get(flow, MRImageStorage)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    accession = identity.accession_of(region_of(patient, flow))
    meta.MediaStorageSOPInstanceUID = _uid(accession, flow, number)
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
    if flow == "xray":
        _projection(dataset, visit, view)
    else:
        _slice(dataset, visit, flow)
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


def _projection(dataset: FileDataset, visit: Visit, view: str) -> None:
    spacing = visit.physics.xray_field_cm * 10 / visit.size
    dataset.Modality, dataset.BodyPartExamined = "CR", "CHEST"
    dataset.ViewPosition = "LL" if view == "LATERAL" else view
    dataset.PatientOrientation = ["P" if view == "LATERAL" else "L", "F"]
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.ImagerPixelSpacing = [spacing, spacing]
    dataset.SeriesDescription = f"CHEST {view}"


def _slice(dataset: FileDataset, visit: Visit, flow: str) -> None:
    """Geometry of an axial slice (patient coordinates: +x left, +y back, +z head), and how it was acquired."""
    region = region_of(visit.patient, flow)
    dataset.BodyPartExamined = region.upper()
    dataset.ImageType, dataset.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], "HFS"
    spacing = field_cm(region, visit.physics) * 10 / visit.size
    dataset.PixelSpacing, dataset.SliceThickness = [spacing, spacing], 5
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    corner = spacing * (1 - visit.size) / 2  # centre of the first pixel
    dataset.ImagePositionPatient = [corner, corner, round(-10 * slice_level(visit.patient, region), 3)]
    if flow == "ct":
        dataset.Modality, dataset.KVP = "CT", 120
        dataset.SeriesDescription = f"CT {region.upper()} AXIAL"
        return
    dataset.Modality, dataset.MRAcquisitionType = "MR", "2D"
    dataset.MagneticFieldStrength = 1.5
    tr, te, ti = mri_times(SEQUENCES[flow], visit.physics, visit.population.scanner)
    dataset.ScanningSequence, dataset.SequenceVariant = (["SE", "IR"], "SK") if ti else ("SE", "NONE")
    dataset.ScanOptions, dataset.RepetitionTime, dataset.EchoTime = "", round(tr, 1), round(te, 1)
    if ti:
        dataset.InversionTime = round(ti, 1)
    dataset.SeriesDescription = {"mri_t1": "AX T1 SE", "mri_t2": "AX T2 TSE", "mri_flair": "AX FLAIR"}[flow]

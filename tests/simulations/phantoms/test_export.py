"""A hospital's export: valid DICOM, the pixels of the patient, identifiers that are all listed, the same bytes."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest

from simulations.errors import InputInvalid
from simulations.phantoms import (
    EVERYTHING,
    IMAGE_FLOWS,
    POPULATIONS,
    PhysicsConfig,
    Scanner,
    export_hospital,
    render_all,
)
from simulations.phantoms.commands import write_hospital
from simulations.phantoms.draw import draw_patient

PATIENTS = 12
_REQUIRED = (
    "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID PatientID PatientName PatientBirthDate Modality "
    "Rows Columns BitsStored PixelRepresentation PhotometricInterpretation AccessionNumber StudyDate BodyPartExamined"
).split()


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    export_hospital(out, patients=PATIENTS, seed=3, population="hospital-university", lateral=True)
    return out


def _files(export: Path) -> list[Path]:
    return sorted(export.rglob("*.dcm"))


def _bytes(folder: Path) -> str:
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    said = b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in names)
    return hashlib.sha256(said).hexdigest()


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_file_is_valid_dicom_in_a_patient_study_series_tree(export: Path) -> None:
    assert len(_files(export)) == PATIENTS * (len(IMAGE_FLOWS) + 1)
    seen = set()
    for path in _files(export):
        dataset = pydicom.dcmread(path)
        assert not [name for name in _REQUIRED if name not in dataset]
        assert path.relative_to(export).parts[:2] == (dataset.PatientID, dataset.AccessionNumber)
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        seen.add(dataset.SOPInstanceUID)
    assert len(seen) == len(_files(export))


def test_the_pixels_are_those_that_physics_rendered(export: Path) -> None:
    scanner: Scanner = POPULATIONS["hospital-university"].scanner
    patient = draw_patient(np.random.default_rng(3), POPULATIONS["hospital-university"])
    images = render_all(patient, IMAGE_FLOWS, PhysicsConfig(), scanner)
    first = _rows(export / "truth.csv")[0]["patient_id"]
    read = {
        path.parent.name[4:]: pydicom.dcmread(path) for path in sorted((export / first).rglob("*.dcm"), reverse=True)
    }
    assert set(read) == set(IMAGE_FLOWS)
    for flow, dataset in read.items():
        pixels = dataset.pixel_array.astype(int)
        if flow == "ct":
            pixels = pixels * int(dataset.RescaleSlope) + int(dataset.RescaleIntercept)
        assert (pixels == images[flow]).all(), flow


def test_headers_say_how_each_image_was_acquired(export: Path) -> None:
    views = set()
    for path in _files(export):
        dataset = pydicom.dcmread(path)
        if dataset.Modality == "CR":
            views.add(dataset.ViewPosition)
            assert dataset.PatientOrientation[1] == "F"
            continue
        assert list(dataset.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
        first, spacing = dataset.ImagePositionPatient, dataset.PixelSpacing
        assert first[0] + float(spacing[1]) * (dataset.Columns - 1) == pytest.approx(-first[0], abs=1e-3)
        if dataset.Modality == "MR":
            assert ("InversionTime" in dataset) == ("FLAIR" in dataset.SeriesDescription)
            assert dataset.EchoTime > 0 and dataset.RepetitionTime > dataset.EchoTime
    assert views == {"PA", "AP", "LL"}


def test_images_of_one_region_share_a_study_and_its_report(export: Path) -> None:
    reports = {row["accession_number"]: row["text"] for row in _rows(export / "reports.csv")}
    truth = {row["accession"]: row for row in _rows(export / "truth.csv")}
    assert set(reports) == set(truth) == {pydicom.dcmread(path).AccessionNumber for path in _files(export)}
    studies: dict[str, set[str]] = {}
    for path in _files(export):
        dataset = pydicom.dcmread(path)
        studies.setdefault(dataset.AccessionNumber, set()).add(dataset.StudyInstanceUID)
        assert truth[dataset.AccessionNumber]["region"] == dataset.BodyPartExamined.lower()
    assert all(len(uids) == 1 for uids in studies.values())


def test_every_identifier_in_headers_and_reports_is_listed_as_planted(export: Path) -> None:
    listed = (export / "identifiers.txt").read_text(encoding="utf-8").splitlines()
    for path in _files(export):
        dataset = pydicom.dcmread(path)
        family, given = str(dataset.PatientName).split("^")
        for text in (family, given, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientAddress):
            assert text in listed
        assert dataset.InstitutionName in listed and str(dataset.ReferringPhysicianName) in listed
    letters = [row["text"] for row in _rows(export / "reports.csv") if "Patient:" in row["text"]]
    assert 0 < len(letters) < len(_rows(export / "reports.csv"))
    for letter in letters:
        said = re.search(r"Patient: (\w+), (\w+)  DOB: (\S+)  MRN: (\S+)", letter)
        assert said is not None
        assert {said.group(1), said.group(4)} <= set(listed)


def test_the_same_seed_gives_the_same_bytes_whatever_the_processes(tmp_path: Path) -> None:
    for name, seed, processes in (("a", 5, 1), ("b", 5, 2), ("c", 6, 1)):
        export_hospital(tmp_path / name, patients=6, seed=seed, population="hospital-mri", processes=processes)
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b") != _bytes(tmp_path / "c")


def test_a_hospital_without_reports_writes_none(tmp_path: Path) -> None:
    assert export_hospital(tmp_path, patients=2, seed=1, population="hospital-mri") == 6
    assert not (tmp_path / "reports.csv").exists()


def test_the_command_says_what_it_wrote_and_refuses_what_it_cannot(tmp_path: Path) -> None:
    said = write_hospital(tmp_path / "out", patients=2, seed=1, population="default")
    assert json.loads(json.dumps(said))["dicom_files"] == 2 * len(IMAGE_FLOWS)
    assert said["physics"] == PhysicsConfig().digest() and said["flows"] == list(EVERYTHING)
    with pytest.raises(InputInvalid, match="not empty"):
        write_hospital(tmp_path / "out", patients=2, seed=1)
    with pytest.raises(InputInvalid, match="choose one of"):
        write_hospital(tmp_path / "new", patients=2, seed=1, population="nowhere")
    with pytest.raises(InputInvalid, match="choose some of"):
        write_hospital(tmp_path / "new", patients=2, seed=1, flows=("pet",))
    with pytest.raises(InputInvalid, match="image flow"):
        write_hospital(tmp_path / "new", patients=2, seed=1, flows=("text",))

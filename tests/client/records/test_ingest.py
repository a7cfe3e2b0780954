"""Ingest stops at no file, adds only what is new, and writes nothing that names anybody."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from client.records import pool, reading_job
from client.records.ingest import ingest
from client.records.store import RecordStore
from privacy.keys import SiteKeys
from tests.client.records.conftest import opened

Make = Callable[..., Dataset]
PLANTED = {
    "PatientID": "QZ8812345",
    "PatientName": "Zwickelbauer^Xanthippe",
    "OtherPatientIDs": "ALT-5518822",
    "PatientBirthDate": "19410307",
    "PatientAddress": "17 Quillfeather Crescent",
    "ReferringPhysicianName": "Ogglethorpe^Barnabas",
    "OperatorsName": "Vandersnoot^Q",
    "InstitutionName": "Brambleshire Royal Hospital",
    "AccessionNumber": "ACCX99031877",
    "StudyID": "STU551907",
    "StationName": "BRAMBLECT7",
    "DeviceSerialNumber": "SN-77-120-9",
    "StudyInstanceUID": "1.2.826.0.1.3680043.9.99.71231",
    "PatientComments": "cousin of Alderman Pumphrey",
    "StudyDescription": "chest for Dr Ogglethorpe, patient Zwickelbauer",
    "SeriesDescription": "AXIAL Zwickelbauer QZ8812345",
    "BodyPartExamined": "ZWICKELBAUER",
    "ViewPosition": "QZ8812345",
    "RequestingPhysician": "Ogglethorpe^Barnabas",
    "ProtocolName": "Vandersnoot special",
}
TELLING = (
    "QZ8812345", "Zwickelbauer", "Xanthippe", "ALT-5518822", "19410307", "Quillfeather", "Ogglethorpe", "Barnabas",
    "Vandersnoot", "Brambleshire", "ACCX99031877", "STU551907", "BRAMBLECT7", "SN-77-120-9", "71231", "Pumphrey",
)  # fmt: skip
REPORT = (
    "Patient: ZWICKELBAUER, Xanthippe   DOB: 07/03/1941   MRN: QZ8812345\n"
    "CT chest. There is a 12 mm nodule in the right upper lobe. No pleural effusion.\n"
    "Discussed with Dr. Ogglethorpe. Dictated by Q. Vandersnoot, Brambleshire Royal Hospital, 17 Quillfeather Crescent."
)


@pytest.fixture
def planted(tmp_path: Path, make_dicom: Make, ramp: np.ndarray) -> Path:
    """A tree whose headers, file names and report are full of identifiers."""
    folder = tmp_path / "export" / "ZWICKELBAUER_Xanthippe" / "QZ8812345"
    folder.mkdir(parents=True)
    for number in range(3):
        make_dicom("CT", ramp + np.int16(number), **PLANTED).save_as(folder / f"Zwickelbauer_{number}.dcm")
    (folder / "Zwickelbauer_broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"Zwickelbauer" * 40)
    (folder / "Xanthippe.bin").write_bytes(b"Zwickelbauer Xanthippe")
    reports = tmp_path / "export" / "reports"
    reports.mkdir()
    (reports / "ACCX99031877.txt").write_text(REPORT, encoding="utf-8")
    (reports / "NOBODY.txt").write_text("Of Zwickelbauer, whose images are elsewhere.", encoding="utf-8")
    return tmp_path / "export"


def _tells(content: bytes) -> list[str]:
    low = content.lower()
    return [
        word
        for word in TELLING
        if word.lower().encode() in low
        or word.lower().encode("utf-16-le") in low
        or word.encode().hex().encode() in low
    ]


def test_nothing_planted_is_written_printed_or_logged(
    planted: Path, site: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    report = ingest(site, planted)
    assert (report.ingested, report.quarantined, report.records, report.unmatched_reports) == (3, 2, 4, 1)
    written = b"".join(path.read_bytes() + path.name.encode() for path in site.rglob("*") if path.is_file())
    store, texts, rows = opened(site)
    printed = "".join(capfd.readouterr()) + caplog.text + repr(report) + repr(store) + str(report.to_json())
    assert _tells(written) == []
    assert _tells(" ".join([*texts, *rows]).encode()) == []
    assert _tells(printed.encode()) == []
    assert "12 mm nodule in the right upper lobe" in texts[0] and "No pleural effusion" in texts[0]


def test_the_search_for_planted_words_finds_them_where_they_are(planted: Path) -> None:
    content = b"".join(path.read_bytes() for path in planted.rglob("*") if path.is_file())
    assert sorted(_tells(content)) == sorted(TELLING)


def test_outcomes_and_readings_print_nothing_of_what_they_hold(planted: Path) -> None:
    reader = reading_job.JobReader(reading_job.Pseudonyms(b"k" * 32), 64, with_reports=True)
    path = next(planted.rglob("*_0.dcm"))
    outcome = reader.read(reading_job.Job(path, path.name))
    assert outcome.words and _tells(repr(outcome).encode()) == [] and _tells(repr(reader).encode()) == []
    readings = reading_job.dicom.read(path, with_known=True)
    assert _tells(f"{readings} {readings[0].identity}".encode()) == []


def test_a_second_ingest_adds_only_what_is_new(planted: Path, site: Path, make_dicom: Make, ramp: np.ndarray) -> None:
    ingest(site, planted)
    again = ingest(site, planted)
    assert (again.ingested, again.quarantined, again.records, again.known) == (0, 2, 0, 3)
    make_dicom("CT", ramp + np.int16(50), **PLANTED).save_as(planted / "new.dcm")
    (planted / "moved.dcm").write_bytes(next(planted.rglob("*_0.dcm")).read_bytes())
    next(planted.rglob("*_0.dcm")).unlink()
    third = ingest(site, planted)
    assert (third.ingested, third.records, third.known) == (1, 1, 3)
    assert RecordStore.open(site).counts() == {"ct": 4, "text": 1}


def test_a_report_that_comes_later_finds_its_patient_and_still_loses_the_names(planted: Path, site: Path) -> None:
    late = planted / "reports" / "ACCX99031877.txt"
    text = late.read_text(encoding="utf-8")
    late.unlink()
    assert ingest(site, planted).records == 3
    late.write_text(text + "\nPatient seen by barnabas vandersnoot.", encoding="utf-8")
    assert ingest(site, planted).records == 1
    _, texts, _ = opened(site)
    assert _tells(texts[0].encode()) == [] and "nodule" in texts[0]


def test_images_and_report_of_one_accession_belong_together(planted: Path, site: Path) -> None:
    ingest(site, planted)
    store = RecordStore.open(site)
    (pseudonym,) = store.patients()
    assert len({row.imaging_study for row in store.records(pseudonym)}) == 1
    assert [row.body_part for row in store.records(pseudonym, "text")] == ["chest"]


def test_one_patient_is_one_pseudonym_at_a_site_and_another_elsewhere(
    tmp_path: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number, patient in enumerate(("A1", "A1 ", "B2")):
        make_dicom("CT", ramp + np.int16(number), PatientID=patient).save_as(source / f"{number}.dcm")
    pseudonyms = []
    for name in ("one", "two"):
        SiteKeys.create(tmp_path / name)
        ingest(tmp_path / name, source)
        pseudonyms.append(RecordStore.open(tmp_path / name).patients())
    assert [len(names) for names in pseudonyms] == [2, 2] and not set(pseudonyms[0]) & set(pseudonyms[1])


def test_every_file_counts_as_taken_or_refused_except_side_files(
    tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    source = tmp_path / "tree"
    (source / "deep" / "er").mkdir(parents=True)
    make_dicom("CT", ramp).save_as(source / "deep" / "er" / "IM0001")
    (source / "copy").write_bytes((source / "deep" / "er" / "IM0001").read_bytes())
    make_dicom("CT", ramp, PatientID="").save_as(source / "nobodys.dcm")
    (source / "empty.dcm").touch()
    (source / "notes").write_text("not an image")
    Image.new("L", (64, 64), 3).save(source / "photo.png")
    os.mkfifo(source / "pipe")
    (source / "gone.dcm").symlink_to(source / "nowhere")
    for name in ("LICENSE", "README.md", "truth.csv", ".hidden", "DICOMDIR", "side.json"):
        (source / name).write_text("x")
    report = ingest(site, source)
    assert report.ingested == 1
    assert report.reasons == {
        "duplicate": 1, "empty-file": 1, "no-patient-id": 1, "not-an-image": 1, "not-in-index": 1, "unreadable-file": 2,
    }  # fmt: skip
    assert RecordStore.open(site).quarantined() == report.reasons
    assert ingest(site, source).reasons == report.reasons


def test_a_refused_file_that_was_mended_leaves_the_quarantine(
    tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    (source / "a.dcm").write_bytes(b"")
    ingest(site, source)
    make_dicom("CT", ramp).save_as(source / "a.dcm")
    assert ingest(site, source).ingested == 1
    assert RecordStore.open(site).quarantined() == {}


def test_processes_change_nothing_but_the_time(planted: Path, tmp_path: Path) -> None:
    stores = []
    for workers in (1, 2):
        site = tmp_path / f"site{workers}"
        SiteKeys.create(site, pseudonym_key=b"p" * 32)
        ingest(site, planted, workers=workers)
        stores.append(RecordStore.open(site))
    one, two = (store.read_flow("ct") for store in stores)
    assert one[:2] == two[:2]
    np.testing.assert_array_equal(one[2], two[2])
    assert stores[0].counts() == stores[1].counts() and stores[0].quarantined() == stores[1].quarantined()


def test_a_decoder_that_kills_its_process_costs_one_file(
    tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    for number in range(4):
        make_dicom("CT", ramp + np.int16(number)).save_as(source / f"{number}.dcm")
    jobs = pool.Job, [pool.Job(source / f"{number}.dcm", f"{number}.dcm") for number in range(4)]
    reader = _Deadly(reading_job.Pseudonyms(SiteKeys.open(site).pseudonym_key), 64)
    reasons = [outcome.reason for outcome in pool.outcomes(reader, jobs[1], workers=2)]
    assert reasons == [None, None, reading_job.Reason.READER_FAILED, None]


def test_no_file_is_blamed_where_processes_cannot_be_started(planted: Path, site: Path) -> None:
    code = (
        "from pathlib import Path\nfrom client.records.ingest import ingest\n"
        f"ingest(Path({str(site)!r}), Path({str(planted)!r}), workers=2)"
    )
    root = Path(reading_job.__file__).parents[2]
    options = {"cwd": root, "timeout": 120, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-"], input=code, **options)  # `spawn` cannot import a main from stdin
    assert done.returncode == 1 and "PoolUnusable: No further process" in done.stderr.replace(
        "client.records.errors.", ""
    )
    assert RecordStore.open(site).quarantined() == {}


def test_reading_does_not_run_ahead_of_the_store(tmp_path: Path) -> None:
    """However many files there are, what is read and not yet stored stays the same: memory is flat."""

    class Counting(Executor):
        submitted = 0

        def submit(self, fn: object, /, *given: object, **more: object) -> Future:
            self.submitted += 1
            done: Future = Future()
            done.set_result(list(given[0]))  # type: ignore[call-overload]
            return done

    jobs = [pool.Job(tmp_path / str(number), str(number)) for number in range(1000)]
    workers = Counting()
    outcomes = pool._in_order(workers, jobs, ahead=8)
    seen = [next(outcomes)]
    assert workers.submitted == 8
    seen += outcomes
    assert seen == jobs and workers.submitted == -(-1000 // pool._CHUNK)


class _Deadly(reading_job.JobReader):
    """As a native decoder does on a file made to harm it."""

    def read(self, job: pool.Job) -> reading_job.Outcome:
        if job.place == "2.dcm":
            os._exit(139)
        return super().read(job)


def test_an_interrupted_ingest_goes_on_where_it_stopped(
    planted: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.records.ingest.BATCH", 1)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(site, planted, progress=stop)
    rest = ingest(site, planted)
    assert rest.known + rest.ingested == 3 and rest.known >= 1
    assert RecordStore.open(site).counts() == {"ct": 3, "text": 1}


def test_reports_come_as_a_table_too_and_a_shared_number_gives_none(
    tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    for number, (patient, accession) in enumerate((("A", "100"), ("B", "200"), ("C", "200"))):
        make_dicom("CT", ramp + np.int16(number), PatientID=patient, AccessionNumber=accession).save_as(
            source / f"{number}.dcm"
        )
    with (source / "reports.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["accession_number", "text"], ["100", "Clear lungs."], ["200", "Whose?"]])
    (source / "reports").mkdir()
    (source / "reports" / "100.txt").write_text("Signed: Jane Roe.", encoding="utf-8")  # of which nothing is left
    report = ingest(site, source)
    assert (report.records, report.unmatched_reports) == (4, 1)
    assert opened(site)[1] == ["Clear lungs."]


def test_the_genuine_dicom_files_are_all_accounted_for(dicom_samples: Path, site: Path) -> None:
    report = ingest(site, dicom_samples)
    assert (report.ingested, report.quarantined) == (17, 8) and sum(report.reasons.values()) == 8


def test_an_ingest_of_images_that_fit_loads_no_torch(
    tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    make_dicom("CT", ramp).save_as(source / "a.dcm")
    code = (
        "import sys; from pathlib import Path; from client.records.ingest import ingest\n"
        f"ingest(Path({str(site)!r}), Path({str(source)!r})); sys.exit('torch' in sys.modules)"
    )
    root = Path(reading_job.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=120).returncode == 0

"""Copies for sharing: every element of table E.1-1 is filled, and nothing of it is in copy, store or message."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless
from typer.testing import CliRunner

from client.records import dicom
from client.records.errors import SourceUnusable
from client.records.ingest import ingest
from client.records.rules import ReadingRules
from client.records.shared_copy import copy_deidentified
from client.records.store import RecordStore
from privacy import copied_elements
from privacy.basic_profile import apply_basic_profile, keyed_uid, table_tags
from privacy.deidentify import IDENTIFYING, KEPT, Pseudonyms
from privacy.keys import SiteKeys

sys.path.insert(0, str(Path(__file__).parent))
from table_e11 import Planter, fill, fill_beside  # noqa: E402

Make = Callable[..., Dataset]
#: What a data set of an image must say truthfully for anybody to read it.
NEEDED = ("SOPClassUID", "Modality", "PixelData")


def _head() -> np.ndarray:
    """A round head of 160 mm in air, HU: skull and brain."""
    y, x = np.mgrid[:64, :64] - 31.5
    radius = np.hypot(x, y)
    return np.where(radius < 27, 40, np.where(radius < 30, 900, np.where(radius < 32, 20, -1000))).astype(np.int16)


@pytest.fixture
def filled(make_dicom: Make, ramp: np.ndarray) -> tuple[Dataset, list[str]]:
    """A CT in which every element of the table, and more, is planted; and the marks to look for."""
    dataset, planter = make_dicom("CT", ramp), Planter()
    own = {name: dataset[name].value for name in NEEDED}
    planted = fill(dataset, planter)
    fill_beside(dataset, planter)
    for name, value in own.items():
        setattr(dataset, name, value)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = planter.value("UI")
    dataset.file_meta.SourceApplicationEntityTitle = "ZQSOURCE"
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3.4.777"
    dataset.file_meta.PrivateInformation = b"ZQMETASECRET"
    dataset.preamble = b"ZQPREAMBLE".ljust(128, b"\0")
    dataset.ProtocolName = dataset.BodyPartExamined = "ZQBODY"
    assert planted >= 550
    return dataset, [*planter.marks, "ZQSOURCE", "ZQMETASECRET", "ZQPREAMBLE", "ZQBODY"]


def _found(marks: list[str], content: bytes) -> list[str]:
    low = content.lower()
    return [mark for mark in marks if mark.lower().encode() in low or mark.lower().encode("utf-16-le") in low]


def _content(folder: Path) -> bytes:
    """Bytes and names of every file, but the copied pixels, in which four digits may stand by chance."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".dcm":
            dataset = pydicom.dcmread(path)
            del dataset.PixelData
            stream = BytesIO()
            dataset.save_as(stream)
            parts.append(stream.getvalue())
        elif path.is_file():
            parts.append(path.read_bytes())
        parts.append(str(path.relative_to(folder)).encode())
    return b"\n".join(parts)


def test_nothing_of_table_e11_is_in_copy_store_log_or_message(
    filled: tuple[Dataset, list[str]],
    tmp_path: Path,
    site: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    dataset, marks = filled
    source = tmp_path / "source" / "Zq7310000"
    source.mkdir(parents=True)
    dataset.save_as(source / "Zq7310017.dcm", enforce_file_format=True)
    marks = _found(marks, (source / "Zq7310017.dcm").read_bytes())  # but a few that a later element overwrote
    assert len(marks) >= 1400
    report = copy_deidentified(site, tmp_path / "source", tmp_path / "copy")
    taken = ingest(site, tmp_path / "source")
    assert (report.copied, report.refused, taken.ingested) == (1, 0, 1)
    assert _found(marks, _content(tmp_path / "copy")) == []
    store = RecordStore.open(site)
    rows = [str(vars(row)) for pseudonym in store.patients() for row in store.records(pseudonym)]
    keys = set((site / "keys").iterdir())
    stored = b"".join(path.read_bytes() for path in site.rglob("*") if path.is_file() and path not in keys)
    assert _found(marks, " ".join(rows).encode()) == []
    assert _found([mark for mark in marks if len(mark) > 4], stored) == []  # by chance a cipher has any three letters
    printed = "".join(capfd.readouterr()) + caplog.text + repr(report) + json.dumps(report.to_json()) + repr(taken)
    assert _found(marks, printed.encode()) == []


@pytest.mark.parametrize("layer", ["allow-list", "table"])
def test_each_layer_alone_lets_nothing_of_the_table_through(filled: tuple[Dataset, list[str]], layer: str) -> None:
    dataset, marks = filled
    whole = dataset.copy()
    del whole.PixelData, whole.file_meta
    if layer == "table":
        outside = {"ZQBODY"}  # BodyPartExamined is none of the table's
        apply_basic_profile(whole, pseudonyms=Pseudonyms(b"k" * 32))
        assert [mark for mark in _found(marks, str(whole).encode()) if mark not in outside] == []
    else:
        assert _found(marks, str(copied_elements.allowed_part(whole)).encode()) == []


def test_planted_a_table_that_skips_sequences_is_noticed(
    filled: tuple[Dataset, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, marks = filled
    whole = dataset.copy()
    del whole.PixelData
    kept = Dataset()
    kept.PatientName = "Zq7310000^A"
    whole.SharedFunctionalGroupsSequence = [kept]
    monkeypatch.setattr("privacy.basic_profile._items", lambda dataset: [])
    apply_basic_profile(whole, pseudonyms=Pseudonyms(b"k" * 32))
    assert _found(["Zq7310000"], str(whole).encode()) == ["Zq7310000"]


def test_words_that_are_not_the_standards_own_are_not_copied_even_in_an_element_that_is() -> None:
    header = Dataset()
    header.ImageType, header.PatientPosition = ["ORIGINAL", "ZWICKELBAUER"], "ZWICKELBAUER"
    header.RescaleType, header.ScanningSequence = "DOE JANE", ["SE", "QZ88123"]
    header.PatientOrientation, header.RescaleSlope = ["L", "DOE"], 2
    group = Dataset()
    group.CTImageFrameTypeSequence = [Dataset()]
    group.CTImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "QZ88123"]
    header.SharedFunctionalGroupsSequence = [group]
    copied = copied_elements.allowed_part(header)
    assert not _found(["ZWICKELBAUER", "DOE", "QZ88123"], str(copied).encode())
    assert copied.ImageType == "ORIGINAL" and copied.ScanningSequence == "SE" and copied.RescaleSlope == 2


def test_no_element_that_is_copied_or_read_for_its_image_stands_in_the_table_by_mistake() -> None:
    from pydicom.datadict import tag_for_keyword

    table = {tag for tag in table_tags() if len(tag) == 2}
    named = {name: tag_for_keyword(name) for name in copied_elements.COPIED}
    assert len(table) > 600 and all(named.values())
    assert [name for name, tag in named.items() if (tag >> 16, tag & 0xFFFF) in table] == []
    in_both = {name for name in KEPT if (tag_for_keyword(name) >> 16, tag_for_keyword(name) & 0xFFFF) in table}
    assert in_both <= {"StudyDescription", "SeriesDescription", "ProtocolName"}  # looked at, never kept
    assert not set(copied_elements.COPIED) & set(IDENTIFYING)


def test_a_copy_is_a_valid_image_that_says_what_was_done(
    tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    (tmp_path / "in").mkdir()
    make_dicom("CT", ramp, PixelSpacing=[0.5, 0.5], SeriesDescription="CHEST of Mr Doe").save_as(
        tmp_path / "in" / "a.dcm"
    )
    copy_deidentified(site, tmp_path / "in", tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("*.dcm")
    copy = pydicom.dcmread(path)
    np.testing.assert_array_equal(copy.pixel_array, ramp)
    assert copy.PatientIdentityRemoved == "YES" and copy.LongitudinalTemporalInformationModified == "REMOVED"
    codes = [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105"] and "PS3.15 table E.1-1" in copy.DeidentificationMethod
    assert (copy.SeriesDescription, copy.BodyPartExamined, copy.BurnedInAnnotation) == ("CT", "CHEST", "NO")
    assert copy.SOPInstanceUID == copy.file_meta.MediaStorageSOPInstanceUID and copy.SOPInstanceUID.startswith("2.25.")
    assert "RecognizableVisualFeatures" not in copy and copy.preamble == b"\0" * 128
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and "a.dcm" not in str(path) and "P-1" not in str(path)


def test_copies_under_one_key_fit_each_other_and_the_store_and_none_elsewhere(
    tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    (tmp_path / "in").mkdir()
    frame = "1.2.3.99"
    for number in range(2):
        dataset = make_dicom("CT", ramp + np.int16(number), FrameOfReferenceUID=frame, SeriesInstanceUID="1.2.3.4")
        dataset.save_as(tmp_path / "in" / f"{number}.dcm")
    SiteKeys.create(tmp_path / "other")
    copies = []
    for owner, out in ((site, "one"), (site, "two"), (tmp_path / "other", "three")):
        copy_deidentified(owner, tmp_path / "in", tmp_path / out)
        copies.append(
            {path.relative_to(tmp_path / out): pydicom.dcmread(path) for path in (tmp_path / out).rglob("*.dcm")}
        )
    assert copies[0].keys() == copies[1].keys() and not copies[0].keys() & copies[2].keys()
    (series,) = {one.SeriesInstanceUID for one in copies[0].values()}
    (shared,) = {one.FrameOfReferenceUID for one in copies[0].values()}
    assert frame not in shared and series != shared and len({one.SOPInstanceUID for one in copies[0].values()}) == 2
    ingest(site, tmp_path / "in")
    assert {one.PatientID for one in copies[0].values()} == set(RecordStore.open(site).patients())


def test_a_copy_is_read_like_its_original(tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray) -> None:
    (tmp_path / "in").mkdir()
    values = (ramp + 1000).astype(np.uint16)
    given = [
        make_dicom("MR", values, SeriesDescription="AX FLAIR knee of DOE", ImageOrientationPatient=[-1, 0, 0, 0, 1, 0]),
        make_dicom(
            "DX",
            values,
            PhotometricInterpretation="MONOCHROME1",
            WindowCenter=1500,
            WindowWidth=2000,
            ViewPosition="PA",
        ),
        make_dicom("CT", ramp, RescaleSlope=2, RescaleIntercept=-100),
        make_dicom("CT", np.stack([ramp, ramp + np.int16(9)])),
    ]
    for number, dataset in enumerate(given):
        dataset.save_as(tmp_path / "in" / f"{number}.dcm", enforce_file_format=True)
    rules = ReadingRules(head_scans="allow")
    copy_deidentified(site, tmp_path / "in", tmp_path / "out", rules=rules)
    original = [one for path in sorted((tmp_path / "in").iterdir()) for one in dicom.read(path, rules=rules)]
    copied = [one for path in (tmp_path / "out").rglob("*.dcm") for one in dicom.read(path, rules=rules)]
    assert len(original) == len(copied) == 5
    for one in original:
        assert any(
            (one.flow, one.sequence, one.view_position, one.body_part)
            == (two.flow, two.sequence, two.view_position, two.body_part)
            and np.array_equal(one.array, two.array)
            for two in copied
        )


def test_nothing_rides_along_in_a_compressed_stream_or_in_unused_bits(
    tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    (tmp_path / "in").mkdir()
    values = ((ramp + 1000) & 0x0FFF).astype(np.uint16)
    hidden = values | np.where(np.arange(64)[:, None] % 7 == 0, 0x8000, 0).astype(np.uint16)  # an old overlay
    make_dicom("DX", hidden, BitsStored=12, HighBit=11).save_as(tmp_path / "in" / "bits.dcm", enforce_file_format=True)
    packed = make_dicom("DX", values, BitsStored=12, HighBit=11, StudyInstanceUID="1.2.77")
    packed.compress(JPEG2000Lossless)
    packed.PixelData = packed.PixelData.replace(b"\xff\x52", b"\xff\x64\x00\x0cZQCOMMENT\x00\xff\x52", 1)
    packed.save_as(tmp_path / "in" / "packed.dcm", enforce_file_format=True)
    assert b"ZQCOMMENT" in (tmp_path / "in" / "packed.dcm").read_bytes()
    report = copy_deidentified(site, tmp_path / "in", tmp_path / "out")
    copies = list((tmp_path / "out").rglob("*.dcm"))
    assert len(copies) == report.copied and report.copied + report.refused == 2 and report.copied >= 1
    for path in copies:
        assert b"ZQCOMMENT" not in path.read_bytes()
        np.testing.assert_array_equal(np.frombuffer(pydicom.dcmread(path).PixelData, "<u2").reshape(64, 64), values)


def test_what_ingest_refuses_is_left_out_and_heads_are_defaced(tmp_path: Path, site: Path, make_dicom: Make) -> None:
    (tmp_path / "in").mkdir()
    axial = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [2.6, 2.6], "BodyPartExamined": "HEAD"}
    make_dicom("CT", _head(), **axial).save_as(tmp_path / "in" / "head.dcm")
    make_dicom("US", _head()).save_as(tmp_path / "in" / "us.dcm")
    make_dicom("CT", _head(), BurnedInAnnotation="YES").save_as(tmp_path / "in" / "burned.dcm")
    make_dicom("CT", _head(), PatientID="").save_as(tmp_path / "in" / "nobody.dcm")
    report = copy_deidentified(site, tmp_path / "in", tmp_path / "out")
    assert (report.copied, report.defaced) == (1, 1)
    assert report.reasons == {"burned-in-annotation": 1, "no-flow": 1, "no-patient-id": 1}
    (path,) = (tmp_path / "out").rglob("*.dcm")
    copy = pydicom.dcmread(path)
    assert (copy.pixel_array[:4] == -1000).all() and copy.pixel_array[32, 32] == 40
    assert copy.RecognizableVisualFeatures == "NO"
    assert "113102" in [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]
    again = dicom.read(path)[0].array
    np.testing.assert_array_equal(again, copy.pixel_array)  # what is defaced is not defaced again


def test_a_copy_never_lands_in_its_source_or_in_a_folder_that_holds_something(
    tmp_path: Path, site: Path, make_dicom: Make, ramp: np.ndarray
) -> None:
    (tmp_path / "in").mkdir()
    make_dicom("CT", ramp).save_as(tmp_path / "in" / "a.dcm")
    for out in (tmp_path / "in", tmp_path / "in" / "below"):
        with pytest.raises(SourceUnusable, match="inside its source"):
            copy_deidentified(site, tmp_path / "in", out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(SourceUnusable, match="not empty"):
        copy_deidentified(site, tmp_path / "in", tmp_path / "full")


def test_keyed_uids_are_valid_and_equal_for_equal_uids_only() -> None:
    one, other = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    made = [keyed_uid(one, "1.2.3"), keyed_uid(one, "1.2.4"), keyed_uid(other, "1.2.3")]
    assert len(set(made)) == 3 and made[0] == keyed_uid(one, " 1.2.3 ")
    assert all(pydicom.uid.UID(uid).is_valid and len(uid) <= 64 for uid in made)


def test_the_command_copies_and_prints_figures(tmp_path: Path, make_dicom: Make, ramp: np.ndarray) -> None:
    import fedm2g

    runner = CliRunner()
    assert runner.invoke(fedm2g.app, ["site", "init", "--name", "a", "--dir", str(tmp_path / "site")]).exit_code == 0
    (tmp_path / "in").mkdir()
    make_dicom("CT", ramp).save_as(tmp_path / "in" / "a.dcm")
    words = ["site", "deidentify", "--dir", str(tmp_path / "site"), "--source", str(tmp_path / "in")]
    result = runner.invoke(fedm2g.app, [*words, "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"copied": 1, "defaced": 0, "refused": 0, "reasons": {}}


def test_genuine_files_are_copied_as_they_are_read(dicom_samples: Path, site: Path, tmp_path: Path) -> None:
    names = "ct_explicit_le_128 ct_ge_head_tilt mr_rle_64 mr_explicit_be_64 cr_cspine_thumb_16 sr_report".split()
    (tmp_path / "in").mkdir()
    for name in [*names, "edge_mr_truncated"]:
        shutil.copy(dicom_samples / f"{name}.dcm", tmp_path / "in")
    report = copy_deidentified(site, tmp_path / "in", tmp_path / "out")
    assert (report.copied, report.refused) == (4, 3) and report.reasons["duplicate"] == 1
    dates = [str(pydicom.dcmread(path).get("PatientBirthDate", "")) for path in (tmp_path / "out").rglob("*.dcm")]
    assert set(dates) == {""}

"""Faces go and brains stay, in slices and volumes; what cannot be told is treated as if it showed a face."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from client.records import dicom, image, nifti
from client.records.deface import DEPTH_MM, erase, face_of_slice, face_of_volume, is_head
from client.records.errors import Refused
from client.records.orientation import Turn, is_axial
from client.records.reasons import Quarantined, Reason
from client.records.rules import ReadingRules
from client.records.sources import IndexRow

Make = Callable[..., Dataset]
Encode = Callable[[Dataset], bytes]
REFUSE, ALLOW = ReadingRules(head_scans="refuse"), ReadingRules(head_scans="allow")
AXIAL = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [2.0, 2.0], "BodyPartExamined": "HEAD"}


def _head(size: int = 128, step: float = 2.0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A CT of a head with a nose and eyes at the top, and where its parts are. step: mm a pixel."""
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2.0) * step
    outer = np.hypot(x / 75.0, y / 95.0)
    parts = {
        "brain": np.hypot(x / 62.0, y / 80.0) < 1.0,
        "nose": (np.abs(x) < 9.0) & (y < -90.0) & (y > -118.0),
        "skin in front": (outer < 1.0) & (np.hypot(x / 68.0, y / 88.0) >= 1.0) & (y < -40.0),
        "skin behind": (outer < 1.0) & (np.hypot(x / 68.0, y / 88.0) >= 1.0) & (y > 40.0),
    }
    values = np.full((size, size), -1000.0)
    values[outer < 1.0] = 30.0
    values[np.hypot(x / 69.0, y / 89.0) < 1.0] = 900.0
    values[parts["brain"]] = 40.0
    values[parts["nose"]] = 20.0
    return values, parts


def test_an_axial_slice_loses_its_front_and_keeps_its_brain_and_its_back() -> None:
    values, parts = _head()
    clean = erase(values, face_of_slice(values, ct=True, spacing=(2.0, 2.0), axial=True), ct=True, air=-1024.0)
    assert (clean[parts["nose"]] == -1024).all() and (clean[parts["skin in front"]] == -1024).all()
    assert (clean[parts["brain"]] == 40).mean() >= 0.99
    assert (clean[parts["skin behind"]] == values[parts["skin behind"]]).all()


def test_a_slice_that_does_not_say_how_it_lies_loses_its_rim_all_around() -> None:
    values, parts = _head()
    for quarter in range(4):
        turned = np.rot90(values, quarter)
        clean = erase(turned, face_of_slice(turned, ct=True, spacing=(2.0, 2.0), axial=False), ct=True, air=-1024.0)
        clean = np.rot90(clean, -quarter)
        for part in ("nose", "skin in front", "skin behind"):
            assert (clean[parts[part]] == -1024).all()
        assert (clean[parts["brain"]] == 40).mean() >= 0.97


def test_planted_a_depth_of_nothing_leaves_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.records.deface.DEPTH_MM", 0.0)
    values, parts = _head()
    clean = erase(values, face_of_slice(values, ct=True, spacing=(2.0, 2.0), axial=True), ct=True, air=-1024.0)
    assert (clean[parts["skin in front"]] != -1024).mean() > 0.5 and DEPTH_MM > 0.0


def _volume() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, z) of 3 mm, right-front-head: a head with a face below its brain; and where face and brain are."""
    x, y, z = np.meshgrid(*[(np.arange(80) - 39.5) * 3.0] * 3, indexing="ij")
    skull = (x / 75.0) ** 2 + (y / 95.0) ** 2 + ((z - 20.0) / 85.0) ** 2 < 1.0
    jaw = (np.abs(x) < 55.0) & (y > -20.0) & (y < 85.0) & (z < 20.0) & (z > -100.0)
    nose = (np.abs(x) < 10.0) & (y >= 80.0) & (y < 115.0) & (np.abs(z + 30.0) < 20.0)
    brain = (x / 60.0) ** 2 + (y / 78.0) ** 2 + ((z - 25.0) / 65.0) ** 2 < 1.0
    volume = np.where(skull | jaw | nose, 30.0, -1000.0)
    volume[brain] = 40.0
    return volume, (jaw | nose) & ~skull & (y > 20.0), brain


def test_a_volume_loses_its_face_and_keeps_its_brain() -> None:
    volume, face, brain = _volume()
    clean = erase(volume, face_of_volume(volume, ct=True, spacing=(3.0, 3.0, 3.0)), ct=True, air=-1024.0)
    assert face.sum() > 5000 and (clean[face] == -1024).all()
    assert (clean[brain] == 40).mean() >= 0.97


def test_a_volume_without_a_vertex_is_defaced_slice_by_slice() -> None:
    volume, face, brain = _volume()
    cut = volume[:, :, :55]
    clean = erase(cut, face_of_volume(cut, ct=True, spacing=(3.0, 3.0, 3.0)), ct=True, air=-1024.0)
    assert (clean[brain[:, :, :55]] == 40).mean() >= 0.9
    front = np.argmax((cut > -500)[:, ::-1, :], axis=1)  # how far the surface lies from the front
    assert (np.argmax((clean > -500)[:, ::-1, :], axis=1)[front > 0] >= front[front > 0]).mean() >= 0.99


@pytest.mark.parametrize("kind", ["CT", "MR"])
def test_a_dicom_head_is_defaced_refused_or_allowed(make_dicom: Make, encode: Encode, kind: str) -> None:
    values, parts = _head()
    pixels = values.astype(np.int16) if kind == "CT" else np.clip(values + 1000, 0, None).astype(np.uint16)
    content = encode(make_dicom(kind, pixels, **AXIAL))
    whole = dicom.read(content, image_size=128, rules=ALLOW)[0].array
    clean = dicom.read(content, image_size=128)[0].array
    assert (clean[parts["nose"]] == clean.min()).all() and (whole[parts["nose"]] > whole.min()).all()
    assert (clean[parts["brain"]] == whole[parts["brain"]]).mean() >= 0.98
    assert dicom.read(content, rules=REFUSE) == Quarantined(Reason.HEAD_SCAN)


@pytest.mark.parametrize(("word", "taken"), [("deface", 1), ("refuse", 0), ("allow", 1)])
def test_the_sites_policy_decides_at_ingest(make_dicom: Make, tmp_path: Path, word: str, taken: int) -> None:
    import fedm2g
    from client.records.store import RecordStore

    run = partial(CliRunner().invoke, fedm2g.app)
    site, source = tmp_path / "site", tmp_path / "in"
    assert run(["site", "init", "--name", "a", "--dir", str(site)]).exit_code == 0
    policy = (site / "site.toml").read_text().replace('head_scans = "deface"', f'head_scans = "{word}"')
    (site / "site.toml").write_text(policy)
    source.mkdir()
    values, parts = _head()
    make_dicom("CT", values.astype(np.int16), **AXIAL).save_as(source / "a.dcm")
    options = ["--dir", str(site), "--source", str(source), "--image-size", "128", "--workers", "1", "--json"]
    figures = json.loads(run(["site", "ingest", *options]).stdout)
    assert figures["ingested"] == taken and figures["reasons"] == ({} if taken else {"head-scan": 1})
    if taken:
        image_ = RecordStore.open(site).read_flow("ct")[2][0]
        assert (image_[parts["nose"]] == -1024).all() == (word == "deface")


def test_front_is_front_however_a_slice_was_stored(make_dicom: Make, encode: Encode) -> None:
    values, parts = _head()
    flipped = values[::-1].astype(np.int16)  # rows run from back to front
    content = encode(make_dicom("CT", flipped, **AXIAL | {"ImageOrientationPatient": [1, 0, 0, 0, -1, 0]}))
    clean = dicom.read(content, image_size=128)[0].array
    assert (clean[parts["nose"]] == -1024).all() and (clean[parts["skin behind"]] != -1024).mean() > 0.9


def test_a_header_that_says_no_face_can_be_seen_is_believed(make_dicom: Make, encode: Encode) -> None:
    values, _ = _head()
    content = encode(make_dicom("CT", values.astype(np.int16), RecognizableVisualFeatures="NO", **AXIAL))
    np.testing.assert_array_equal(dicom.read(content, image_size=128)[0].array, values.astype(np.int16))


def test_a_head_that_does_not_say_so_is_found_by_size_and_skull() -> None:
    head, _ = _head()
    assert is_head("", "CT", head, (2.0, 2.0)) and is_head("brain", "MR", head, None)
    assert not is_head("", "CT", np.where(head > -500, 40.0, -1000.0), (2.0, 2.0))  # no skull: an abdomen
    assert not is_head("", "CT", head, (5.0, 5.0)) and not is_head("", "CT", head, None)
    assert not is_head("chest", "CT", head, (2.0, 2.0)) and not is_head("head", "DX", head, (2.0, 2.0))


def test_a_head_in_which_nothing_is_found_is_refused(make_dicom: Make, encode: Encode) -> None:
    dots = np.full((64, 64), -1000, np.int16)
    dots[::9, ::9] = 40
    assert dicom.read(encode(make_dicom("CT", dots, **AXIAL))) == Quarantined(Reason.HEAD_NOT_DEFACED)
    with pytest.raises(Refused):
        face_of_volume(np.full((8, 8, 8), -1000.0), ct=True, spacing=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("part", ["head", "brain (skull-stripped, MNI space)"])
def test_a_picture_of_a_head_loses_its_rim_unless_its_row_says_that_it_has_no_face(part: str) -> None:
    from io import BytesIO

    from PIL import Image

    values, parts = _head()
    stream = BytesIO()
    Image.fromarray(np.clip(values / 4 + 60, 0, 255).astype(np.uint8)).save(stream, "PNG")
    row = IndexRow(patient_id="p", modality="mri", path="a.png", view_or_sequence="axial T1W", body_part=part)
    whole = image.read(stream.getvalue(), row, image_size=128, rules=ALLOW)[0].array
    clean = image.read(stream.getvalue(), row, image_size=128)[0].array
    assert np.array_equal(whole, clean) == ("stripped" in part)
    assert ((clean[parts["skin in front"]] == 0).all()) == ("stripped" not in part)
    assert "stripped" in part or image.read(stream.getvalue(), row, rules=REFUSE) == Quarantined(Reason.HEAD_SCAN)


def test_a_nifti_head_is_defaced_unless_its_name_says_that_it_was_already() -> None:
    volume, face, _ = _volume()
    content = nib.Nifti1Image(volume.astype(np.int16), np.diag([3.0, 3.0, 3.0, 1.0])).to_bytes()
    clean, whole = (
        nifti.read(
            content, place=f"sub-01/head_{word}_ct.nii", image_size=80, rules=ReadingRules(burned_in_text="allow")
        )
        for word in ("raw", "defaced")
    )
    assert len(clean) == len(whole) == nifti.SLICES
    lost = [one.array.astype(int) - two.array for one, two in zip(whole, clean, strict=True)]
    assert all((difference[:30] > 500).any() and (difference[40:] == 0).mean() > 0.99 for difference in lost)
    assert nifti.read(content, place="sub-01/head_raw_ct.nii", rules=REFUSE) == Quarantined(Reason.HEAD_SCAN)


def test_a_turn_can_be_undone_and_axial_is_what_the_header_says() -> None:
    plane = np.arange(12).reshape(3, 4)
    for bits in range(8):
        turn = Turn(bool(bits & 1), bool(bits & 2), bool(bits & 4))
        np.testing.assert_array_equal(turn.undo(turn.apply(plane)), plane)
    assert is_axial([1, 0, 0, 0, 1, 0]) and is_axial([-0.98, 0, 0.2, 0, -1, 0])
    assert not is_axial([0, 1, 0, 0, 0, -1]) and not is_axial(None) and not is_axial([0] * 6)

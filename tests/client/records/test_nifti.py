"""Volumes become axial slices that lie as radiologists look at them, whatever way they were stored."""

from __future__ import annotations

import gzip
import itertools
import json

import nibabel as nib
import numpy as np
import pytest

from client.records import nifti
from client.records.reasons import Quarantined, Reason


def _file(volume: np.ndarray, affine: np.ndarray | None = None) -> bytes:
    return nib.Nifti1Image(volume, affine).to_bytes()


def _volume() -> np.ndarray:
    """Axes right, anterior, superior; a bright block at the patient's right front, in every slice."""
    volume = np.zeros((64, 64, 20), np.int16)
    volume[-16:, -16:, :] = 1000
    volume[0, 0, :] = -1000
    return volume


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_the_patients_right_is_left_in_the_image_and_the_front_is_up(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    stored = np.transpose(_volume(), order)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign
        if sign < 0:
            stored = np.flip(stored, axis)
            affine[world, 3] += stored.shape[axis] - 1
    readings = nifti.read(_file(stored, affine), place="sub-01/sub-01_ct.nii")
    assert len(readings) == nifti.SLICES
    for reading in readings:
        assert reading.flow == "ct"
        assert (reading.array[:16, :16] == 1000).all() and (reading.array == 1000).sum() == 256


@pytest.mark.parametrize(
    ("place", "said", "flow"),
    [
        ("sub-01/anat/sub-01_T1w.nii.gz", {}, "mri_t1"),
        ("patient12/study2_T2W.nii.gz", {}, "mri_t2"),
        ("patient12/study2_FLAIR.nii.gz", {}, "mri_flair"),
        ("sub-01/scan.nii", {"Modality": "CT"}, "ct"),
        ("sub-01/scan.nii", {"SeriesDescription": "AX T2 TSE"}, "mri_t2"),
        (
            "x.nii",
            {"PatientID": "7", "ScanningSequence": "IR", "RepetitionTime": 9, "EchoTime": 0.12, "InversionTime": 2.5},
            "mri_flair",
        ),
    ],
)
def test_name_and_sidecar_decide_the_flow(place: str, said: dict, flow: str) -> None:
    content = _file(_volume(), np.eye(4))
    content = gzip.compress(content) if place.endswith(".gz") else content
    assert {reading.flow for reading in nifti.read(content, place=place, sidecar=json.dumps(said).encode())} == {flow}


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        (_file(_volume()), "sub-01_ct.nii", Reason.UNKNOWN_ORIENTATION),
        (_file(_volume(), np.eye(4)), "scan_ct.nii", Reason.NO_PATIENT),
        (_file(_volume(), np.eye(4)), "patients/scan_ct.nii", Reason.NO_PATIENT),
        (_file(_volume(), np.eye(4)), "sub-01_dwi.nii", Reason.UNKNOWN_SEQUENCE),
        (_file(np.zeros((64, 64, 4, 5), np.int16), np.eye(4)), "sub-01_ct.nii", Reason.NOT_A_VOLUME),
        (_file(np.zeros((64, 64, 4), np.int16), np.eye(4)), "sub-01_ct.nii", Reason.BLANK),
        (gzip.compress(_file(_volume(), np.eye(4)))[:200], "sub-01_ct.nii.gz", Reason.PIXELS_UNREADABLE),
        (b"\0" * 400, "sub-01_ct.nii", Reason.DAMAGED),
    ],
)
def test_what_is_no_use_is_refused_with_its_reason(content: bytes, place: str, reason: Reason) -> None:
    assert nifti.read(content, place=place) == Quarantined(reason)

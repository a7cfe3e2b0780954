"""Makes valid DICOM files of any make for the tests of the records room."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from client.records.store import RecordStore
from privacy.keys import SiteKeys

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
}
MakeDicom = Callable[..., Dataset]


def opened(site: Path) -> tuple[RecordStore, list[str], list[str]]:
    """A site's store, the texts in it, and all that is filed about its records."""
    store = RecordStore.open(site)
    rows = [row for pseudonym in store.patients() for row in store.records(pseudonym)]
    return store, [store.text(row.record_id) for row in rows if row.flow == "text"], [str(vars(row)) for row in rows]


def _dataset(modality: str, pixels: np.ndarray, **elements: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(CLASSES.get(modality, "1.2.840.10008.5.1.4.1.1.2"))
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID = modality, "P-1"
    dataset.StudyInstanceUID, dataset.AccessionNumber = generate_uid(), "A-1"
    frames = pixels.shape[0] if pixels.ndim == 3 else None
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if frames is not None:
        dataset.NumberOfFrames = frames
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if modality == "CT":
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0 if pixels.dtype.kind == "i" else -1024
    if modality == "MR":
        dataset.SeriesDescription = "AX T1 SE"
    dataset.PixelData = pixels.tobytes()
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


@pytest.fixture
def make_dicom() -> MakeDicom:
    """`make_dicom(modality, pixels, **elements)`: a data set; an element given as None is left out."""
    return _dataset


@pytest.fixture
def encode() -> Callable[[Dataset], bytes]:
    """The bytes of a data set as a file."""

    def encoded(dataset: Dataset) -> bytes:
        stream = BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    return encoded


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site's folder that has its keys and nothing else."""
    folder = tmp_path / "site"
    SiteKeys.create(folder)
    return folder


@pytest.fixture
def ramp() -> np.ndarray:
    """(64, 64) int16 with a different value almost everywhere, -1000 to 2000."""
    return np.linspace(-1000, 2000, 64 * 64).reshape(64, 64).astype(np.int16)

"""Generated images are marked where a viewer, a PACS and a site's ingest look, and keep their values."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
import pytest
from PIL import Image

from protocol.intensity import to_unit
from protocol.study import CT_KNOTS, flow_spec
from protocol.synthetic import synthetic_dicom, synthetic_png


@pytest.fixture
def unit() -> np.ndarray:
    return np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)


def test_a_png_says_that_it_is_of_no_person_and_keeps_its_greys(unit: np.ndarray) -> None:
    with Image.open(BytesIO(synthetic_png(unit))) as picture:
        assert picture.mode == "L" and picture.info["Comment"].startswith("SYNTHETIC")
        np.testing.assert_allclose(np.asarray(picture) / 127.5 - 1.0, unit, atol=1 / 250)


def test_a_dicom_file_says_synthetic_everywhere_a_viewer_looks(unit: np.ndarray) -> None:
    dataset = pydicom.dcmread(BytesIO(synthetic_dicom(unit, flow_spec("ct"), identity="g/0/0")))
    assert list(dataset.ImageType) == ["DERIVED", "SECONDARY"] and dataset.ConversionType == "SYN"
    assert dataset.BurnedInAnnotation == "NO" and dataset.ContentQualification == "RESEARCH"
    assert str(dataset.PatientName) == dataset.PatientID == "SYNTHETIC"
    assert "SYNTHETIC" in dataset.SeriesDescription and dataset.SyntheticData == "YES"
    assert dataset.Modality == "CT" and dataset.pixel_array.shape == (8, 8)


def test_a_ct_keeps_its_hounsfield_units() -> None:
    units = np.array([unit for _, unit in CT_KNOTS] * 8, dtype=np.float32)[: 6 * 8].reshape(6, 8)
    dataset = pydicom.dcmread(BytesIO(synthetic_dicom(units, flow_spec("ct"), identity="g/0/0")))
    hounsfield = dataset.pixel_array.astype(float) * dataset.RescaleSlope + dataset.RescaleIntercept
    expected = np.array([value for value, _ in CT_KNOTS] * 8)[: 6 * 8].reshape(6, 8)
    np.testing.assert_allclose(hounsfield, expected, atol=1)


def test_the_window_of_a_radiograph_shows_its_whole_range(unit: np.ndarray) -> None:
    from pydicom.pixels import apply_windowing

    flow = flow_spec("xray")
    dataset = pydicom.dcmread(BytesIO(synthetic_dicom(unit, flow, identity="g/0/0")))
    shown = apply_windowing(dataset.pixel_array, dataset)  # 0..65535, of 16 stored bits
    np.testing.assert_allclose(shown * (4095 / 65535), dataset.pixel_array, atol=1)
    np.testing.assert_allclose(to_unit(dataset.pixel_array, flow.intensity), unit, atol=1e-3)


def test_two_different_images_of_one_seed_never_share_a_uid_and_one_image_always_has_the_same(unit: np.ndarray) -> None:
    def uids(image: np.ndarray) -> tuple[str, str]:
        dataset = pydicom.dcmread(BytesIO(synthetic_dicom(image, flow_spec("xray"), identity="g/7/0")))
        return dataset.SOPInstanceUID, dataset.SeriesInstanceUID

    assert uids(unit) == uids(unit)
    assert uids(unit)[0] != uids(-unit)[0] and uids(unit)[1] == uids(-unit)[1]


def test_a_site_refuses_to_ingest_it(unit: np.ndarray) -> None:
    from client.records import dicom
    from client.records.reasons import Quarantined, Reason

    read = dicom.read(synthetic_dicom(unit, flow_spec("ct"), identity="g/0/0"))
    assert isinstance(read, Quarantined) and read.reason is Reason.SYNTHETIC

"""DICOM comes in with the pixels that pydicom decodes and the laterality that the header states, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from client.records import dicom
from client.records.dicom_frames import frame_facts
from client.records.dicom_pixels import canonical, decoded_frames
from client.records.intensity import windowed
from client.records.quiet import quiet
from client.records.reasons import Quarantined, Reason

Make = Callable[..., Dataset]
Encode = Callable[[Dataset], bytes]

REFUSED = {
    "edge_emr_j2k_too_short": Reason.DAMAGED,
    "edge_missing_transfer_syntax": Reason.NO_TRANSFER_SYNTAX,
    "edge_mr_truncated": Reason.PIXELS_UNREADABLE,
    "edge_nm_jpeg_lossy_bits": Reason.NO_FLOW,
    "nm_jpeg_extended_12bit": Reason.NO_FLOW,
    "nm_jpegll_sv1": Reason.NO_FLOW,
    "sr_report": Reason.NO_FLOW,
    "ct_enhanced_multiframe": Reason.NOT_HOUNSFIELD,  # a blood-flow map in ml/100ml/s that calls itself CT
}
TAKEN = {
    "cr_cspine_thumb_16": "xray",
    "cr_extremity_j2k_lossless": "xray",
    "cr_extremity_j2k_lossy": "xray",
    "ct_explicit_le_128": "ct",
    "ct_explicit_le_512": "ct",
    "ct_ge_head_tilt": "ct",
    "ct_j2k_lossy_512": "ct",
    "ct_sbu_abdomen_contrast": "ct",
    "ct_sbu_chest_5mm": "ct",
    "edge_ct_j2k_pixelrep_mismatch": "ct",
    "edge_ct_j2k_vr_un": "ct",
    "mr_explicit_be_64": "mri_t2",
    "mr_explicit_le_64": "mri_t2",
    "mr_implicit_le_64": "mri_t2",
    "mr_j2k_lossless_64": "mri_t2",
    "mr_j2k_lossy_1024": "mri_t1",
    "mr_rle_64": "mri_t2",
}


def test_the_tables_name_every_genuine_file(dicom_samples: Path) -> None:
    assert {path.stem for path in dicom_samples.glob("*.dcm")} == REFUSED.keys() | TAKEN.keys()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_genuine_file_that_cannot_be_used_is_refused_with_the_true_reason(dicom_samples: Path, name: str) -> None:
    assert dicom.read(dicom_samples / f"{name}.dcm") == Quarantined(REFUSED[name])


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_a_genuine_file_gives_the_pixels_that_pydicom_decodes(dicom_samples: Path, name: str) -> None:
    content = (dicom_samples / f"{name}.dcm").read_bytes()
    with quiet():
        expected = pydicom.dcmread(dicom_samples / f"{name}.dcm").pixel_array
        header = dicom.open_header(content)
        (decoded,) = decoded_frames(header)
    assert decoded.dtype == expected.dtype
    np.testing.assert_array_equal(decoded, expected)
    readings = dicom.read(content)
    assert isinstance(readings, list)
    assert [reading.flow for reading in readings] == [TAKEN[name]]


@pytest.mark.parametrize("name", sorted(name for name in TAKEN if TAKEN[name] == "ct"))
def test_genuine_ct_keeps_its_hounsfield_units(dicom_samples: Path, name: str) -> None:
    with quiet():
        full = pydicom.dcmread(dicom_samples / f"{name}.dcm")
        padding = full.pixel_array == full.get("PixelPaddingValue", -30000)
        expected = full.pixel_array * float(full.RescaleSlope) + float(full.RescaleIntercept)
        header = dicom.open_header((dicom_samples / f"{name}.dcm").read_bytes())
        (stored,) = decoded_frames(header)
        plane = canonical(header, stored, frame_facts(header, 0), ct=True)
    np.testing.assert_array_equal(plane, np.where(padding, -1024.0, np.maximum(expected, -1024.0)))


def test_lossless_codings_of_one_image_give_one_reading(dicom_samples: Path) -> None:
    names = ("mr_explicit_le_64", "mr_implicit_le_64", "mr_explicit_be_64", "mr_rle_64", "mr_j2k_lossless_64")
    arrays = [dicom.read(dicom_samples / f"{name}.dcm")[0].array for name in names]
    for array in arrays[1:]:
        np.testing.assert_array_equal(array, arrays[0])


def test_ct_of_the_stores_size_is_kept_to_the_unit(make_dicom: Make, encode: Encode, ramp: np.ndarray) -> None:
    np.testing.assert_array_equal(dicom.read(encode(make_dicom("CT", ramp)))[0].array, ramp)
    unsigned = (ramp + 1024).astype(np.uint16)
    np.testing.assert_array_equal(dicom.read(encode(make_dicom("CT", unsigned)))[0].array, ramp)


def test_ct_padding_outside_the_scanners_circle_is_air(make_dicom: Make, encode: Encode, ramp: np.ndarray) -> None:
    padded = ramp.copy()
    padded[:8] = -2000
    array = dicom.read(encode(make_dicom("CT", padded, PixelPaddingValue=-2000)))[0].array
    assert (array[:8] == -1024).all()
    np.testing.assert_array_equal(array[8:], ramp[8:])


def test_area_resampling_averages_hounsfield_units(make_dicom: Make, encode: Encode) -> None:
    fine = np.random.default_rng(0).integers(-1000, 1000, (256, 256)).astype(np.int16)
    array = dicom.read(encode(make_dicom("CT", fine)))[0].array
    np.testing.assert_allclose(array, fine.reshape(64, 4, 64, 4).mean((1, 3)), atol=0.51)


def test_a_lying_image_is_letterboxed_with_air(make_dicom: Make, encode: Encode) -> None:
    array = dicom.read(encode(make_dicom("CT", np.full((32, 64), 40, np.int16) + np.eye(32, 64, dtype=np.int16))))[
        0
    ].array
    assert (array[:16] == -1024).all() and (array[48:] == -1024).all() and (array[16:48] >= 40).all()


def test_pixels_that_are_not_square_are_made_so(make_dicom: Make, encode: Encode) -> None:
    tall = np.full((64, 64), 50, np.int16) + np.eye(64, dtype=np.int16)
    array = dicom.read(encode(make_dicom("CT", tall, PixelSpacing=[2.0, 1.0])))[0].array
    assert (array[:, :16] == -1024).all() and (array[:, 48:] == -1024).all() and (array[:, 16:48] > -1024).all()


def test_monochrome1_is_inverted_in_a_radiograph_and_never_in_ct(
    make_dicom: Make, encode: Encode, ramp: np.ndarray
) -> None:
    positive = (ramp + 1000).astype(np.uint16)
    dark = dicom.read(encode(make_dicom("CR", positive, PhotometricInterpretation="MONOCHROME1")))[0].array
    bright = dicom.read(encode(make_dicom("CR", positive)))[0].array
    np.testing.assert_allclose(dark, 4095 - bright, atol=1)
    assert bright[0, 0] < bright[-1, -1]
    np.testing.assert_array_equal(
        dicom.read(encode(make_dicom("CT", ramp, PhotometricInterpretation="MONOCHROME1")))[0].array, ramp
    )


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_window_is_the_standards(make_dicom: Make, encode: Encode, ramp: np.ndarray, function: str) -> None:
    pixels = (ramp + 1000).astype(np.uint16)
    given = make_dicom(
        "DX", pixels, WindowCenter=1400, WindowWidth=900, VOILUTFunction=function, BitsStored=12, HighBit=11
    )
    expected = pydicom.pixels.apply_windowing(pixels, given)  # onto 0..4095 for 12 bits
    np.testing.assert_allclose(windowed(pixels.astype(float), 1400, 900, function), expected, atol=1e-2)
    np.testing.assert_allclose(dicom.read(encode(given))[0].array, expected, atol=0.51)


def test_a_window_that_misses_the_image_gives_way_to_one_of_its_own(
    make_dicom: Make, encode: Encode, ramp: np.ndarray
) -> None:
    pixels = (ramp + 1000).astype(np.uint16)
    array = dicom.read(encode(make_dicom("DX", pixels, WindowCenter=30000, WindowWidth=10)))[0].array
    assert array.min() == 0 and array.max() == 4095 and len(np.unique(array)) > 1000


def test_modality_and_voi_tables_are_applied(make_dicom: Make, encode: Encode) -> None:
    pixels = np.tile(np.arange(64, dtype=np.uint16), (64, 1))
    modality, voi = Dataset(), Dataset()
    modality.LUTDescriptor, modality.ModalityLUTType = [64, 0, 16], "US"
    modality.LUTData = np.arange(63, -1, -1, dtype="<u2").tobytes()  # reverses
    voi.LUTDescriptor, voi.LUTData = [64, 0, 8], (np.arange(64, dtype="<u2") * 4).tobytes()
    given = make_dicom("DX", pixels, ModalityLUTSequence=Sequence([modality]), VOILUTSequence=Sequence([voi]))
    expected = np.rint((63 - pixels) * 4 / 255 * 4095)
    np.testing.assert_allclose(dicom.read(encode(given))[0].array, expected, atol=1)


def test_bits_above_those_stored_are_cleared(make_dicom: Make, encode: Encode, ramp: np.ndarray) -> None:
    clean = ((ramp + 1000) // 2).astype(np.uint16)
    overlaid = clean.copy()
    overlaid[10:20, 10:20] |= 0x8000  # an overlay of old: its text would stand in the image
    options = {"BitsStored": 12, "HighBit": 11}
    np.testing.assert_array_equal(
        dicom.read(encode(make_dicom("CR", overlaid, **options)))[0].array,
        dicom.read(encode(make_dicom("CR", clean, **options)))[0].array,
    )


# --- laterality -------------------------------------------------------------------------------------------------------

_DIRECTIONS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
_PLANES = {"axial": ("LR", "PA"), "coronal": ("LR", "FH"), "sagittal": ("PA", "FH")}


def _orientations() -> list[tuple[str, str, str]]:
    cases = []
    for plane, (first, second) in _PLANES.items():
        for one in first:
            for two in second:
                cases += [(plane, one, two), (plane, two, one)]
    return cases


@pytest.mark.parametrize(("plane", "along", "down"), _orientations())
def test_a_finding_ends_on_the_side_of_the_image_that_convention_says(
    make_dicom: Make, encode: Encode, plane: str, along: str, down: str
) -> None:
    """Paint where rows and columns both end, read, and find it where that corner of the patient belongs."""
    pixels = np.zeros((64, 64), np.int16)
    pixels[-16:, -16:] = 1000
    orientation = [*_DIRECTIONS[along], *_DIRECTIONS[down]]
    array = dicom.read(encode(make_dicom("CT", pixels, ImageOrientationPatient=orientation)))[0].array
    columns_end, rows_end = _PLANES[plane][0][0], _PLANES[plane][1][0]  # where columns and rows lead by convention
    painted = array[-1 if rows_end in (along, down) else 0, -1 if columns_end in (along, down) else 0]
    assert painted == 1000 and (array == 1000).sum() == 256


def test_an_image_that_does_not_say_how_it_lies_is_not_turned(
    make_dicom: Make, encode: Encode, ramp: np.ndarray
) -> None:
    for orientation in (None, [0, 0, 0, 0, 0, 0]):
        options = {} if orientation is None else {"ImageOrientationPatient": orientation}
        np.testing.assert_array_equal(dicom.read(encode(make_dicom("CT", ramp, **options)))[0].array, ramp)


def test_a_radiograph_seen_from_behind_is_turned_only_where_it_says_so(
    make_dicom: Make, encode: Encode, ramp: np.ndarray
) -> None:
    pixels = (ramp + 1000).astype(np.uint16)
    plain = dicom.read(encode(make_dicom("DX", pixels)))[0].array
    stated = dicom.read(encode(make_dicom("DX", pixels, PatientOrientation=["L", "F"])))[0].array
    behind = dicom.read(encode(make_dicom("DX", pixels, PatientOrientation=["R", "F"])))[0].array
    lateral = dicom.read(encode(make_dicom("DX", pixels, PatientOrientation=["P", "F"])))[0].array
    np.testing.assert_array_equal(stated, plain)
    np.testing.assert_array_equal(behind, plain[:, ::-1])
    np.testing.assert_array_equal(lateral, plain)


# --- many frames ------------------------------------------------------------------------------------------------------


def test_a_multi_frame_file_is_one_file_and_n_readings(make_dicom: Make, encode: Encode, ramp: np.ndarray) -> None:
    frames = np.stack([ramp, ramp[::-1], ramp // 2])
    readings = dicom.read(encode(make_dicom("CT", frames)))
    assert len(readings) == 3
    for reading, frame in zip(readings, frames, strict=True):
        np.testing.assert_array_equal(reading.array, frame)


def _group(**elements: object) -> Sequence:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return Sequence([item])


def test_enhanced_ct_takes_scale_and_orientation_from_each_frame(
    make_dicom: Make, encode: Encode, ramp: np.ndarray
) -> None:
    shared, first, second = Dataset(), Dataset(), Dataset()
    shared.PixelValueTransformationSequence = _group(RescaleIntercept=-1024, RescaleSlope=1, RescaleType="HU")
    shared.PlaneOrientationSequence = _group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    second.PixelValueTransformationSequence = _group(RescaleIntercept=-1000, RescaleSlope=1, RescaleType="HU")
    second.PlaneOrientationSequence = _group(ImageOrientationPatient=[-1, 0, 0, 0, 1, 0])
    given = make_dicom(
        "CT",
        np.stack([ramp + 1024, ramp + 1000]).astype(np.uint16),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
        RescaleSlope=None,
        RescaleIntercept=None,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence([first, second]),
    )
    one, two = dicom.read(encode(given))
    np.testing.assert_array_equal(one.array, ramp)
    np.testing.assert_array_equal(two.array, ramp[:, ::-1])


def test_enhanced_mr_takes_its_sequence_from_the_functional_groups(
    make_dicom: Make, encode: Encode, ramp: np.ndarray
) -> None:
    shared = Dataset()
    shared.MRTimingAndRelatedParametersSequence = _group(RepetitionTime=9000.0)
    shared.MREchoSequence = _group(EffectiveEchoTime=120.0)
    shared.MRModifierSequence = _group(InversionRecovery="YES", InversionTimes=[2500.0])
    given = make_dicom(
        "MR",
        np.stack([ramp, ramp]) + np.int16(1000),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1",
        SeriesDescription="BRAIN",
        SharedFunctionalGroupsSequence=Sequence([shared]),
    )
    assert [(reading.flow, reading.sequence) for reading in dicom.read(encode(given))] == [("mri_flair", "FLAIR")] * 2


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modality", "elements", "reason"),
    [
        ("CT", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Reason.SECONDARY_CAPTURE),
        ("CT", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, Reason.SECONDARY_CAPTURE),
        ("CR", {"BurnedInAnnotation": "YES"}, Reason.BURNED_IN),
        ("CT", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, Reason.SECONDARY_CAPTURE),
        ("CT", {"ImageType": ["ORIGINAL", "PRIMARY", "DOSE_INFO"]}, Reason.SECONDARY_CAPTURE),
        ("CT", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Reason.LOCALIZER),
        ("CT", {"RescaleType": "US"}, Reason.NOT_HOUNSFIELD),
        ("CT", {"ImageType": ["DERIVED", "PRIMARY", "PERFUSION", "RCBF"]}, Reason.NOT_HOUNSFIELD),
        ("CT", {"SyntheticData": "YES"}, Reason.SYNTHETIC),
        ("CT", {"PhotometricInterpretation": "PALETTE COLOR"}, Reason.COLOUR),
        ("MR", {"SeriesDescription": "ep2d diff ADC"}, Reason.UNKNOWN_SEQUENCE),
        ("MR", {"SeriesDescription": "survey"}, Reason.UNKNOWN_SEQUENCE),
        ("US", {}, Reason.NO_FLOW),
        ("SR", {}, Reason.NO_FLOW),
        ("DOC", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, Reason.NO_FLOW),
        ("CT", {"PixelData": None}, Reason.NO_PIXELS),
        ("CT", {"Rows": 128}, Reason.PIXELS_UNREADABLE),
        ("CT", {"Rows": 65535, "Columns": 65535}, Reason.TOO_LARGE),
        ("CT", {"Rows": 1}, Reason.TOO_SMALL),
    ],
)
def test_what_is_no_use_is_refused_with_its_reason(
    make_dicom: Make, encode: Encode, ramp: np.ndarray, modality: str, elements: dict, reason: Reason
) -> None:
    assert dicom.read(encode(make_dicom(modality, ramp, **elements))) == Quarantined(reason)


def test_unsigned_ct_without_an_intercept_is_not_taken_for_hounsfield(
    make_dicom: Make, encode: Encode, ramp: np.ndarray
) -> None:
    given = make_dicom("CT", (ramp + 1024).astype(np.uint16), RescaleSlope=None, RescaleIntercept=None)
    assert dicom.read(encode(given)) == Quarantined(Reason.NOT_HOUNSFIELD)


def test_a_blank_radiograph_is_refused(make_dicom: Make, encode: Encode) -> None:
    assert dicom.read(encode(make_dicom("CR", np.full((64, 64), 7, np.uint16)))) == Quarantined(Reason.BLANK)


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_is_taken_only_where_it_is_grey(make_dicom: Make, encode: Encode, planar: int) -> None:
    grey = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    for tint, expected in ((0, list), (90, Quarantined)):
        planes = np.stack([grey, grey, np.clip(grey.astype(int) + tint, 0, 255).astype(np.uint8)])
        pixels = planes if planar else np.moveaxis(planes, 0, -1)
        given = make_dicom("DX", grey, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=planar)
        given.PixelData = pixels.tobytes()
        result = dicom.read(encode(given))
        assert isinstance(result, expected)
        if tint:
            assert result == Quarantined(Reason.COLOUR)
        else:
            np.testing.assert_array_equal(result[0].array, dicom.read(encode(make_dicom("DX", grey)))[0].array)


def test_a_file_without_preamble_is_read(make_dicom: Make, ramp: np.ndarray, tmp_path: Path) -> None:
    for implicit, little in ((True, True), (False, True), (False, False)):
        path = tmp_path / "bare.dcm"
        bare = Dataset()
        bare.update(make_dicom("CT", ramp if little else ramp.byteswap()))
        if not little:
            bare["PixelData"].VR = "OW"
        pydicom.dcmwrite(path, bare, implicit_vr=implicit, little_endian=little)
        assert path.read_bytes()[128:132] != b"DICM"
        array = dicom.read(path)[0].array
        np.testing.assert_array_equal(array, ramp)


def test_any_prefix_of_a_file_is_read_or_refused_and_never_raises(
    make_dicom: Make, encode: Encode, ramp: np.ndarray
) -> None:
    content = encode(make_dicom("CT", ramp))
    for length in [*range(0, 1200, 41), len(content) // 2, len(content) - 1]:
        assert isinstance(dicom.read(content[:length]), Quarantined)


def test_a_decoder_that_breaks_in_any_way_costs_one_file_but_lack_of_memory_is_said(
    make_dicom: Make, encode: Encode, ramp: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As decoders written in Rust raise."""

    content = encode(make_dicom("CT", ramp))
    monkeypatch.setattr(pydicom.dataset.Dataset, "pixel_array", property(lambda self: (_ for _ in ()).throw(Panic())))
    assert dicom.read(content) == Quarantined(Reason.PIXELS_UNREADABLE)
    monkeypatch.setattr(
        pydicom.dataset.Dataset, "pixel_array", property(lambda self: (_ for _ in ()).throw(MemoryError()))
    )
    with pytest.raises(MemoryError):
        dicom.read(content)

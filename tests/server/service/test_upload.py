"""An upload becomes a square of numbers, or one sentence; bombs and broken files harm a process of their own."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000Lossless

from protocol.intensity import to_unit
from protocol.study import flow_spec
from protocol.synthetic import synthetic_dicom, synthetic_png
from server.service import decoding, dicom, picture
from server.service.decoding import Refused
from server.service.errors import RequestRefused, TooLarge
from server.service.limits import Limits
from server.service.squaring import squared
from server.service.upload import unit_image

LIMITS = Limits(max_pixels=1 << 20, decode_seconds=20)
PLANTED = "Doe^Planted^Name"


def decoded(content: bytes, flow: str = "xray", size: int = 64) -> np.ndarray:
    """In this process, for what is no danger: the process is tested with what is."""
    square = decoding._square(content, flow, size=size, max_pixels=LIMITS.max_pixels)
    return np.frombuffer(square, "<f4").reshape(size, size)


def dicom_file(pixels: np.ndarray, modality: str = "DX", **elements: Any) -> bytes:
    """A patient's file, with a planted name in every place that a reader might quote."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    dataset.PatientName, dataset.PatientID, dataset.StudyDescription = PLANTED, PLANTED, PLANTED
    dataset.Modality = modality
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.astype(f"<{pixels.dtype.kind}2").tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


@pytest.fixture
def stored(ramp: np.ndarray) -> np.ndarray:
    """The ramp as a radiograph's stored values."""
    return ((ramp + 1) * 2047.5).round().astype(np.uint16)


def test_what_the_generator_wrote_is_read_back_in_every_format(ramp: np.ndarray) -> None:
    for flow in ("xray", "ct", "mri_t2"):
        np.testing.assert_allclose(decoded(synthetic_png(ramp), flow), ramp, atol=1 / 250)
        made = synthetic_dicom(ramp, flow_spec(flow), identity="g/0/0")
        np.testing.assert_allclose(decoded(made, flow), ramp, atol=0.01)


def test_the_process_gives_what_the_decoder_gives(ramp: np.ndarray) -> None:
    content = synthetic_dicom(ramp, flow_spec("ct"), identity="g/0/0")
    np.testing.assert_array_equal(unit_image(content, flow_spec("ct"), size=64, limits=LIMITS), decoded(content, "ct"))


def test_the_process_follows_the_curve_that_the_generator_learnt(ramp: np.ndarray) -> None:
    steep = flow_spec("ct", ((-1024.0, -1.0), (0.0, -0.9), (100.0, 0.9), (3000.0, 1.0)))
    content = synthetic_dicom(ramp, steep, identity="g/0/0")
    np.testing.assert_allclose(unit_image(content, steep, size=64, limits=LIMITS), ramp, atol=0.02)
    assert np.abs(unit_image(content, flow_spec("ct"), size=64, limits=LIMITS) - ramp).mean() > 0.1


def test_pictures_of_every_grey_kind_mean_the_same(ramp: np.ndarray) -> None:
    grey = ((ramp + 1) * 127.5).round().astype(np.uint8)
    image = Image.fromarray(grey)
    for kind in (image, image.convert("LA"), image.convert("RGB"), Image.fromarray(grey.astype(np.uint16) * 257)):
        np.testing.assert_allclose(decoded(_saved(kind, "PNG")), ramp, atol=0.01)
    assert np.abs(decoded(_saved(image, "JPEG", quality=95)) - ramp).mean() < 0.02


def test_the_aspect_is_kept_and_the_rest_is_black() -> None:
    tall = np.full((64, 32), 200, np.uint8)
    tall[0, 0] = 10
    square = decoded(_saved(Image.fromarray(tall), "PNG"))
    assert (square[:, :16] == -1).all() and (square[:, 48:] == -1).all() and (square[8:, 16:48] > 0.4).all()
    wide = squared(np.ones((10, 10), np.float32), size=8, least=0.0, spacing=(1.0, 2.0))
    assert wide[:2].sum() == wide[6:].sum() == 0 and (wide[2:6] == 1).all()


def test_shrinking_averages() -> None:
    checks = np.indices((128, 128)).sum(0) % 2
    np.testing.assert_allclose(squared(checks.astype(np.float32), size=32, least=0.0), 0.5)


def test_a_radiograph_is_seen_through_its_window_and_the_right_way_round(stored: np.ndarray, ramp: np.ndarray) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    np.testing.assert_allclose(decoded(dicom_file(stored, **window)), ramp, atol=0.01)
    inverted = decoded(dicom_file(stored, PhotometricInterpretation="MONOCHROME1", **window))
    np.testing.assert_allclose(inverted, -ramp, atol=0.01)
    narrow = decoded(dicom_file(stored, WindowCenter=2048, WindowWidth=1000))
    assert (narrow == 1).mean() > 0.2 and (narrow == -1).mean() > 0.2
    exact = decoded(dicom_file(stored, WindowCenter=2047.5, WindowWidth=4095, VOILUTFunction="LINEAR_EXACT"))
    np.testing.assert_allclose(exact, ramp, atol=0.01)


def test_without_a_window_the_images_own_range_is_shown(stored: np.ndarray, ramp: np.ndarray) -> None:
    np.testing.assert_allclose(decoded(dicom_file(stored // 8 + 100)), ramp, atol=0.1)


def test_ct_becomes_hounsfield_units_whatever_its_window() -> None:
    hounsfield = np.linspace(-1000, 1500, 64 * 64).reshape(64, 64).round().astype(np.int16)
    content = dicom_file(
        hounsfield + 1024, "CT", RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=80
    )
    np.testing.assert_allclose(decoded(content, "ct"), to_unit(hounsfield, flow_spec("ct").intensity), atol=1e-5)


def test_padding_is_no_part_of_an_image(stored: np.ndarray) -> None:
    padded = stored.copy()
    padded[:, :8] = 65535
    square = decoded(dicom_file(padded, PixelPaddingValue=65535))
    assert (square[:, :8] == square.min()).all() and square[:, 8:].max() == 1
    scan = np.full((64, 64), -2000, np.int16)
    scan[8:, 8:] = np.arange(56 * 56).reshape(56, 56) % 400
    content = dicom_file(scan, "CT", RescaleSlope=1, RescaleIntercept=0, PixelPaddingValue=-2000)
    assert (decoded(content, "ct")[:8] == -1).all()


def test_overlays_in_the_high_bits_are_cleared(stored: np.ndarray) -> None:
    with_text = stored.copy()
    with_text[10:20, 10:20] |= 0x8000
    window = {"WindowCenter": 2048, "WindowWidth": 4096, "BitsStored": 12, "HighBit": 11}
    np.testing.assert_array_equal(decoded(dicom_file(with_text, **window)), decoded(dicom_file(stored, **window)))


@pytest.mark.parametrize(
    ("word", "flow", "make"),
    [
        ("not-an-image", "xray", lambda ramp: b"%PDF-1.7 " + PLANTED.encode()),
        ("not-an-image", "xray", lambda ramp: b""),
        ("colour", "xray", lambda ramp: _saved(Image.new("RGB", (9, 9), (200, 90, 30)), "PNG")),
        ("blank", "xray", lambda ramp: _saved(Image.new("L", (8, 8), 3), "PNG")),
        ("blank", "xray", lambda ramp: dicom_file(np.full((8, 8), 7, np.uint16))),
        ("too-large", "xray", lambda ramp: _saved(Image.new("1", (2000, 2000)), "PNG")),
        ("too-large", "xray", lambda ramp: dicom_file(np.zeros((8, 8), np.uint16), Rows=40000, Columns=40000)),
        ("several-frames", "xray", lambda ramp: dicom_file(np.zeros((2, 8, 8), np.uint16), NumberOfFrames=2)),
        ("no-pixels", "xray", lambda ramp: _without_pixels(dicom_file(np.zeros((8, 8), np.uint16)))),
        ("wrong-modality", "ct", lambda ramp: dicom_file(np.eye(8, dtype=np.uint16), "MR")),
        ("wrong-modality", "mri_t1", lambda ramp: dicom_file(np.eye(8, dtype=np.uint16), "CT")),
        ("not-hounsfield", "ct", lambda ramp: dicom_file(np.eye(8, dtype=np.uint16), "CT")),
        ("not-hounsfield", "ct", lambda ramp: dicom_file(
            np.eye(8, dtype=np.uint16), "CT", RescaleSlope=1, RescaleIntercept=0, RescaleType="US"
        )),
    ],
)  # fmt: skip
def test_what_cannot_be_a_source_is_refused_with_its_reason(
    word: str, flow: str, make: Callable[[np.ndarray], bytes], ramp: np.ndarray
) -> None:
    with pytest.raises(Refused, match=f"^{word}$"):
        decoded(make(ramp), flow)


def test_every_reason_has_a_sentence_that_says_what_to_do() -> None:
    words = [word for word, _ in decoding.REFUSALS]
    assert len(set(words)) == len(words)
    for word, sentence in decoding.REFUSALS:
        assert sentence.endswith(".") and len(sentence.split()) > 4, word


@pytest.mark.parametrize("flow", ["xray", "ct"])
def test_a_truncated_file_is_one_sentence_that_names_only_the_source(flow: str, ramp: np.ndarray) -> None:
    whole = synthetic_png(ramp) if flow == "xray" else dicom_file(np.eye(64, dtype=np.uint16), "CT")
    with pytest.raises(RequestRefused, match="cannot be decoded") as refused:
        unit_image(whole[: len(whole) // 2], flow_spec(flow), size=64, limits=LIMITS)
    assert flow in str(refused.value) and "Doe" not in str(refused.value)
    for content in (whole[: len(whole) // 2], whole[:140]):
        with pytest.raises(Exception):  # noqa: B017 - whatever a decoder raises
            decoded(content, flow)


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    """A few kilobytes that unfold to gigabytes: as PNG, and as deflated DICOM, which says nothing of its size."""
    with pytest.raises(TooLarge, match="more pixels"):
        unit_image(_png_bomb(60000), flow_spec("xray"), size=64, limits=LIMITS)
    bomb = _deflated_bomb(3 << 30)
    assert len(bomb) < 4 << 20
    with pytest.raises(RequestRefused, match="cannot be decoded"):
        unit_image(bomb, flow_spec("xray"), size=64, limits=LIMITS)


@pytest.mark.parametrize(
    ("excess", "stopped"),
    [
        ("", False),
        ("more = bytearray(decoding.MEMORY)", True),
        ("import os; os.write(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), b'kept')", True),
        ("while True: pass", True),
    ],
)
def test_what_unfolds_all_the_same_stops_at_the_limits_of_its_own_process(
    tmp_path: Path, excess: str, stopped: bool
) -> None:
    """Memory, files, time."""
    confined = "import sys\nfrom server.service import decoding\ndecoding._confine(1)\n"
    kept = tmp_path / "kept"
    code = [sys.executable, "-c", confined + excess, str(kept)]
    done = subprocess.run(code, capture_output=True, timeout=60, check=False)
    assert (done.returncode != 0) is stopped, done.stderr
    assert not kept.exists() or kept.stat().st_size == 0


def test_a_codestream_larger_than_its_header_says_is_refused() -> None:
    content = dicom_file(
        np.zeros((8, 8), np.uint16), syntax=JPEG2000Lossless, BitsAllocated=8, BitsStored=8, HighBit=7,
        PixelData=pydicom.encaps.encapsulate([_saved(Image.new("L", (900, 900), 3), "JPEG2000")]),
    )  # fmt: skip
    with pytest.raises((RequestRefused, TooLarge)):
        unit_image(content, flow_spec("xray"), size=64, limits=LIMITS)


def test_decoding_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(slow))
    with pytest.raises(TooLarge, match="takes too long"):
        unit_image(b"", flow_spec("xray"), size=64, limits=Limits(decode_seconds=1))


def test_a_decoder_sees_neither_our_environment_nor_our_standard_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    spy = tmp_path / "python"
    spy.write_text(f"#!/bin/sh\nenv > {told}\npwd >> {told}\necho {PLANTED} >&2\nexit 11\n")
    spy.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(spy))
    monkeypatch.setenv("SERVICE_SECRET", "hidden")
    with pytest.raises(RequestRefused):
        unit_image(b"", flow_spec("xray"), size=64, limits=LIMITS)
    assert "hidden" not in told.read_text() and told.read_text().splitlines()[-1] == "/"
    assert PLANTED not in "".join(capfd.readouterr())


def test_no_element_that_names_anybody_is_ever_parsed(stored: np.ndarray) -> None:
    from privacy.deidentify import IDENTIFYING

    assert not set(dicom.TAGS) & set(IDENTIFYING)
    parsed: list[str] = []
    genuine = pydicom.dcmread

    def spy(*words: Any, **options: Any) -> Any:
        header = genuine(*words, **options)
        parsed.extend(element.keyword for element in header)
        return header

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pydicom, "dcmread", spy)
        decoded(dicom_file(stored))
    assert "PixelData" in parsed and not {"PatientName", "PatientID", "StudyDescription"} & set(parsed)


def test_genuine_files_are_seen_as_a_sites_own_reader_sees_them(dicom_samples: Path) -> None:
    """Not turned here, so those that lie otherwise differ; most lie as they are shown."""
    from client.records import dicom as reader

    alike, read = 0, 0
    for path in sorted(dicom_samples.glob("*.dcm"), key=lambda file: file.stat().st_size)[:10]:
        theirs = reader.read(path)
        if not isinstance(theirs, list) or len(theirs) != 1:
            continue
        flow = flow_spec(theirs[0].flow)
        ours, expected = decoded(path.read_bytes(), flow.name), to_unit(theirs[0].array, flow.intensity)
        read += 1
        alike += np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.98
    assert read >= 4 and alike >= read - 1, (alike, read)


def test_files_are_known_by_their_content_not_by_a_name(ramp: np.ndarray) -> None:
    assert picture.is_one(synthetic_png(ramp)) and not dicom.is_one(synthetic_png(ramp))
    assert dicom.is_one(dicom_file(np.eye(8, dtype=np.uint16))) and not picture.is_one(b"GIF89a")


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    written = BytesIO()
    image.save(written, format=kind, **options)
    return written.getvalue()


def _without_pixels(content: bytes) -> bytes:
    dataset = pydicom.dcmread(BytesIO(content))
    del dataset.PixelData
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _png_bomb(side: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1 << 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _deflated_bomb(length: int) -> bytes:
    """A header that promises a deflated data set, and behind it zeros without end."""
    plain = dicom_file(np.eye(8, dtype=np.uint16), syntax=DeflatedExplicitVRLittleEndian)
    end = (
        plain.index(b"\x02\x00\x10\x00UI")
        + 8
        + struct.unpack("<H", plain[plain.index(b"\x02\x00\x10\x00UI") + 6 :][:2])[0]
    )
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # which stands by itself
    return plain[:end] + block * (length >> 20) + packer.flush()

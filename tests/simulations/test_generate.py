"""`fedm2g generate`: whatever is asked for is written, repeatable by seed, and marked synthetic in every format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from medm2g.config import FlowConfig, preset
from medm2g.errors import InputInvalid as GeneratorInputInvalid
from medm2g.generator import Generator
from protocol.intensity import to_unit
from protocol.study import CT_KNOTS, FlowSpec, flow_spec
from simulations import generate as module
from simulations.errors import InputInvalid
from simulations.generate import GenerateOptions, generate, read_unit_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generators") / "random"
    Generator(preset("tiny")).save_pretrained(folder)
    return folder


@pytest.fixture
def options(folder: Path, tmp_path: Path) -> GenerateOptions:
    return GenerateOptions(str(folder), ("xray",), tmp_path / "out", text="No finding.", count=2, num_inference_steps=2)


def test_images_and_reports_are_written_together(options: GenerateOptions) -> None:
    files = generate(replace(options, targets=("xray", "text")))
    assert [path.suffix for path in files] == [".png", ".png", ".txt", ".txt"]
    with Image.open(files[0]) as picture:
        assert picture.size == (64, 64)
        assert "SYNTHETIC" in picture.info["Comment"]


def test_a_seed_gives_the_same_images_again_and_another_seed_others(options: GenerateOptions, tmp_path: Path) -> None:
    def pixels(seed: int, name: str) -> np.ndarray:
        files = generate(replace(options, seed=seed, out=tmp_path / name))
        return np.stack([np.asarray(Image.open(path)) for path in files])

    first = pixels(1, "a")
    np.testing.assert_array_equal(first, pixels(1, "b"))
    assert not np.array_equal(first, pixels(2, "c"))
    assert not np.array_equal(first[0], first[1])


def test_grain_is_there_unless_it_is_left_out(options: GenerateOptions, tmp_path: Path) -> None:
    generator = Generator(preset("tiny"))
    generator.image_codec("xray").grain.table.fill_(0.2)
    generator.save_pretrained(tmp_path / "grainy")

    def roughness(grain: bool) -> float:
        given = replace(options, generator=str(tmp_path / "grainy"), grain=grain, out=tmp_path / str(grain))
        pixels = np.asarray(Image.open(generate(given)[0]), dtype=float)
        return float(np.abs(np.diff(pixels, axis=1)).mean())

    assert roughness(True) > roughness(False) + 5


def test_generated_dicom_is_valid_and_says_synthetic_everywhere_a_viewer_looks(options: GenerateOptions) -> None:
    path = generate(replace(options, targets=("ct",), image_format="dicom"))[0]
    dataset = pydicom.dcmread(path)
    assert list(dataset.ImageType) == ["DERIVED", "SECONDARY"]
    assert dataset.BurnedInAnnotation == "NO" and dataset.ContentQualification == "RESEARCH"
    assert str(dataset.PatientName) == dataset.PatientID == "SYNTHETIC"
    assert "SYNTHETIC" in dataset.SeriesDescription and dataset.SyntheticData == "YES"
    assert dataset.Modality == "CT" and dataset.pixel_array.shape == (64, 64)


def test_a_generator_s_own_tone_curve_takes_its_images_to_stored_values_and_back(
    options: GenerateOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steep = ((-1024.0, -1.0), (0.0, -0.9), (100.0, 0.9), (3000.0, 1.0))
    flows = (FlowConfig("ct", intensity=steep), FlowConfig("mri_t1"))
    torch.manual_seed(0)
    Generator(preset("tiny", flows=flows)).save_pretrained(tmp_path / "steep")
    told = replace(options, generator=str(tmp_path / "steep"), targets=("ct",), count=1)
    grey, dicom = generate(told)[0], generate(replace(told, image_format="dicom"))[0]
    shown = read_unit_image(grey, flow_spec("ct"), size=64)
    dataset = pydicom.dcmread(dicom)
    hounsfield = dataset.pixel_array + float(dataset.RescaleIntercept)
    np.testing.assert_allclose(to_unit(hounsfield, steep), shown, atol=0.03)
    assert np.abs(to_unit(hounsfield, CT_KNOTS) - shown).mean() > 0.1
    asked: list[FlowSpec] = []
    monkeypatch.setattr(module, "read_unit_image", lambda path, flow, *, size: asked.append(flow) or shown)
    generate(replace(told, targets=("mri_t1",), sources=(f"ct={grey}",)))
    assert [flow.intensity for flow in asked] == [steep]


def test_a_generated_image_can_be_the_source_of_another_flow(options: GenerateOptions) -> None:
    source = generate(replace(options, targets=("mri_t1",), count=1))[0]
    unit = read_unit_image(source, flow_spec("mri_t1"), size=64)
    assert unit.shape == (64, 64) and -1 <= unit.min() < unit.max() <= 1
    files = generate(replace(options, text=None, targets=("mri_t2",), sources=(f"mri_t1={source}",)))
    assert len(files) == 2


@pytest.mark.parametrize(
    ("source", "sentence"),
    [("ct", "FLOW=FILE"), ("pet=x.png", "no flow called pet"), ("ct=absent.png", "no file for the source ct")],
)
def test_a_source_that_cannot_be_used_is_refused_with_what_to_do(
    options: GenerateOptions, source: str, sentence: str
) -> None:
    with pytest.raises(InputInvalid, match=sentence):
        generate(replace(options, targets=("xray",), sources=(source,)))


def test_an_unknown_target_or_generator_is_refused(options: GenerateOptions, tmp_path: Path) -> None:
    with pytest.raises(GeneratorInputInvalid, match="pet"):
        generate(replace(options, targets=("pet",)))
    with pytest.raises(InputInvalid, match="generator folder or the word"):
        generate(replace(options, generator=str(tmp_path)))

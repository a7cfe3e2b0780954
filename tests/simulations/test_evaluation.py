"""The omniscient referee: perfect images score perfectly, noise does not, and equal seeds give equal verdicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medm2g.config import preset
from medm2g.generator import Generator
from medm2g.metrics.image_features import ImageFeatures, ImageFeaturesConfig
from medm2g.metrics.referee import LabelledImages, train_referee
from medm2g.metrics.report_features import ReportFeatures
from simulations.evaluation import EvaluationSettings, OmniscientReferee
from simulations.held_out import HeldOut, HeldOutFlow, HeldOutReport
from simulations.judging import Panel

LABELS = ("nodule-left", "nodule-right", "healthy")
SETTINGS = EvaluationSettings(sampling_seeds=(1, 2), num_inference_steps=2, guidance_scale=1.0, dtype="float32")


def _images(count: int, seed: int) -> LabelledImages:
    rng = np.random.default_rng(seed)
    images = rng.normal(-0.5, 0.05, size=(count, 64, 64)).astype(np.float32)
    labels = rng.integers(0, 3, size=count)
    for image, label in zip(images, labels, strict=True):
        if label < 2:
            row, column = rng.integers(10, 44), (rng.integers(4, 18) if label == 0 else rng.integers(36, 50))
            image[row : row + 10, column : column + 10] = 0.6
    return LabelledImages(images.clip(-1, 1), labels.astype(np.int64))


def _text(label: str) -> str:
    finding, _, side = label.partition("-")
    return "No acute finding." if finding == "healthy" else f"A {finding} in the {side} lung."


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    drawn = _images(24, 5)
    names = [LABELS[label] for label in drawn.labels]
    reports = [
        HeldOutReport(_text(name), {"xray": image}, frozenset({name} - {"healthy"}), visible=frozenset({"nodule"}))
        for name, image in zip(names, drawn.images, strict=True)
    ]
    flow = HeldOutFlow(drawn.images, [_text(name) for name in names], names)
    return HeldOut({"xray": flow}, reports, missing={"ct": "No CT is held out."})


@pytest.fixture(scope="module")
def referee_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("referee")
    train_referee({"xray": _images(384, 0), "ct": _images(32, 1)}, LABELS, passes=4).save(folder)
    ImageFeatures(ImageFeaturesConfig(("xray", "ct"))).save(folder)
    ReportFeatures.fit(np.random.default_rng(0).normal(size=(128, 384))).save(folder)
    return folder


@pytest.fixture(scope="module")
def referee(held_out: HeldOut, referee_folder: Path) -> OmniscientReferee:
    return OmniscientReferee(held_out, SETTINGS, referee_folder)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator(preset("tiny")).eval()


def test_a_generator_that_returns_the_originals_is_perfect_and_noise_is_far_from_it(
    referee: OmniscientReferee, generator: Generator, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = held_out.flows["xray"].images
    monkeypatch.setattr(OmniscientReferee, "generate_images", lambda *_, **__: originals)
    perfect = referee.judge(generator, flows=["xray"]).flows["xray"]
    assert max(perfect.frechet) < 1e-3
    assert perfect.finding_accuracy[0] == referee.held_out_accuracy()["xray"] > 0.8
    noise = np.random.default_rng(0).uniform(-1, 1, size=originals.shape).astype(np.float32)
    monkeypatch.setattr(OmniscientReferee, "generate_images", lambda *_, **__: noise)
    bad = referee.judge(generator, flows=["xray"]).flows["xray"]
    assert min(bad.frechet) > 100 * max(perfect.frechet)
    assert bad.finding_accuracy[0] < perfect.finding_accuracy[0]


def test_swapping_the_sides_of_perfect_images_costs_the_accuracy_and_hardly_the_distance(
    referee: OmniscientReferee, generator: Generator, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    flipped = held_out.flows["xray"].images[:, :, ::-1].copy()
    monkeypatch.setattr(OmniscientReferee, "generate_images", lambda *_, **__: flipped)
    sided = np.mean([label != "healthy" for label in held_out.flows["xray"].labels])
    assert referee.judge(generator, flows=["xray"]).flows["xray"].finding_accuracy[0] < 1 - 0.8 * sided


def test_reports_are_right_only_with_finding_and_side(
    referee: OmniscientReferee, generator: Generator, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [report.text for report in held_out.reports]
    monkeypatch.setattr(OmniscientReferee, "write_reports", lambda *_, **__: texts)
    perfect = referee.judge(generator, flows=["text"]).flows["text"]
    assert perfect.finding_accuracy == (1.0, 1.0) and max(perfect.frechet) < 1e-6
    swapped = [text.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right") for text in texts]
    monkeypatch.setattr(OmniscientReferee, "write_reports", lambda *_, **__: swapped)
    healthy = np.mean([report.labels == frozenset() for report in held_out.reports])
    assert referee.judge(generator, flows=["text"]).flows["text"].finding_accuracy[0] == healthy < 1


def test_a_flow_of_which_nothing_is_held_out_says_why(referee: OmniscientReferee, generator: Generator) -> None:
    quality = referee.judge(generator, flows=["ct"]).flows["ct"]
    assert quality.frechet == () and quality.frechet_reason == "No CT is held out."


def test_a_panel_gives_the_same_verdict_as_one_referee(
    referee: OmniscientReferee, generator: Generator, held_out: HeldOut, referee_folder: Path, tmp_path: Path
) -> None:
    generator.save_pretrained(tmp_path / "g")
    alone = referee.judge(generator, flows=["xray"]).flows["xray"]
    with Panel(held_out, SETTINGS, flows=["xray"], referee_folder=referee_folder, workers=1) as panel:
        together = (
            panel.summon(
                tmp_path / "g",
            )
            .wait()
            .flows["xray"]
        )
    np.testing.assert_allclose(together.frechet, alone.frechet, rtol=1e-3)
    assert together.finding_accuracy == alone.finding_accuracy
    assert alone.frechet[0] != alone.frechet[1]

"""Patients as the losses see them: declared flows only, the right report for each image, nothing readable on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from client.records.store import RecordRow, RecordStore
from client.vault.dataset import PatientFeatures
from client.vault.errors import ImagesUnfit
from client.vault.feature_cache import BLOCK_BYTES, FeatureCache, erase_features
from client.vault.features import FeatureBuilder
from client.vault.generators import SharedGenerator, shared_generator
from privacy.keys import SiteKeys
from protocol.study import Study

KEY = bytes(range(32))


@pytest.fixture
def shared(generator_folder: Path) -> SharedGenerator:
    return shared_generator(generator_folder)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """One patient with two examinations and two reports, one without any report, one of an undeclared flow only."""
    SiteKeys.create(tmp_path)
    store = RecordStore.create(tmp_path, image_size=64)
    rng = np.random.default_rng(2)

    def image(record_id: str, pseudonym: str, flow: str = "xray", **facts: str) -> None:
        row = RecordRow(record_id=record_id, pseudonym=pseudonym, flow=flow, **facts)
        store.add_image(row, rng.integers(0, 4096, (64, 64)).astype(np.int16))

    def report(record_id: str, pseudonym: str, text: str, **facts: str) -> None:
        store.add_report(RecordRow(record_id=record_id, pseudonym=pseudonym, flow="text", **facts), text)

    image("a1", "anna", imaging_study="first", body_part="CHEST", view_position="PA")
    report("r1", "anna", "Left pleural effusion.", imaging_study="first")
    image("a2", "anna", imaging_study="second", body_part="CHEST")
    report("r2", "anna", "No effusion any more.", imaging_study="second", body_part="CHEST")
    image("a3", "anna", imaging_study="third")
    image("b1", "bert", imaging_study="fourth")
    image("c1", "cleo", flow="ct", imaging_study="fifth")
    yield store
    store.close()


@pytest.fixture
def build(tmp_path: Path, store: Any, shared: SharedGenerator, make_study: Callable[..., Study]) -> Callable[..., Any]:
    def make(*, flows: tuple[str, ...] = ("xray", "text"), with_aligned: bool = False) -> PatientFeatures:
        cache = FeatureCache(tmp_path / "features", KEY)
        features = FeatureBuilder(store, shared.generator, generator_digest=shared.digest, cache=cache)
        return PatientFeatures(
            store,
            shared.generator,
            make_study(),
            flows=flows,
            features=features,
            with_images=True,
            with_aligned=with_aligned,
        )

    return make


def test_an_image_goes_with_the_report_of_its_examination_else_with_any_of_the_patient_else_with_none(
    build: Callable[..., PatientFeatures],
) -> None:
    patients = build()
    assert patients.patient("anna").report_of["xray"].tolist() == [0, 1, 0]
    assert patients.patient("bert").report_of["xray"].tolist() == [-1]
    assert patients.patient("anna").imaging_study["xray"].tolist() == [0, 1, 2]
    assert patients.patient("anna").imaging_study["text"].tolist() == [0, 1]


def test_of_several_reports_of_one_examination_the_one_of_the_same_sequence_goes_with_an_image(
    build: Callable[..., PatientFeatures], store: Any
) -> None:
    """As a folder of images gives them: a sentence about each MRI sequence of the examination."""
    pixels = np.zeros((64, 64), dtype=np.int16)
    for sequence in ("T1", "T2", "FLAIR"):  # of one flow here: this study has none for MRI
        facts = {"pseudonym": "dora", "imaging_study": "sixth", "sequence": sequence}
        store.add_image(RecordRow(record_id=f"i-{sequence}", flow="ct", **facts), pixels)
        if sequence != "FLAIR":
            store.add_report(RecordRow(record_id=f"t-{sequence}", flow="text", **facts), f"Brain MRI, {sequence}.")
    dora = build(flows=("ct", "text")).patient("dora")
    images, reports = ([row.sequence for row in store.records("dora", flow)] for flow in ("ct", "text"))
    expected = [reports.index(sequence) if sequence in reports else 0 for sequence in images]
    assert dora.report_of["ct"].tolist() == expected and sorted(expected) == [0, 0, 1]


def test_public_sentences_stand_in_for_reports(build: Callable[..., PatientFeatures]) -> None:
    anna = build().patient("anna")
    assert anna.templates["xray"] == ("Chest X-ray, PA view.", "Chest X-ray.", "X-ray.")
    assert anna.templates["text"][1] == "Radiology report of a chest X-ray."


def test_a_report_is_prompted_by_what_its_own_examination_shows(
    build: Callable[..., PatientFeatures], store: Any
) -> None:
    """A head's CT report is not the report of a head X-ray because the patient has a chest X-ray too."""
    pixels = np.zeros((64, 64), dtype=np.int16)
    for flow, examination in (("xray", "seventh"), ("ct", "eighth")):
        store.add_image(RecordRow(f"i-{flow}", "emil", imaging_study=examination, flow=flow), pixels)
    for name, examination, part in (("x", "seventh", "CHEST"), ("y", "eighth", "HEAD"), ("z", "", "HEAD")):
        facts = {"imaging_study": examination, "body_part": part}
        store.add_report(RecordRow(f"t-{name}", "emil", flow="text", **facts), "Normal study.")
    said = build(flows=("xray", "ct", "text")).patient("emil").templates["text"]
    by_report = dict(zip([row.record_id for row in store.records("emil", "text")], said, strict=True))
    assert by_report == {
        "t-x": "Radiology report of a chest X-ray.",
        "t-y": "Radiology report of a CT of the head.",
        "t-z": "Radiology report of the head.",  # beside images of two kinds, of which it could be either's
    }


def test_only_declared_flows_are_read(build: Callable[..., PatientFeatures]) -> None:
    patients = build(flows=("xray",))
    assert patients.pseudonyms() == ["anna", "bert", "cleo"]
    assert patients.patient("anna").text_tokens.shape == (0, 64, 384)
    assert patients.patient("anna").report_of["xray"].tolist() == [-1, -1, -1]
    assert patients.patient("cleo").count("ct") == 0 and not patients.patient("cleo").latents


def test_features_are_those_of_the_frozen_networks(
    build: Callable[..., PatientFeatures], shared: SharedGenerator
) -> None:
    anna = build(with_aligned=True).patient("anna")
    images = anna.images["xray"].float()
    assert images.min() >= -1.0 and images.max() <= 1.0 and images.shape == (3, 1, 64, 64)
    assert torch.allclose(anna.latents["xray"].float(), shared.generator.encode_image("xray", images), atol=2e-2)
    assert torch.allclose(anna.aligned["xray"][0], shared.generator.align("xray", images).embedding, atol=1e-4)
    features = shared.generator.encode_text(["Left pleural effusion.", "No effusion any more."])
    assert torch.allclose(anna.text_pooled, features.pooled, atol=1e-5)
    assert anna.latents["text"].shape == (2, *shared.generator.latent_shape("text"))


def test_the_cache_is_used_and_unreadable_without_the_key(
    tmp_path: Path, build: Callable[..., PatientFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build().patient("anna")

    def never(*_: Any) -> None:
        raise AssertionError("encoded a second time")

    monkeypatch.setattr(FeatureBuilder, "_encode_images", never)
    monkeypatch.setattr(FeatureBuilder, "_encode_texts", never)
    again = build().patient("anna")
    assert torch.equal(first.latents["xray"], again.latents["xray"])
    assert torch.equal(first.text_tokens, again.text_tokens)
    files = list((tmp_path / "features").iterdir())
    assert len(files) == 2 and all(b"latents" not in file.read_bytes() for file in files)
    assert FeatureCache(tmp_path / "features", bytes(32)).load(files[0].name) is None


def test_cached_blocks_open_only_whole_in_order_and_under_their_own_name(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, KEY)
    arrays = {"latents": np.random.default_rng(0).random(BLOCK_BYTES // 4).astype(np.float32)}  # two blocks and a rest
    cache.save("one", arrays)
    loaded = cache.load("one")
    assert loaded is not None and np.array_equal(loaded["latents"], arrays["latents"])
    sealed = (tmp_path / "one").read_bytes()
    (tmp_path / "other").write_bytes(sealed)
    (tmp_path / "altered").write_bytes(sealed)
    (tmp_path / "one").write_bytes(sealed[:-30] + bytes([sealed[-30] ^ 1]) + sealed[-29:])
    assert cache.load("other") is None and cache.load("one") is None


def test_what_no_longer_belongs_to_the_store_is_erased(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "features", KEY)
    for name in ("kept", "forgotten"):
        cache.save(name, {"latents": np.zeros(3, np.float32)})
    cache.keep_only({"kept"})
    assert [path.name for path in (tmp_path / "features").iterdir()] == ["kept"]
    erase_features(tmp_path)
    assert not (tmp_path / "features").exists()


def test_images_of_another_size_are_refused(
    tmp_path: Path, shared: SharedGenerator, make_study: Callable[..., Study]
) -> None:
    folder = tmp_path / "large"
    SiteKeys.create(folder)
    large = RecordStore.create(folder, image_size=32)
    row = RecordRow(record_id="a", pseudonym="anna", imaging_study="", flow="xray")
    large.add_image(row, np.zeros((32, 32), np.int16))
    cache = FeatureCache(folder / "features", KEY)
    features = FeatureBuilder(large, shared.generator, generator_digest=shared.digest, cache=cache)
    with pytest.raises(ImagesUnfit):
        features.unit_images(make_study().flow("xray"), [row])
    large.close()


def test_nothing_prints_a_patient(build: Callable[..., PatientFeatures]) -> None:
    patients = build()
    assert "anna" not in repr(patients) and "anna" not in repr(patients.patient("anna"))

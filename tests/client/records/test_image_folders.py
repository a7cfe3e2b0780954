"""Image folders: an index says whose picture is what, filters choose rows, an unusable folder is named."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client.records.errors import SourceUnusable
from client.records.ingest import ingest
from client.records.sources import Filters
from client.records.store import RecordStore
from tests.client.records.conftest import opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image folder: two patients, three pictures, a row without its file, and a picture without a row."""
    source = tmp_path / "images"
    source.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "stranger"):
        Image.fromarray(rng.integers(0, 255, (64, 64)).astype(np.uint8)).save(source / f"{name}.png")
    columns = [
        "patient_id",
        "modality",
        "view_or_sequence",
        "body_part",
        "text",
        "text_kind",
        "site_group",
        "split",
        "path",
    ]
    rows = [
        [
            "Jane Roe",
            "xray",
            "PA",
            "chest",
            "Seen: Jane Roe. There is a nodule.",
            "clinical_notes",
            "north",
            "train",
            "a.png",
        ],
        ["Jane Roe", "ct", "axial; window 400/40", "abdomen", "Abdominal CT.", "label_only", "north", "train", "b.png"],
        ["p2", "mri", "axial T2W", "brain", "Signed: Jane Roe.", "", "south", "test", "c.png"],  # nothing is left of it
        ["p3", "mri", "axial T2W", "brain", "", "", "south", "test", "absent.png"],
        ["p4", "mri", "axial T2W", "brain", "", "", "south", "test", "../../outside.png"],
    ]
    with (source / "index.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return source


def test_an_image_folder_is_taken_by_its_index(folder: Path, site: Path) -> None:
    report = ingest(site, folder)
    assert (report.ingested, report.records) == (3, 4)
    assert report.reasons == {"missing-file": 2, "not-in-index": 1}
    store, texts, _ = opened(site)
    assert store.counts() == {"ct": 1, "mri_t2": 1, "text": 1, "xray": 1}  # the label is no report
    assert texts == ["There is a nodule."]
    assert ingest(site, folder / "index.csv").ingested == 0


@pytest.mark.parametrize(
    ("filters", "flows"),
    [
        (Filters(site_groups=frozenset({"north"})), {"xray", "ct", "text"}),
        (Filters(splits=frozenset({"test"})), {"mri_t2"}),
        (Filters(patients=frozenset({"p2"})), {"mri_t2"}),
        (Filters(excluded_patients=frozenset({"Jane Roe"})), {"mri_t2"}),
    ],
)
def test_filters_choose_rows(folder: Path, site: Path, filters: Filters, flows: set[str]) -> None:
    ingest(site, folder, filters=filters)
    assert set(RecordStore.open(site).counts()) == flows


def test_sources_that_cannot_be_used_are_named(tmp_path: Path, site: Path, folder: Path) -> None:
    with pytest.raises(SourceUnusable, match="no such source"):
        ingest(site, tmp_path / "nowhere")
    (tmp_path / "tree").mkdir()
    with pytest.raises(SourceUnusable, match="index.csv"):
        ingest(site, tmp_path / "tree", filters=Filters(splits=frozenset({"train"})))
    (folder / "index.csv").write_text("image,kind\n1,2\n")
    with pytest.raises(SourceUnusable, match="patient_id, modality, path"):
        ingest(site, folder)


def test_the_corpus_is_taken_by_site(corpus: Path, site: Path) -> None:
    groups = Filters(site_groups=frozenset({"aliza-ge", "italy"}))
    report = ingest(site, corpus, filters=groups)
    assert report.ingested == 48 and set(report.reasons) <= {"not-in-index"}
    store, texts, _ = opened(site)
    assert store.counts()["ct"] == 28 and store.counts()["xray"] == 20 and texts
    images = store.read_flow("ct")[2]  # window 90/35
    assert images.min() >= -11 and images.max() <= 81

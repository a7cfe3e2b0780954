"""`fedm2g pretrain --data`: a folder of records, read by a hospital's road."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress
from safetensors.torch import load_file

from medm2g.config import FlowConfig, preset
from medm2g.curves import stored_curves
from medm2g.errors import ConfigInvalid
from medm2g.generator import Generator
from protocol.study import DEFAULT_FLOWS
from simulations.errors import InputInvalid
from simulations.phantoms.export import export_hospital
from simulations.pretrain_command import PretrainOptions, pretrain_generator
from simulations.public_records import public_records, with_sentences

PATIENTS = 18
QUIET = Progress(disable=True)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    export_hospital(folder, patients=PATIENTS, seed=4, population="hospital-university")
    return folder


def test_a_folder_becomes_public_data_in_which_images_and_reports_keep_together(export: Path) -> None:
    data = public_records(export, DEFAULT_FLOWS, size=64)
    assert {flow: len(images) for flow, images in data.images.items()} == dict.fromkeys(
        ("xray", "ct", "mri_t1", "mri_t2", "mri_flair"), PATIENTS
    )
    assert len(data.texts) == 2 * PATIENTS  # the chest's and the head's
    for flow, images in data.images.items():
        assert images.min() >= -1 and images.max() <= 1 and np.ptp(images) > 1
        for row, report in enumerate(data.report_of[flow]):
            assert data.patients[flow][row] == data.patients["text"][report]
            assert data.examinations[flow][row] == data.examinations["text"][report]
    assert all("head" in data.texts[report].lower() for report in data.report_of["mri_t1"])
    assert all("MRI" in sentence for sentence in data.templates["mri_t1"])
    with (export / "identifiers.txt").open(encoding="utf-8") as planted:
        names = {line.strip().lower() for line in planted if len(line.strip()) > 5}
    assert not [name for name in names for text in data.texts if name in text.lower()]


def test_more_sentences_belong_to_nobody_else(export: Path) -> None:
    data = public_records(export, DEFAULT_FLOWS, size=64)
    more = with_sentences(data, ["Normal knee.", "Fractured rib."])
    assert list(more.texts[-2:]) == ["Normal knee.", "Fractured rib."]
    assert len(set(more.patients["text"][-2:]) - set(data.everyone())) == 2
    assert not set(more.examinations["text"][-2:]) & set(data.examinations["text"])
    assert with_sentences(data, []) is data


def test_a_folder_without_images_of_the_flows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(InputInvalid, match="no image of the study's flows"):
        public_records(tmp_path, DEFAULT_FLOWS, size=64)
    with pytest.raises(InputInvalid, match="no folder"):
        pretrain_generator(PretrainOptions(tmp_path / "out", data=tmp_path / "absent"), progress=QUIET)


def test_pretraining_on_a_folder_leaves_a_generator_with_its_curve(export: Path, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("Normal knee.\n\nFractured rib.\n", encoding="utf-8")
    more = tmp_path / "more.txt"
    options = PretrainOptions(tmp_path / "out", data=export, text=more, minutes=0.02, seed=3, cores=1)
    left = pretrain_generator(options, progress=QUIET)
    generator = Generator.from_pretrained(left["generator"])
    assert generator.flows == Generator(preset("tiny"), generator.text_encoder).flows
    with Path(left["curve"]).open(encoding="utf-8") as curve:
        phases = {row["phase"].split("/")[0] for row in csv.DictReader(curve)}
    assert phases == {"codec", "text_codec", "align", "trunks", "guide"}
    assert "a folder of public records" in (tmp_path / "out" / "generator" / "card.md").read_text(encoding="utf-8")
    pretrain_generator(replace(options, half=True), progress=QUIET)  # finished: read back, nothing repeated, saved anew
    weights = [load_file(path) for path in (tmp_path / "out" / "generator" / "groups").rglob("*.safetensors")]
    assert {tensor.dtype for tensors in weights for tensor in tensors.values()} == {torch.float16}


def test_steps_are_given_for_every_phase(export: Path, tmp_path: Path) -> None:
    options = PretrainOptions(tmp_path / "out", data=export)
    for wrong in ("codec", "codec=-1", "codec=2.5", "codec=2,"):
        with pytest.raises(InputInvalid, match="phase=N"):
            pretrain_generator(replace(options, steps=wrong), progress=QUIET)
    with pytest.raises(ConfigInvalid, match="lacks the phase"):
        pretrain_generator(replace(options, steps="codec=2"), progress=QUIET)


def test_flows_go_on_from_a_generator_along_the_study_s_curves(export: Path, tmp_path: Path) -> None:
    other = ((0.0, -1.0), (100.0, 0.5), (4095.0, 1.0))
    flows = tuple(
        FlowConfig(flow.name, flow.kind, other if flow.name == "ct" else flow.intensity if flow.kind == "image" else ())
        for flow in DEFAULT_FLOWS
    )
    Generator(preset("tiny", flows=flows)).save_pretrained(tmp_path / "old")
    options = PretrainOptions(tmp_path / "out", data=export, generator=str(tmp_path / "old"), steps="codec=0", cores=1)
    with pytest.raises(InputInvalid, match="another tone curve for ct"):
        pretrain_generator(replace(options, flows=("xray",)), progress=QUIET)
    left = pretrain_generator(replace(options, flows=("ct", "text")), progress=QUIET)
    assert stored_curves(Path(left["generator"])) == {f.name: f.intensity for f in DEFAULT_FLOWS if f.kind == "image"}
    again = pretrain_generator(
        replace(options, out=tmp_path / "all"), progress=QUIET
    )  # who is not named goes on as well
    before = load_file(Path(left["generator"]) / "codecs" / "xray" / "model.safetensors")
    after = load_file(
        Path(again["generator"]) / "codecs" / "images.safetensors"
    )  # the first flow's, and all have it now
    assert after and all(torch.equal(before[name], after[name]) for name in after)
    with pytest.raises(ConfigInvalid, match="no pre-training phase 'codex'"):
        pretrain_generator(replace(options, out=tmp_path / "x", steps="codex=1"), progress=QUIET)
    with pytest.raises(InputInvalid, match="name it with --generator"):
        pretrain_generator(replace(options, generator=None, flows=("ct",)), progress=QUIET)

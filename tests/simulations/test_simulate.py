"""A whole tiny study on one machine: what a run leaves, what it says, and that privacy off repeats to the bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from safetensors.numpy import load_file

from medm2g.config import FlowConfig, preset
from medm2g.generator import Generator
from medm2g.metrics.image_features import ImageFeatures, ImageFeaturesConfig
from medm2g.metrics.referee import Referee, RefereeConfig
from medm2g.metrics.report_features import ReportFeatures
from medm2g.subsets import Subsets
from privacy.errors import PolicyRefused
from protocol.digests import digest_folder
from protocol.study import Study
from simulations.errors import InputInvalid, RunFailed
from simulations.evaluation import EvaluationSettings
from simulations.phantoms.export import export_hospital
from simulations.public_continued import PublicRival
from simulations.simulate import Simulation, simulate
from simulations.study_file import read_study
from simulations.train_referee import LABELS

pytestmark = pytest.mark.usefixtures("task_identity")

STUDY = """
name = "tiny"
generator = "{generator}"
flows = [{{name = "xray", modalities = ["CR", "DX"]}}, {{name = "text", kind = "text"}}]
[[sites]]
name = "north"
flows = ["xray", "text"]
declared_patients = 50
population = "hospital-xray"
[[sites]]
name = "south"
flows = ["xray"]
declared_patients = 50
population = "hospital-university"
[[stages]]
name = "align"
rounds = 1
[[stages]]
name = "diffuse"
rounds = 2
"""
MIXED = """
name = "mixed"
generator = "{generator}"
flows = [
  {{name = "xray", modalities = ["CR", "DX"]}}, {{name = "ct", modalities = ["CT"]}}, {{name = "text", kind = "text"}},
]
[[sites]]
name = "north"
flows = ["xray", "text"]
declared_patients = 50
[[sites]]
name = "east"
flows = ["ct", "text"]
declared_patients = 50
[[sites]]
name = "scans"
flows = ["xray", "ct"]
declared_patients = 10
private = false
[[stages]]
name = "diffuse"
rounds = 1
[[stages]]
name = "guide"
rounds = 1
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random generator, a random referee and a study of two small hospitals."""
    place = tmp_path_factory.mktemp("simulate")
    config = preset("tiny", flows=(FlowConfig("xray"), FlowConfig("text", "text")))
    Generator(config).save_pretrained(place / "initial")
    every = tuple(range(len(LABELS)))
    Referee(RefereeConfig(("xray",), LABELS, {"xray": every})).save(place / "referee")
    ImageFeatures(ImageFeaturesConfig(("xray",))).save(place / "referee")
    ReportFeatures.fit(np.random.default_rng(0).normal(size=(96, 384))).save(place / "referee")
    study = STUDY.format(generator=place / "initial")
    (place / "study.toml").write_text(study)
    silent = study.replace(', {name = "text", kind = "text"}', "").replace(', "text"]', "]")
    (place / "silent.toml").write_text(silent)
    return place


@pytest.fixture
def simulation(place: Path, tmp_path: Path) -> Simulation:
    return Simulation(
        place / "study.toml",
        out=tmp_path / "run",
        evaluation=EvaluationSettings(sampling_seeds=(1,), num_inference_steps=2, guidance_scale=1.0),
        per_flow=16,
        public_continued=False,
        referee_folder=place / "referee",
        judges=0,
    )


def _run(simulation: Simulation) -> dict:
    return simulate(simulation, progress=Progress(disable=True))


def test_a_private_run_leaves_everything_and_stays_within_its_budget(simulation: Simulation) -> None:
    summary = _run(replace(simulation, public_continued=True))
    out = simulation.out
    assert out is not None
    for name in ("generator/config.json", "study.toml", "rounds.jsonl", "summary.json", "report.html"):
        assert (out / name).is_file(), name
    assert json.loads((out / "summary.json").read_text()) == json.loads(json.dumps(summary))
    for site in summary["sites"].values():
        assert 0 < site["epsilon"] <= site["max_epsilon"]
        assert site["delta"] == pytest.approx(0.1 / 50) and site["rounds"] == 3
        assert site["bytes_up"] > 0 and site["bytes_down"] > 0
    xray = summary["flows"]["xray"]
    assert xray["frechet_before"] > 0 and xray["frechet_after"] > 0
    assert xray["frechet_public_continued"] not in (None, xray["frechet_before"], xray["frechet_after"])
    assert summary["training_seconds"] > 0 and summary["peak_rss_bytes"] > 1e8
    assert Study.read(out / "study.toml").generator_digest
    page = (out / "report.html").read_text()
    assert "may be shared" in page and "NOT PRIVATE" not in page
    assert len((out / "rounds.jsonl").read_text().splitlines()) == 3


def test_without_privacy_runs_repeat_and_a_resumed_run_equals_them(simulation: Simulation, tmp_path: Path) -> None:
    off = replace(simulation, study_path=simulation.study_path.with_name("silent.toml"), privacy=False)
    summary = _run(off)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "NOT PRIVATE: Every site" in page and not summary["private"]
    assert all(site["epsilon"] is None and site["reasons"] for site in summary["sites"].values())
    stopped = replace(off, out=tmp_path / "stopped", stop_after=2)
    assert _run(stopped) == {}
    assert not (tmp_path / "stopped" / "generator").exists()
    _run(replace(stopped, stop_after=None, resume=True))
    assert digest_folder(tmp_path / "stopped" / "generator") == digest_folder(tmp_path / "run" / "generator")


def test_a_site_with_too_few_patients_is_refused_by_name_and_with_the_reason(
    simulation: Simulation, tmp_path: Path
) -> None:
    few = simulation.study_path.read_text().replace("declared_patients = 50", "declared_patients = 20")
    (tmp_path / "few.toml").write_text(few)
    with pytest.raises(PolicyRefused, match="Site north refuses the study: .*too few patients.* at least 50"):
        _run(replace(simulation, study_path=tmp_path / "few.toml"))


def test_a_rival_that_fails_says_so_and_one_that_nobody_waits_for_ends(simulation: Simulation, tmp_path: Path) -> None:
    study = read_study(simulation.study_path, private=True)
    with PublicRival(study, tmp_path / "no-generator", tmp_path / "rival", size=64) as rival:
        with pytest.raises(RunFailed, match="public phantoms failed"):
            rival.wait(lambda _: None)
    with PublicRival(study, tmp_path / "no-generator", tmp_path / "rival", size=64) as rival:
        process = rival._process
    assert not process.is_alive()


def test_a_study_of_another_subset_starts_from_the_same_generator_divided_anew(
    simulation: Simulation, place: Path, tmp_path: Path
) -> None:
    """Its text flow also hears the patient's X-ray in stage diffuse, through the alignment that was just trained."""
    study = tmp_path / "norms.toml"
    study.write_text(
        simulation.study_path.read_text()
        + "[[stages]]\nname = 'guide'\nrounds = 1\n[training]\nsource_prompts = 0.5\n"
        + "alignment_subset = 'norms'\ndiffusion_subset = 'norms'\nguidance_subset = 'gates'\n"
    )
    summary = _run(replace(simulation, study_path=study))
    assert all(site["rounds"] == 4 for site in summary["sites"].values())
    out = tmp_path / "run" / "generator"
    wanted = Subsets(alignment="norms", diffusion="norms", guidance="gates")
    assert Subsets.stored_in(out) == wanted != Subsets.stored_in(place / "initial")
    before, after = (Generator.from_pretrained(folder).state_dict() for folder in (place / "initial", out))
    moved = {name for name in before if not before[name].equal(after[name])}
    for family in ("alignment/xray", "diffusion/xray", "diffusion/text", "cross_guidance/xray", "cross_guidance/text"):
        trained = set(load_file(out / "groups" / f"{family}.safetensors"))
        assert trained and trained <= moved  # noise reaches every number of a group
        moved -= trained
    assert not moved
    assert wanted.trains("unets.xray.conv_norm_out.weight") and not wanted.trains("unets.xray.conv_in.weight")


def test_phantom_exports_and_genuine_dicom_make_one_consortium(
    simulation: Simulation, place: Path, dicom_samples: Path, tmp_path: Path
) -> None:
    """Each site from its own DICOM tree; the one with a handful of patients may not claim privacy."""
    data = tmp_path / "data"
    export_hospital(data / "north", patients=60, seed=6, population="hospital-xray")
    export_hospital(data / "east", patients=60, seed=7, population="hospital-ct")
    shutil.copytree(dicom_samples, data / "scans")
    flows = (FlowConfig("xray"), FlowConfig("ct"), FlowConfig("text", "text"))
    Generator(preset("tiny", flows=flows)).save_pretrained(tmp_path / "initial")
    study = (tmp_path / "mixed.toml", MIXED.format(generator=tmp_path / "initial"))
    study[0].write_text(study[1])
    mixed = replace(simulation, study_path=study[0], data=data)
    summary = _run(mixed)
    assert summary["sites"]["north"]["epsilon"] <= 8 and summary["sites"]["east"]["epsilon"] <= 8
    assert summary["sites"]["scans"]["epsilon"] is None and summary["sites"]["scans"]["rounds"] == 2
    page = (tmp_path / "run" / "report.html").read_text()
    assert "NOT PRIVATE" in page and "do not share" in page
    claiming = study[1].replace("private = false", "private = true")
    study[0].write_text(claiming)
    with pytest.raises(PolicyRefused, match="Site scans refuses the study: .*too few patients.* at least 50"):
        _run(replace(mixed, out=tmp_path / "refused"))


def test_a_folder_that_is_no_run_is_never_overwritten(simulation: Simulation, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.doc").write_text("years of work")
    with pytest.raises(InputInvalid, match="not a run"):
        _run(simulation)
    with pytest.raises(InputInvalid, match="nothing to resume"):
        _run(replace(simulation, resume=True))
    assert (tmp_path / "run" / "thesis.doc").read_text() == "years of work"


def test_real_images_are_split_by_patient_and_the_page_forbids_sharing(
    simulation: Simulation, corpus: Path, tmp_path: Path
) -> None:
    import csv

    folder = tmp_path / "data"
    folder.mkdir()
    with (corpus / "index.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["site_group"] == "germany-hannover"]
    patients = sorted({row["patient_id"] for row in rows})
    seen: set[str] = set()
    rows = [row for row in rows if row["patient_id"] not in seen and not seen.add(row["patient_id"])]  # type: ignore[func-returns-value]
    for row in rows:
        (folder / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(corpus / row["path"], folder / row["path"])
    with (folder / "index.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    study = simulation.study_path.with_name("silent.toml").read_text().split("[[sites]]")
    one = study[1].replace("hospital-xray", "germany-hannover")
    (tmp_path / "one.toml").write_text(f"{study[0]}[[sites]]{one}[[stages]]\nname = 'diffuse'\nrounds = 1\n")
    summary = _run(replace(simulation, study_path=tmp_path / "one.toml", data=folder))
    assert len(patients) == 57
    assert summary["flows"]["xray"]["reasons"]["frechet_before"] == "Fewer than 16 held-out records."
    page = (tmp_path / "run" / "report.html").read_text()
    assert "contains real images: do not share" in page
    assert not any(patient in page for patient in patients)

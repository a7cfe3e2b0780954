"""`fedm2g evaluate`: every figure, or a reason; the same ones every time; and each moves with what it is about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.progress import Progress

from medm2g.config import FlowConfig, preset
from medm2g.generator import Generator
from protocol.study import Study
from simulations.errors import InputInvalid
from simulations.evaluate.folder import EvaluateOptions, evaluate_folder
from simulations.evaluate.pathways import SEEDS, pathway_figures, worse_without
from simulations.evaluate.tables import tables
from simulations.evaluate.tasks import tasks_page
from simulations.evaluate.translations import name_of, routes
from simulations.evaluation import EvaluationSettings, OmniscientReferee
from simulations.generators import generator_folder, open_generator
from simulations.held_out_phantoms import held_out_phantoms
from simulations.phantoms.export import export_hospital

PATIENTS = 18
QUIET = Progress(disable=True)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    export_hospital(folder, patients=PATIENTS, seed=5, population="hospital-mri")
    return folder


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    export_hospital(folder, patients=72, seed=6, population="hospital-xray")
    return folder


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generators") / "random"
    Generator(preset("tiny")).save_pretrained(folder)
    return folder


def test_a_generator_is_measured_against_a_folder_the_same_every_time(
    heads: Path, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EvaluateOptions(str(untrained), heads, seed=5, samples=2, candidates=2)
    figures = evaluate_folder(options, progress=QUIET)
    json.dumps(figures)
    for flow, values in figures["flows"].items():
        held = flow.startswith("mri")
        assert (values["frechet"] is not None) == held, flow
        assert values["records"] == PATIENTS if held else values["reason"]
    assert len(figures["translations"]) == 9  # six pairs, and each contrast from both others
    route = figures["translations"]["mri_t1->mri_t2"]
    assert route["pairs"] == PATIENTS and route["psnr"] < 25 and -1 <= route["ssim"] < 0.9  # it is untrained
    assert set(route) == {"pairs", "psnr", "ssim", "nmse", "mean_of_2", "codec"}
    monkeypatch.setattr(
        "simulations.evaluate.folder.pathway_figures", lambda _, judge, **__: {"draws": judge.settings.candidates}
    )
    again = evaluate_folder(replace(options, pathways=True), progress=QUIET)
    assert again.pop("pathways") == {"draws": 1}  # to choose among several would be alignment's doing
    assert again == figures and figures["sampling"]["candidates"] == 2
    assert [table.row_count for table in tables(figures)][-1] == 9
    page = tasks_page(figures, title="Heads")
    assert page.count("| MRI synthesis | ") == 9 and "| MRI synthesis | mri_t1 + mri_t2 → mri_flair | PSNR " in page
    assert f"| mri_t1 |  |  |  | {route['mean_of_2']['psnr']:.1f} | " in page


def test_the_shipped_generator_beats_an_untrained_one_and_not_the_records(chests: Path, untrained: Path) -> None:
    shipped, random = (
        evaluate_folder(EvaluateOptions(str(folder), chests, seed=1, candidates=1), progress=QUIET)
        for folder in (generator_folder("shipped"), untrained)
    )
    good, bad = shipped["flows"]["xray"], random["flows"]["xray"]
    for name in ("image_features", "referee", "pixels"):
        own, other = good["encoders"][name], bad["encoders"][name]
        assert own["frechet"] < other["frechet"] and own["kernel"] < other["kernel"]
        assert own["coverage"] > other["coverage"] and own["frechet_interval"][0] < own["frechet_interval"][1]
    findings, chance = good["findings"], bad["findings"]
    assert 0.9 < findings["real"]["mean_auroc"] and chance["made"]["mean_auroc"] < 0.75
    assert chance["made"]["mean_auroc"] < findings["made"]["mean_auroc"] <= 1
    assert good["retrieval"]["image_to_text"][5] > bad["retrieval"]["image_to_text"][5]
    assert 0 < good["utility"]["made"] <= 1 and good["utility"]["test_records"] >= 30
    reports, unwritten = (values["flows"]["text"]["reports"] for values in (shipped, random))
    assert reports["round_trip"]["findings"]["f1"] > 0.9 > unwritten["written"]["findings"]["f1"]
    assert reports["written"]["overlap"]["rouge_l"] > 0.2
    assert [str(table.title).split(":")[0] for table in tables(shipped)] == ["Appearance", "Meaning", "Reports"]
    assert good["unprompted"] < bad["unprompted"]
    alone = shipped["flows"]["text"]["reports"]["by_source"]
    assert list(alone) == ["xray"] and alone["xray"] == shipped["flows"]["text"]["reports"]["written"]  # its only image
    page = tasks_page(shipped, title="Chests").splitlines()
    tasks = [line.split(" | ")[:2] for line in page if " → " in line]
    assert tasks == [
        ["| report generation", "images → text"],
        ["| text to image", "text → xray"],
        ["| image generation", "nothing → xray"],
    ]
    assert f"| text | {findings['made']['mean_auroc']:.2f} |  |" in "\n".join(page)


def test_a_mean_of_samples_is_nearer_than_a_sample_and_the_codec_nearer_than_both(heads: Path) -> None:
    options = EvaluateOptions(str(generator_folder("shipped")), heads, samples=4, candidates=1)
    for name, route in evaluate_folder(options, progress=QUIET)["translations"].items():
        mean, ceiling = route["mean_of_4"], route["codec"]
        assert route["psnr"] < mean["psnr"] < ceiling["psnr"] and mean["nmse"] < route["nmse"], name


def test_every_pair_and_every_contrast_from_its_others() -> None:
    names = [name_of(route) for route in routes(("xray", "ct", "mri_t1", "mri_t2", "mri_flair"))]
    assert len(names) == len(set(names)) == 20 + 3
    assert {"ct->mri_t1", "mri_t1->ct", "mri_t1+mri_t2->mri_flair"} <= set(names) and "ct+xray->mri_t1" not in names


def test_a_silent_pathway_costs_what_it_carried() -> None:
    demo = Study.read(Path(__file__).resolve().parents[3] / "studies" / "demo.toml")
    heads = demo.model_copy(update={"sites": (demo.site("hospital-mri"),)})
    held_out = held_out_phantoms(heads, per_flow=16, size=64, processes=1)
    held_out = replace(held_out, pairs=held_out.pairs[:4])
    settings = EvaluationSettings(num_inference_steps=4)
    judge = OmniscientReferee(held_out, settings)
    found = pathway_figures(open_generator("shipped"), judge, seed=3)
    assert list(found) == ["both", "cross-guidance alone", "alignment alone", "neither"]
    for left in found:
        assert len(found[left]) == 9 and all(len(values) == SEEDS for values in found[left].values())
    assert worse_without(found, "neither", "mri_t1->mri_t2") is True
    assert worse_without(found, "neither", "text") is None  # these records have no report
    sampling = settings.as_record() | {"per_flow": 16, "samples": 2, "translation_steps": 4}
    page = tasks_page({"sampling": sampling, "flows": {}, "translations": {}, "pathways": found}, title="")
    row = next(line for line in page.splitlines() if line.startswith("| mri_t1->mri_t2 | "))
    assert row.endswith(")* |")


def test_the_shipped_referee_judges_nothing_that_it_would_misread(heads: Path, tmp_path: Path) -> None:
    flows = (FlowConfig("mri_t1", intensity=((0.0, -1.0), (100.0, 0.5), (4095.0, 1.0))), FlowConfig("mri_t2"))
    Generator(preset("tiny", flows=flows)).save_pretrained(tmp_path / "steep")
    with pytest.raises(InputInvalid, match="learnt mri_t1 along another tone curve"):
        evaluate_folder(EvaluateOptions(str(tmp_path / "steep"), heads), progress=QUIET)


def test_what_cannot_be_measured_is_refused(tmp_path: Path, untrained: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(InputInvalid, match="no image of the generator's flows"):
        evaluate_folder(EvaluateOptions(str(untrained), tmp_path), progress=QUIET)
    with pytest.raises(InputInvalid, match="no folder"):
        evaluate_folder(EvaluateOptions(str(untrained), tmp_path / "absent"), progress=QUIET)

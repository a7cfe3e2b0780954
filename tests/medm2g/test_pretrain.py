"""Pre-training: each phase learns and trains only its own part, curves are kept, a killed run resumes where it was."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medm2g import FlowConfig, Generator, preset
from medm2g.anchors import build_anchors
from medm2g.errors import ConfigInvalid, FolderInvalid, InputInvalid
from medm2g.pretrain import PHASES, Machine, PhaseBudget, PublicData, PublicPatients, pretrain, trunks
from medm2g.pretrain import run as run_module
from medm2g.pretrain.attention_bound import AttentionBound
from medm2g.pretrain.curve import COLUMNS
from medm2g.pretrain.diffuse import PublicDiffuseLoss
from medm2g.pretrain.loop import Average, PhaseSettings, no_progress, training_only
from medm2g.pretrain.side_by_side import side_by_side
from medm2g.pretrain.trunks import CONTRAST, CONTRAST_PART, GOING_ON
from medm2g.subsets import Subsets
from medm2g.text_encoder import TextEncoder
from tests.medm2g.conftest import chosen

FLOWS = (FlowConfig("xray"), FlowConfig("ct"), FlowConfig("text", "text"))
PATIENTS = 12
ONE = Machine(cores=None)
PART = {"codec": "codecs.", "text_codec": "codecs.text.", "align": "alignment.", "trunks": "unets."}


def _data() -> PublicData:
    """A bright square on the left or on the right, and a sentence that says so."""
    rng = np.random.default_rng(0)
    images = rng.normal(-0.7, 0.05, size=(2, PATIENTS, 1, 64, 64)).clip(-1, 1)
    sides = rng.integers(0, 2, PATIENTS)
    for patient, side in enumerate(sides):
        images[:, patient, 0, 20:36, 8 + 32 * side : 24 + 32 * side] = 0.6
    people = np.arange(PATIENTS)
    return PublicData(
        images={"xray": images[0].astype(np.float16), "ct": images[1].astype(np.float16)},
        patients={"xray": people, "ct": people, "text": people},
        texts=[f"Square on the {'left' if side == 0 else 'right'}." for side in sides],
        report_of={"xray": people, "ct": people},
        templates={"xray": ["Chest X-ray."] * PATIENTS, "text": ["Radiology report."] * PATIENTS},
    )


@pytest.fixture
def fresh(text_encoder: TextEncoder) -> Callable[[], Generator]:
    def _fresh() -> Generator:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Generator(preset("tiny", flows=FLOWS), text_encoder)

    return _fresh


def _state(generator: Generator) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in generator.state_dict().items() if not key.startswith("text_encoder")}


def _changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


STEPS = {"codec": 16, "text_codec": 12, "align": 6, "trunks": 3, "guide": 2}


def test_every_phase_trains_its_own_part_and_the_curve_tells(
    fresh: Callable[[], Generator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, parts = fresh(), dict(PART)
    trains = {name: value.requires_grad for name, value in generator.named_parameters()}
    moved: dict[str, set[str]] = {}
    train = run_module._train

    def watched(phase: str, run: object, budget: PhaseBudget) -> None:
        before = _state(generator)
        train(phase, run, budget)  # type: ignore[arg-type]
        moved[phase] = _changed(before, _state(generator))

    monkeypatch.setattr(run_module, "_train", watched)
    told: list[tuple[str, float]] = []
    pretrain(generator, _data(), out=tmp_path, steps=STEPS, machine=ONE, progress=lambda p, d, s: told.append((p, d)))
    assert list(moved) == list(PHASES)
    for phase, prefix in parts.items():
        assert moved[phase] and all(key.startswith(prefix) for key in moved[phase])
    assert not any(key.startswith("codecs.text.") for key in moved["codec"])
    assert {key.split(".")[0] for key in moved["guide"]} == {"environments", "adapters"}
    assert {name: value.requires_grad for name, value in generator.named_parameters()} == trains
    rows = _rows(tmp_path / "curve.csv")
    assert tuple(rows[0]) == COLUMNS and [
        phase for phase in PHASES if any(r["phase"].split("/")[0] == phase for r in rows)
    ] == list(PHASES)
    for phase in ("codec", "text_codec", "align"):
        own = [float(row["validation_loss"]) for row in rows if row["phase"] in (phase, f"{phase}/ct")]
        # the codec starts as the best linear codec, so little is left to learn in so few steps
        assert own[-1] < (0.97 if phase == "codec" else 0.9) * own[0], phase
    assert all(told.count((phase, 1.0)) == 1 for phase in PHASES)


def test_image_denoisers_learn_by_contrast_before_they_learn_plainly_and_reports_never(
    fresh: Callable[[], Generator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, list[float]] = {}
    bounded: list[object] = []
    loss_batch, bound = PublicDiffuseLoss.loss_batch, AttentionBound.bounded

    def watched(self: PublicDiffuseLoss, kind: str, *rest: object) -> torch.Tensor:
        if torch.is_grad_enabled():
            told.setdefault(kind, []).append(self.contrast)
        return loss_batch(self, kind, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(PublicDiffuseLoss, "loss_batch", watched)
    monkeypatch.setattr(AttentionBound, "bounded", lambda self, loss: bounded.append(self) or bound(self, loss))
    pretrain(fresh(), _data(), out=tmp_path, steps={"trunks": 25}, phases=("trunks",), machine=ONE)
    for flow in ("xray", "ct"):
        most = round(CONTRAST_PART * len(told[flow]) + 0.49)
        assert told[flow] == [CONTRAST] * most + [0.0] * (len(told[flow]) - most), flow
    assert set(told["text"]) == {0.0} and len(bounded) == len(told) == 3


def test_flows_that_go_on_leave_the_others_networks_as_they_were(
    fresh: Callable[[], Generator], tmp_path: Path
) -> None:
    generator = fresh()
    before = _state(generator)
    steps = {"codec": 0, "align": 2, "trunks": 2, "guide": 1}
    pretrain(generator, _data(), out=tmp_path, steps=steps, phases=tuple(steps), flows=("ct",), machine=ONE)
    changed = _changed(before, _state(generator))
    for family in ("alignment", "unets"):
        assert {key.split(".")[1] for key in changed if key.startswith(family)} == {"ct"}
    codecs = {key for key in changed if key.startswith("codecs.")}
    assert codecs and all(re.match(r"codecs\.ct\.(scaling|grain)\.", key) for key in codecs)  # 0 steps: fitted only
    assert any(key.startswith("environments.xray.") for key in changed)  # who hear each other learn together
    with pytest.raises(ConfigInvalid, match="no flow pet"):
        pretrain(generator, _data(), out=tmp_path / "x", steps=steps, phases=tuple(steps), flows=("pet",), machine=ONE)


def test_cross_guidance_begins_anew_after_denoisers_went_on(fresh: Callable[[], Generator], tmp_path: Path) -> None:
    """What guided the denoisers of before is a worse beginning than none; by itself it goes on."""
    for steps, kept in (({"guide": 0}, True), ({"trunks": 1, "guide": 0}, False)):
        generator = fresh()
        with torch.no_grad():
            for parameter in generator.adapters.parameters():
                parameter.add_(9.0)
        where = tmp_path / "-".join(steps)
        pretrain(generator, _data(), out=where, steps=steps, phases=tuple(steps), flows=("ct",), machine=ONE)
        largest = max(float(parameter.detach().abs().max()) for parameter in generator.adapters.parameters())
        assert (largest > 8.0) == kept


def test_denoisers_that_go_on_do_so_at_a_lower_rate(
    fresh: Callable[[], Generator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = []

    def spy(*args: Any, settings: PhaseSettings, **kwargs: Any) -> int:
        rates.append((settings.learning_rate, settings.matrix_rate))
        return 0

    monkeypatch.setattr(trunks, "run_phase", spy)
    for number, flows in enumerate((None, ("ct",))):
        steps = {"trunks": 1}
        pretrain(
            fresh(), _data(), out=tmp_path / str(number), steps=steps, phases=("trunks",), flows=flows, machine=ONE
        )
    usual = trunks.SETTINGS
    slower = (usual.learning_rate * GOING_ON, usual.matrix_rate * GOING_ON)
    assert rates == [(usual.learning_rate, usual.matrix_rate)] * 3 + [slower] and GOING_ON < 1


def test_pre_training_trains_whole_families_whatever_a_study_will_train(
    fresh: Callable[[], Generator], tmp_path: Path
) -> None:
    steps, made = {"align": 2, "trunks": 1, "guide": 2}, []
    for name, subsets in (("whole", chosen()), ("small", chosen(alignment="norms", guidance="gates"))):
        generator = fresh()
        generator.set_subsets(subsets)
        pretrain(generator, _data(), out=tmp_path / name, steps=steps, phases=tuple(steps), machine=ONE)
        assert generator.subsets == subsets == Subsets.stored_in(tmp_path / name / "generator")
        made.append(_state(generator))
    assert not _changed(*made)


def test_finished_phases_are_read_back_and_not_repeated(fresh: Callable[[], Generator], tmp_path: Path) -> None:
    steps = dict.fromkeys(PHASES, 1)
    first = pretrain(fresh(), _data(), out=tmp_path, steps=steps, phases=("codec", "text_codec"), machine=ONE)
    rows = _rows(tmp_path / "curve.csv")
    resumed = pretrain(fresh(), _data(), out=tmp_path, steps=steps, machine=ONE)
    after = _rows(tmp_path / "curve.csv")
    assert after[: len(rows)] == rows and not {"codec", "text_codec"} & {row["phase"] for row in after[len(rows) :]}
    whole = pretrain(fresh(), _data(), out=tmp_path / "whole", steps=steps, machine=ONE)
    assert not _changed(_state(resumed), _state(whole))  # as if it had never stopped
    assert all(not key.startswith("codecs.") for key in _changed(_state(first), _state(resumed)))


def test_training_side_by_side_gives_what_training_in_turn_gives(
    fresh: Callable[[], Generator], tmp_path: Path
) -> None:
    steps, before = {"align": 4, "trunks": 6}, torch.get_num_threads()
    first = pretrain(
        fresh(), _data(), out=tmp_path / "first", steps={"codec": 1, "text_codec": 1} | steps | {"guide": 1}
    )
    made = []
    for threads in (1, 3):
        generator = Generator.from_pretrained(tmp_path / "first" / "generator", text_encoder=first.text_encoder)
        out, machine = tmp_path / str(threads), Machine(cores=threads)
        made.append(pretrain(generator, _data(), out=out, steps=steps, phases=("align", "trunks"), machine=machine))
        assert {row["phase"] for row in _rows(out / "curve.csv")} >= {"align/xray", "align/ct", "trunks/text"}
    for name, value in made[0].state_dict().items():
        torch.testing.assert_close(made[1].state_dict()[name], value, atol=1e-4, rtol=1e-3)
    torch.set_num_threads(before)


def test_two_targets_at_once_on_two_threads_give_the_very_same_bits(
    fresh: Callable[[], Generator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pretrain(fresh(), _data(), out=tmp_path / "first", steps=dict.fromkeys(PHASES, 1))
    made = []
    for threads in (1, 2):
        monkeypatch.setattr(Machine, "at_once", lambda self, jobs, threads=threads: threads)
        generator = Generator.from_pretrained(tmp_path / "first" / "generator", text_encoder=first.text_encoder)
        out = tmp_path / str(threads)
        made.append(pretrain(generator, _data(), out=out, steps={"guide": 4}, phases=("guide",)))
    assert not _changed(_state(made[0]), _state(made[1]))
    moved = _changed(_state(first), _state(made[0]))
    assert {name.split(".")[0] for name in moved} == {"environments", "adapters"}
    assert {name.split(".")[1] for name in moved if name.startswith("adapters")} == {"xray", "ct", "text"}


def test_a_part_that_fails_beside_others_is_heard() -> None:
    def fail(budget: PhaseBudget, progress: object) -> int:
        raise InputInvalid("planted")

    with pytest.raises(InputInvalid, match="planted"):
        side_by_side(
            "trunks",
            {"a": lambda budget, progress: 1, "b": fail},
            budget=PhaseBudget(steps=2),
            at_once=2,
            progress=no_progress,
        )


def test_a_folder_of_another_make_is_refused(
    fresh: Callable[[], Generator], text_encoder: TextEncoder, tmp_path: Path
) -> None:
    pretrain(fresh(), _data(), out=tmp_path, steps={"codec": 1}, phases=("codec",), machine=ONE)
    other = Generator(preset("tiny", flows=FLOWS, environment_width=24), text_encoder)
    with pytest.raises(FolderInvalid, match="other sizes"):
        pretrain(other, _data(), out=tmp_path, steps={"codec": 1}, phases=("codec",), machine=ONE)


def test_all_flows_get_the_one_codec_and_what_is_their_own(fresh: Callable[[], Generator], tmp_path: Path) -> None:
    data = _data()
    data.images["ct"][:] = data.images["ct"] * 0.5  # type: ignore[index]
    generator = pretrain(fresh(), data, out=tmp_path, steps={"codec": 5}, phases=("codec",), machine=ONE)
    xray, ct = generator.image_codec("xray"), generator.image_codec("ct")
    for mine, theirs in zip(xray.autoencoder.parameters(), ct.autoencoder.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(xray.scaling.scale, ct.scaling.scale)
    assert xray.grain.table.min() > 0 and ct.grain.table.min() > 0 and not torch.equal(xray.grain.table, ct.grain.table)
    latents = generator.encode_image("ct", torch.from_numpy(data.images["ct"]).float())
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(16), atol=0.2, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(16), atol=0.2, rtol=0)


def test_a_budget_is_time_or_steps(fresh: Callable[[], Generator], tmp_path: Path) -> None:
    for wrong in ({}, {"seconds": 1.0, "steps": 2}):
        with pytest.raises(ConfigInvalid, match="one of them"):
            PhaseBudget(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigInvalid, match="either"):
        pretrain(fresh(), _data(), out=tmp_path)
    with pytest.raises(ConfigInvalid, match="no pre-training phase"):
        pretrain(fresh(), _data(), out=tmp_path, budget_minutes=1, phases=("distil",))
    generator = fresh()
    pretrain(generator, _data(), out=tmp_path, budget_minutes=1 / 60, phases=("codec",), machine=ONE)
    assert 0.9 < float(_rows(tmp_path / "curve.csv")[-1]["seconds"]) < 10


def test_public_patients_are_split_and_each_has_only_his_own(fresh: Callable[[], Generator]) -> None:
    data = _data()
    training, validation = data.split(0.25, seed=1)
    assert len(validation) == 3 and not training & validation and len(training | validation) == PATIENTS
    patients = PublicPatients(fresh(), data)
    own = patients.patient("3")
    assert torch.equal(own.images["ct"][0], torch.from_numpy(data.images["ct"][3]))
    assert own.report_of["ct"].tolist() == [0] and own.text_tokens.shape[0] == 1
    assert patients.having("text", validation) == [str(who) for who in sorted(validation)]


def test_data_that_do_not_fit_together_are_refused() -> None:
    image = np.zeros((2, 1, 64, 64), dtype=np.float16)
    with pytest.raises(InputInvalid, match="`patients`"):
        PublicData(images={"xray": image}, patients={"xray": np.zeros(1, dtype=int)})
    with pytest.raises(InputInvalid, match="`templates`"):
        PublicData(images={"xray": image}, patients={"xray": np.zeros(2, dtype=int)}, templates={"xray": ["One."]})


def test_the_average_follows_only_what_was_trained() -> None:
    trained, idle = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.ones(2))
    average = Average([trained, idle], 0.5)
    trained.grad = torch.ones(2)
    with torch.no_grad():
        trained += 1
        idle += 1
    average.update()
    average.swap()
    assert 0 < float(trained.detach()[0]) < 1 and torch.equal(idle.detach(), torch.ones(2))
    average.swap()
    assert torch.equal(trained.detach(), torch.ones(2))


def test_nothing_else_takes_a_gradient_while_a_phase_trains(fresh: Callable[[], Generator]) -> None:
    generator = fresh()
    before = {name: value.requires_grad for name, value in generator.named_parameters()}
    chosen = list(generator.codecs["xray"].parameters())
    with pytest.raises(RuntimeError, match="planted"), training_only(generator, chosen):
        assert sum(value.requires_grad for value in generator.parameters()) == len(chosen)
        raise RuntimeError("planted")
    assert {name: value.requires_grad for name, value in generator.named_parameters()} == before


def test_anchors_of_pretraining_are_those_of_the_study(text_encoder: TextEncoder) -> None:
    assert build_anchors(text_encoder).digest == build_anchors(text_encoder).digest

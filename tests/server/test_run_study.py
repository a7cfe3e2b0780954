"""Whole studies on the local grid: sites of different flows, who is asked, and what is refused before it begins."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from safetensors.numpy import load_file

from protocol.codec import decode_update, encode_update
from protocol.requests import TrainReply, TrainRequest
from protocol.version import VERSION
from server.app import StudyResult, run_study
from server.errors import CheckpointInvalid, GeneratorInvalid
from server.generator_folder import open_groups
from simulations.local_grid import LocalGrid
from tests.server.conftest import MakeSites, MakeStudy, groups_in, same


def test_a_study_trains_every_group_that_its_sites_declare_and_leaves_the_rest(
    play: Callable[..., StudyResult], generator_folder: Path
) -> None:
    result = play()
    assert result.completed
    assert [(record.stage, record.round_number) for record in result.records] == [
        *[("align", n) for n in (1, 2)],
        *[("diffuse", n) for n in (1, 2, 3)],
        *[("guide", n) for n in (1, 2)],
    ]
    assert result.records[0].trained == {"alignment/ct": 2, "alignment/xray": 2}
    assert result.records[2].trained == {"diffusion/ct": 2, "diffusion/text": 3, "diffusion/xray": 2}
    before = open_groups(result.study, generator_folder)
    assert len(before) == 8
    assert result.generator is not None
    for name, arrays in before.items():
        last = load_file(result.generator / "groups" / f"{name}.safetensors")
        averaged = load_file(result.generator / "groups_ema" / f"{name}.safetensors")
        for key, array in arrays.items():
            assert not np.array_equal(last[key], array)
            # The average started where the study did and lags behind the last weights.
            assert np.abs(averaged[key] - array).max() < np.abs(last[key] - array).max()
    assert (result.generator / "codecs" / "xray.bin").read_bytes() == b"frozen"
    assert "| north | xray, text | 100 | 7 | 7.000 (0.001) |" in (result.generator / "card.md").read_text()


def test_the_generator_is_the_optimizer_over_the_brute_force_masked_mean(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites, generator_folder: Path
) -> None:
    study = make_study(stages=[{"name": "align", "rounds": 1, "learning_rate": 0.5}], optimizer={"name": "sgd"})
    sites = fake_sites(study)
    result = play(study=study, sites=sites)
    expected = open_groups(study, generator_folder)["alignment/xray"]
    north, both = (
        decode_update(encode_update(sites[name].update(sites[name].seen[0], "alignment/xray")), max_bytes=1 << 20)
        for name in ("north", "both")
    )
    for name, array in groups_in(result).items():
        key = name.partition("/")[2]
        if key in expected:
            mean = (1.0 * north[key] + 0.5 * both[key]) / 1.5
            np.testing.assert_allclose(array, expected[key] + 0.5 * mean, rtol=1e-5, atol=1e-5)


def test_a_flow_s_groups_move_by_the_rate_that_the_stage_gives_it(
    play: Callable[..., StudyResult], make_study: MakeStudy, generator_folder: Path
) -> None:
    stage = {"name": "align", "rounds": 1, "learning_rate": 0.5, "flow_rates": {"ct": 2.0}}
    result = play(study=make_study(stages=[stage], optimizer={"name": "normalised_sgd"}))
    assert result.generator is not None
    for name, distance in (("alignment/xray", 0.5), ("alignment/ct", 1.0)):
        before = open_groups(result.study, generator_folder)[name]
        last = load_file(result.generator / "groups" / f"{name}.safetensors")
        moved = sum(float(np.square(last[key].astype(np.float64) - before[key]).sum()) for key in before) ** 0.5
        assert moved == pytest.approx(distance, rel=1e-4)


def test_two_runs_of_the_same_study_leave_the_same_generator(play: Callable[..., StudyResult]) -> None:
    assert same(groups_in(play("first")), groups_in(play("second")))


def test_each_line_names_every_site_with_its_bytes_and_epsilon(
    play: Callable[..., StudyResult], tmp_path: Path
) -> None:
    result = play()
    line = json.loads((tmp_path / "run" / "rounds.jsonl").read_text().splitlines()[3])
    assert set(line["sites"]) == {"north", "south", "both"}
    for outcome in line["sites"].values():
        assert outcome["status"] == "accepted"
        assert outcome["bytes_up"] > 100
        assert outcome["bytes_down"] > outcome["bytes_up"]  # exact groups go down, half as wide updates come up
        assert outcome["metrics"]["epsilon_spent"] == 4.0
    assert result.sites["south"].rounds == 7
    assert result.sites["south"].epsilon == 7.0
    assert result.sites["south"].bytes_down == sum(record.sites["south"].bytes_down for record in result.records)


def test_a_site_that_lacks_groups_gets_them_within_the_round_and_once(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    sites = fake_sites(make_study())
    play(sites=sites)
    guide = [request for request in sites["north"].seen if request.stage == "guide"]
    assert [(request.round_number, len(request.groups)) for request in guide] == [(1, 2), (1, 5), (2, 2)]
    assert guide[0].inputs_digest == guide[1].inputs_digest


def test_a_site_that_joins_at_guide_trains_with_the_same_frozen_groups_as_the_others(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    sites = fake_sites(make_study())
    late = sites["both"]

    def not_before_guide(message: Message, context: Any) -> Message:
        if len(sites["north"].used) < 5:
            raise ConnectionError("not yet here")
        return late(message, context)

    result = play(sites=sites | {"both": not_before_guide})
    joined = [record.stage for record in result.records if "both" in record.accepted]
    assert joined == ["guide", "guide"]
    frozen = {name: digest for name, digest in late.used[0].items() if not name.startswith("cross_guidance")}
    assert frozen.keys() >= {"alignment/xray", "diffusion/ct", "diffusion/text"}
    for other in ("north", "south"):
        shared = {name: digest for name, digest in sites[other].used[5].items() if name in frozen}
        assert shared
        assert shared.items() <= frozen.items()


Spoil = Callable[[TrainRequest, TrainReply], RecordDict | TrainReply]


def test_only_named_sites_of_this_version_that_approved_the_study_are_asked(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    study = make_study(federation={"quorum": 1})
    sites = fake_sites(study)
    stranger = replace(sites["north"], name="stranger", seen=[])
    sites["south"].version = "0.0.9"
    sites["both"].study_digest = "another"
    result = play(study=study, sites=sites | {"stranger": stranger})
    assert all(record.accepted == ["north"] and set(record.sites) == {"north"} for record in result.records)
    assert not (stranger.seen or sites["south"].seen or sites["both"].seen)


def test_a_node_cannot_answer_by_a_name_that_its_key_is_not_registered_under(
    play: Callable[..., StudyResult], make_study: MakeStudy, fake_sites: MakeSites
) -> None:
    sites = fake_sites(make_study())
    sites["south"].name = "north"
    result = play(sites={name: sites[name] for name in ("south", "north", "both")})  # the impostor is asked first
    assert all(record.accepted == ["north", "both"] for record in result.records)
    assert not sites["south"].seen


def test_in_a_deployment_a_node_without_a_registered_name_is_nobody(
    generator_folder: Path, make_study: MakeStudy, fake_sites: MakeSites, task_identity: None, tmp_path: Path
) -> None:
    class Unnamed(LocalGrid):
        def get_nodes(self) -> Any:
            nodes = list(super().get_nodes())
            nodes[0].name = ""
            return nodes

    study = make_study(stages=[{"name": "align", "rounds": 1}])
    for deployed, accepted in ((False, ["north", "south", "both"]), (True, ["south", "both"])):
        grid, out = Unnamed(fake_sites(study)), tmp_path / f"run-{deployed}"
        result = run_study(grid, study, generator_folder=generator_folder, out=out, only_registered=deployed)
        assert result.records[0].accepted == accepted


def test_a_run_folder_is_never_overwritten_nor_resumed_by_another_study(
    play: Callable[..., StudyResult], make_study: MakeStudy
) -> None:
    play(stop_after=1)
    with pytest.raises(CheckpointInvalid, match="already holds a run"):
        play()
    other = make_study(optimizer={"name": "sgd"})
    with pytest.raises(CheckpointInvalid, match="another study"):
        play(study=other, resume=True)


def test_another_generator_than_the_study_s_is_refused(
    play: Callable[..., StudyResult], make_study: MakeStudy, generator_folder: Path
) -> None:
    study = make_study()
    (generator_folder / "codecs" / "xray.bin").write_bytes(b"thawed")
    with pytest.raises(GeneratorInvalid, match="not the one the study names"):
        play(study=study)


@pytest.mark.parametrize(
    ("family", "subset", "stored"),
    [("diffusion", "norms", "attention"), ("alignment", "norms", "all"), ("guidance", "gates", "all")],
)
def test_a_generator_divided_for_another_subset_is_refused_with_what_to_do(
    play: Callable[..., StudyResult], make_study: MakeStudy, family: str, subset: str, stored: str
) -> None:
    study = make_study(training={f"{family}_subset": subset})
    told = rf"training {family} `{stored}` instead of `{subset}`: .*set_subsets\(Subsets\(.*{family}='{subset}'"
    with pytest.raises(GeneratorInvalid, match=told):
        play(study=study)


def test_a_generator_whose_configuration_cannot_be_read_is_refused(
    play: Callable[..., StudyResult], make_study: MakeStudy, generator_folder: Path
) -> None:
    for content in ('{"diffusion_subsets": "style"}', "[", "[]"):
        (generator_folder / "config.json").write_text(content)
        with pytest.raises(GeneratorInvalid, match="diffusion_subsets|not valid JSON|JSON object"):
            play(study=make_study())


def test_a_generator_that_learnt_a_flow_along_another_tone_curve_is_refused(
    play: Callable[..., StudyResult], make_study: MakeStudy, generator_folder: Path
) -> None:
    config = json.loads((generator_folder / "config.json").read_text())
    for knots, refused in (([[0, -1], [4095, 1]], False), ([[0, -1], [100, 0.5], [4095, 1]], True)):
        config["flows"] = [{"name": "xray", "intensity": knots}, {"name": "ct"}, {"name": "text", "kind": "text"}]
        (generator_folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(GeneratorInvalid, match="flow xray along another tone curve") if refused else nullcontext():
            play(study=make_study())


def test_one_reply_is_alive_at_a_time_for_any_number_of_sites(
    tmp_path: Path, generator_folder: Path, make_study: MakeStudy, fake_sites: MakeSites, task_identity: None
) -> None:
    names = [f"site-{number}" for number in range(8)]
    study = make_study(
        sites=[{"name": name, "flows": ["ct"], "declared_patients": 60} for name in names],
        stages=[{"name": "align", "rounds": 2}],
    )
    alive: list[weakref.ref[Message]] = []
    most = []

    class Counting(LocalGrid):
        def _deliver(self, message: Message) -> Message:
            reply = super()._deliver(message)
            if message.metadata.message_type == "train":
                most.append(sum(reference() is not None for reference in alive))
                alive.append(weakref.ref(reply))
            return reply

    run_study(Counting(fake_sites(study)), study, generator_folder=generator_folder, out=tmp_path / "run")
    assert len(most) == 16
    assert max(most) == 0  # when a site has just answered, every earlier reply is gone


def test_the_study_digest_holds_the_version_so_other_code_is_another_study(make_study: MakeStudy) -> None:
    study = make_study()
    assert study.digest(version=VERSION) != study.digest(version=VERSION + ".1")

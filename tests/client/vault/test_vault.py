"""One round, once: replay costs nothing, other inputs are refused, a round that died draws on the spare ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from client.records.store import RecordStore
from client.vault import training
from client.vault.training import Trainer
from client.vault.vault import Vault
from privacy.errors import LedgerTampered
from protocol.codes import Code
from protocol.records import reply_to_record
from protocol.requests import TrainReply, TrainRequest
from protocol.study import Study
from protocol.version import VERSION
from tests.client.vault.conftest import shifted

MakeSite = Callable[..., Any]
MakeStudy = Callable[..., Study]
MakeRequest = Callable[..., TrainRequest]


def kinds(vault: Vault) -> list[str]:
    return [entry.kind for entry in vault._ledger.entries()]


def wire_bytes(reply: TrainReply) -> dict[str, bytes]:
    record = reply_to_record(reply)
    return {f"{group}/{name}": array.data for group in reply.updates for name, array in record[group].items()}


@pytest.mark.parametrize("stage", ["align", "diffuse", "guide"])
def test_a_round_gives_every_declared_group_a_noised_update(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, stage: str
) -> None:
    vault, study = make_site().vault(), make_study()
    approval = vault.approve(study)
    request = make_request(study, stage)
    reply = vault.train(request)
    assert (reply.code, reply.incident) == (Code.OK, "")
    assert (reply.site, reply.inputs_digest) == ("north", request.inputs_digest)
    assert tuple(reply.updates) == study.groups_of(stage, study.site("north"))  # type: ignore[arg-type]
    values = np.concatenate([array.ravel() for group in reply.updates.values() for array in group.values()])
    assert approval.plan is not None
    expected = approval.plan.noise_multiplier / (0.3 * 12)  # C = 1; the clipped signal is small beside it
    assert np.std(values) == pytest.approx(expected, rel=0.05)
    assert kinds(vault) == ["opened", "approved", "reserved", "committed"]
    assert vault.training_seconds > 0.0


def test_nothing_but_releases_and_public_constants_leaves(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    vault, study = make_site().vault(), make_study()
    approval = vault.approve(study)
    first = vault.train(make_request(study, "align"))
    assert set(first.metrics) == {"epsilon_spent"}
    assert approval.plan is not None
    spent = vault._ledger.epsilon_spent(delta=approval.plan.delta)
    assert spent <= first.metrics["epsilon_spent"] <= spent * 1.001
    assert first.missing == ()


def test_an_unapproved_study_is_answered_with_a_code_alone(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    vault = make_site().vault()
    reply = vault.train(make_request(make_study(), "align"))
    assert reply.code is Code.STUDY_UNKNOWN and len(reply.incident) == 12
    assert not reply.updates and not reply.metrics and kinds(vault) == ["opened"]


def test_a_replayed_round_returns_the_same_bytes_and_spends_nothing(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    site, study = make_site(), make_study()
    vault = site.vault()
    vault.approve(study)
    request = make_request(study, "diffuse")
    first, head = vault.train(request), vault._ledger.head()
    restarted = site.vault()
    for again in (vault.train(request), restarted.train(request)):
        assert wire_bytes(again) == wire_bytes(first)
        assert list(again.updates) == list(first.updates) and replace(again, updates={}) == replace(first, updates={})
    assert restarted._ledger.head() == head


def test_the_same_round_with_other_inputs_is_refused(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    vault, study = make_site().vault(), make_study()
    vault.approve(study)
    request = make_request(study, "align")
    vault.train(request)
    head = vault._ledger.head()
    other = make_request(study, "align", groups={"alignment/xray": shifted(request.groups["alignment/xray"])})
    assert vault.train(other).code is Code.REPLAY_MISMATCH
    assert vault._ledger.head() == head


def test_two_private_runs_of_one_round_differ(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    study, replies = make_study(), []
    for name in ("north", "south"):
        vault = make_site(name, declared_flows=("xray", "ct")).vault() if name == "south" else make_site().vault()
        vault.approve(study)
        replies.append(vault.train(make_request(study, "align", site=name)))
    first, second = (reply.updates["alignment/xray"] for reply in replies)
    assert not any(np.array_equal(first[name], second[name]) for name in first)


class Crash(BaseException):
    """As if the process were killed: nothing of ours catches it."""


def test_a_round_that_died_is_charged_and_draws_on_the_spare_ones(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, study = make_site(), make_study()
    vault = site.vault()
    digest = vault.approve(study).digest

    def killed(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as broken, pytest.raises(Crash):
        broken.setattr(training, "local_steps", killed)
        vault.train(make_request(study, "align"))
    restarted = site.vault()
    assert restarted._ledger.steps_left(digest, "align") == 2  # three were planned, spare one included
    assert restarted.train(make_request(study, "align")).code is Code.OK
    assert restarted.train(make_request(study, "align", round_number=2)).code is Code.OK
    assert kinds(restarted).count("reserved") == 3 and kinds(restarted).count("committed") == 2


def test_a_crash_after_the_reply_is_kept_loses_nothing(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, study = make_site(), make_study()
    vault = site.vault()
    digest = vault.approve(study).digest

    def killed(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as broken, pytest.raises(Crash):
        broken.setattr(vault._ledger, "commit", killed)
        vault.train(make_request(study, "align"))
    restarted = site.vault()
    assert restarted.train(make_request(study, "align")).code is Code.OK
    assert restarted._ledger.steps_left(digest, "align") == 2


def test_rounds_beyond_the_plan_and_its_spare_ones_are_refused(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, study = make_site().vault(), make_study()
    vault.approve(study)
    assert vault.train(make_request(study, "align", round_number=3)).code is Code.BUDGET_EXCEEDED
    assert vault.train(make_request(study, "align", round_number=0)).code is Code.BUDGET_EXCEEDED

    def failed(*_: Any) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(training, "local_steps", failed)
        codes = [vault.train(make_request(study, "align")).code for _ in range(4)]
    assert codes == [Code.SITE_FAILED] * 3 + [Code.BUDGET_EXCEEDED]
    assert vault.train(make_request(study, "align")).code is Code.BUDGET_EXCEEDED


def test_a_store_that_holds_less_than_declared_flows_gives_the_same_groups(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    vault, study = make_site(holds=("xray",)).vault(), make_study()
    vault.approve(study)
    for stage in ("diffuse", "guide"):
        reply = vault.train(make_request(study, stage))
        assert tuple(reply.updates) == study.groups_of(stage, study.site("north"))  # type: ignore[arg-type]
        for group in reply.updates.values():
            assert all(np.any(array) for array in group.values())  # noise on every tensor, data or none


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: replace(request, stage="pretrain"),
        lambda request: replace(request, trains=("alignment/ct",)),
        lambda request: replace(request, trains=()),
        lambda request: replace(request, reads={**request.reads, "alignment/ct": "0" * 64}),
        lambda request: replace(request, reads={"alignment/xray": "../../../etc"}),
        lambda request: replace(request, groups={**request.groups, "../escape": {}}),
        lambda request: replace(request, groups={"alignment/xray": shifted(request.groups["alignment/xray"])}),
    ],
)
def test_a_request_that_does_not_follow_from_the_study_is_refused_and_free(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, spoil: Callable[[TrainRequest], TrainRequest]
) -> None:
    vault, study = make_site().vault(), make_study()
    vault.approve(study)
    assert vault.train(spoil(make_request(study, "align"))).code is Code.MALFORMED
    assert kinds(vault) == ["opened", "approved"]


def test_privacy_off_gives_the_same_update_from_the_same_seeds(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, tmp_path: Any
) -> None:
    study = make_study(privacy={"enabled": False})
    replies = []
    for attempt in ("first", "second"):
        site = make_site(allow_non_private=True)
        vault = site.vault()
        assert not vault.approve(study).private
        replies.append(vault.train(make_request(study, "guide")))
        assert kinds(vault) == ["opened", "non-private"]
        site.folder.rename(tmp_path / attempt)
    assert replies[0].code is Code.OK and not replies[0].metrics
    assert wire_bytes(replies[0]) == wire_bytes(replies[1])
    other = make_study(privacy={"enabled": False}, training={"seed": 1})
    vault = make_site(allow_non_private=True).vault()
    vault.approve(other)
    assert wire_bytes(vault.train(make_request(other, "guide"))) != wire_bytes(replies[0])


@pytest.mark.parametrize("private", [True, False])
def test_on_a_ledger_that_is_an_old_copy_no_study_is_approved(
    private: bool, make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    site, first = make_site(allow_non_private=True), make_study(name="first")
    vault = site.vault()
    vault.approve(first)
    old = {path: path.read_bytes() for path in site.folder.glob("ledger.sqlite*")}
    assert vault.train(make_request(first, "align")).code is Code.OK
    for path, content in old.items():
        path.write_bytes(content)
    second = make_study(name="second", privacy={"enabled": private})
    with pytest.raises(LedgerTampered):
        vault.approve(second)
    assert vault._approvals.digests() == (first.digest(version=VERSION),)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_with_several_local_steps_the_update_is_the_move_over_its_rate(
    optimizer: str,
    make_site: MakeSite,
    make_study: MakeStudy,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local = {"steps_per_round": 3, "local_learning_rate": 0.5, "local_optimizer": optimizer}
    study = make_study(stages=[{"name": "align", "rounds": 1, **local}])
    vault = make_site().vault()
    vault.approve(study)
    gradients, starts = [], []
    real = training.Mechanism.step

    def watched(self: Any, parameters: Any, loss: Any) -> Any:
        starts.append({name: value.clone() for name, value in parameters.items()})
        release = real(self, parameters, loss)
        gradients.append({name: value.clone() for name, value in release.values.items()})
        return release

    monkeypatch.setattr(training.Mechanism, "step", watched)
    reply = vault.train(make_request(study, "align"))
    update = reply.updates["alignment/xray"]
    assert len(gradients) == 3
    for name, array in update.items():
        ends = _moved(optimizer, starts[0][name], [gradient[name] for gradient in gradients])
        for start, end in zip(starts[1:], ends, strict=False):  # where each step begins, the one before has ended
            assert torch.allclose(start[name], end, atol=1e-4)
        assert np.allclose(array, ((ends[-1] - starts[0][name]) / 0.5).numpy(), atol=1e-3)
    assert vault._ledger.events()[study.digest(version=VERSION)][0].steps == 3


def _moved(optimizer: str, start: torch.Tensor, gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    """Where torch's own optimizer of that name arrives, step by step."""
    value = start.double().clone().requires_grad_()
    kinds = {"sgd": torch.optim.SGD, "adam": partial(torch.optim.Adam, betas=(0.9, 0.99), eps=1e-12)}
    own = kinds[optimizer]([value], lr=0.5)
    ends = []
    for gradient in gradients:
        value.grad = gradient.double()
        own.step()
        ends.append(value.detach().float())
    return ends


def test_a_reply_leaves_on_the_public_time_grid(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, study = make_site().vault(), make_study(federation={"release_grid_seconds": 0.5})
    vault.approve(study)
    slept: list[float] = []
    monkeypatch.setattr("client.vault.vault.time", SimpleNamespace(time=lambda: 1000.125, sleep=slept.append))
    for request in (make_request(study, "align"), make_request(study, "align", round_number=3)):
        vault.train(request)
    assert slept == [0.375, 0.375]  # answers and refusals alike


def test_a_forgotten_patient_is_never_drawn_again(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, study = make_site(), make_study()
    vault = site.vault()
    vault.approve(study)
    lists = []
    real = Trainer._mechanism

    def watched(self: Any, *arguments: Any) -> Any:
        lists.append(arguments[-1])
        return real(self, *arguments)

    monkeypatch.setattr(Trainer, "_mechanism", watched)
    assert vault.train(make_request(study, "align")).code is Code.OK
    store = RecordStore.open(site.folder)
    store.forget(["pseudonym-003"])
    store.close()
    assert vault.train(make_request(study, "align", round_number=2)).code is Code.OK
    assert "pseudonym-003" in lists[0] and "pseudonym-003" not in lists[1]
    assert len(lists[1]) == len(lists[0]) - 1


def test_status_tells_the_site_what_was_spent(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    vault, study = make_site().vault(), make_study()
    digest = vault.approve(study).digest
    vault.train(make_request(study, "align"))
    status = vault.status()
    assert (status.site, status.patients, status.declared_patients) == ("north", 12, 12)
    assert status.studies[digest].rounds_finished == {"align": 1}
    assert status.studies[digest].epsilon_planned is not None
    assert 0.0 < status.studies[digest].epsilon_spent < status.studies[digest].epsilon_planned

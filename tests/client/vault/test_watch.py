"""Stopping a round, leaving a study, and following the store: what is spent, and what leaves, in each case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from client.records.store import RecordStore
from client.vault.watch import RoundWatch
from protocol.codes import Code
from protocol.requests import TrainRequest
from protocol.study import Study
from protocol.version import VERSION

MakeSite = Callable[..., Any]
MakeStudy = Callable[..., Study]
MakeRequest = Callable[..., TrainRequest]


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    return make_study()


def kinds(vault: Any) -> list[str]:
    return [entry.kind for entry in vault._ledger.entries()][2:]


def test_a_round_that_is_stopped_between_patients_stays_spent_and_may_begin_again(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [{"name": "align", "rounds": 2, "sampling_probability": 1.0}]  # the draw is secret: nobody may be left out
    study, vault = make_study(stages=stages), make_site().vault()
    vault.approve(study)
    check, seen = RoundWatch.check, []

    def operator_stops_it(self: RoundWatch) -> None:
        seen.append(self.round)
        if len(seen) == 3:  # before the ledger is asked, at the first patient, at the second
            assert self.cancel(study_digest="0" * 64) is False
            assert self.cancel(study_digest=study.digest(version=VERSION)) is True
        check(self)

    monkeypatch.setattr(RoundWatch, "check", operator_stops_it)
    reply = vault.train(make_request(study, "align"))
    assert reply.code is Code.CANCELLED and not reply.updates and kinds(vault) == ["reserved"]
    assert vault.watch.round is None and vault.watch.cancel() is False
    monkeypatch.undo()
    assert vault.train(make_request(study, "align")).code is Code.OK
    assert kinds(vault) == ["reserved", "reserved", "committed"]


def test_a_round_that_is_stopped_before_its_first_step_costs_nothing(
    make_site: MakeSite, study: Study, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = make_site().vault()
    vault.approve(study)
    check = RoundWatch.check
    monkeypatch.setattr(RoundWatch, "check", lambda self: (self.cancel(), check(self)))
    assert vault.train(make_request(study, "align")).code is Code.CANCELLED
    assert kinds(vault) == []


def test_steps_are_counted_as_they_are_taken(make_site: MakeSite, make_study: MakeStudy, make_request: Any) -> None:
    stages = [{"name": "align", "rounds": 1, "sampling_probability": 0.2, "steps_per_round": 3}]
    study, vault, taken = make_study(stages=stages), make_site().vault(), []
    vault.approve(study)
    step_taken = RoundWatch.step_taken
    vault.watch.step_taken = lambda: (step_taken(vault.watch), taken.append(vault.watch.round.steps_taken))
    assert vault.train(make_request(study, "align")).code is Code.OK
    assert taken == [1, 2, 3]


def test_a_withdrawn_study_is_answered_no_more_not_even_with_a_reply_that_is_kept(
    make_site: MakeSite, study: Study, make_request: MakeRequest
) -> None:
    site = make_site()
    vault = site.vault()
    digest = vault.approve(study).digest
    request = make_request(study, "align")
    assert vault.train(request).code is Code.OK
    vault._withdrawals.withdraw(digest)  # another process does this: files are all that the two share
    reply = vault.train(request)
    assert reply.code is Code.CANCELLED and not reply.updates
    assert vault.describe().studies == () and kinds(vault) == ["reserved", "committed"]
    with pytest.raises(Exception, match="withdrawn"):
        site.vault().approve(study)


def test_a_reply_that_waits_for_its_time_does_not_leave_once_the_site_has_withdrawn(
    make_site: MakeSite, study: Study, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = make_site().vault()
    digest = vault.approve(study).digest
    monkeypatch.setattr(vault, "_wait_for_release", lambda _: vault._withdrawals.withdraw(digest))
    reply = vault.train(make_request(study, "align"))
    assert reply.code is Code.CANCELLED and not reply.updates and len(reply.incident) == 12


def test_a_patient_who_is_forgotten_by_another_process_does_not_linger_in_memory(
    make_site: MakeSite, study: Study, make_request: MakeRequest
) -> None:
    site = make_site()
    vault = site.vault()
    vault.approve(study)
    vault.train(make_request(study, "align"))
    ((patients, _),) = vault._trainer._stages.values()
    assert "pseudonym-003" in patients.pseudonyms()
    other = RecordStore.open(site.folder)
    other.forget(["pseudonym-003"])
    other.close()
    assert vault.train(make_request(study, "align", round_number=2)).code is Code.OK
    ((later, _),) = vault._trainer._stages.values()
    assert later is not patients  # whose features are let go with it
    assert "pseudonym-003" not in later.pseudonyms()


def test_a_deployed_vault_answers_no_study_without_a_time_grid(
    make_site: MakeSite, study: Study, make_request: MakeRequest
) -> None:
    site = make_site()
    site.vault().approve(study)  # as a simulation may
    reply = site.vault(deployment=True).train(make_request(study, "align"))
    assert reply.code is Code.POLICY_REFUSED and not reply.updates

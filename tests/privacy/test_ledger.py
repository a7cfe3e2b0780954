"""The ledger: durable before use, never undercounting, never double-spending, and tampering shows."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privacy import chain
from privacy.accounting import epsilon
from privacy.errors import BudgetExceeded, LedgerTampered, MechanismMisused, PrivacyError, StudyNotApproved
from privacy.events import NonPrivate, SampledGaussian, StudyPlan, decode_event, encode_event
from privacy.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("ledger_driver.py")


def one_step(site: Any, stage: str = "align") -> SampledGaussian:
    return site.plan.stage_event(stage).one_step()


def spend(site: Any, rounds: int) -> None:
    for number in range(1, rounds + 1):
        site.ledger.commit(site.ledger.reserve(one_step(site), site.context(round_number=number)))


def test_what_is_reserved_counts_whether_or_not_it_is_committed(site: Any, doubles: SimpleNamespace) -> None:
    site.ledger.commit(site.ledger.reserve(one_step(site), site.context()))
    site.ledger.reserve(one_step(site), site.context(round_number=2))
    assert site.ledger.steps_left(doubles.STUDY, "align") == 18
    two = replace(one_step(site), steps=2)
    assert site.ledger.epsilon_spent(delta=doubles.DELTA) == epsilon([two], delta=doubles.DELTA)


def test_a_round_that_died_and_is_reserved_again_is_charged_again(site: Any, doubles: SimpleNamespace) -> None:
    first = site.ledger.reserve(one_step(site), site.context())
    second = site.ledger.reserve(one_step(site), site.context())
    assert (first.attempt, second.attempt) == (1, 2)
    assert site.ledger.steps_left(doubles.STUDY, "align") == 18


def test_nothing_beyond_the_approved_plan_can_be_reserved(site: Any) -> None:
    with pytest.raises(BudgetExceeded):
        site.ledger.reserve(replace(one_step(site), steps=21), site.context())
    site.ledger.reserve(replace(one_step(site), steps=20), site.context())
    with pytest.raises(BudgetExceeded):
        site.ledger.reserve(one_step(site), site.context(round_number=2))
    site.ledger.reserve(replace(one_step(site), steps=15), site.context(stage="diffuse"))
    with pytest.raises(BudgetExceeded):
        site.ledger.reserve(replace(one_step(site), steps=6), site.context(stage="diffuse"))
    site.ledger.reserve(replace(one_step(site), steps=5), site.context(stage="diffuse"))
    with pytest.raises(BudgetExceeded):
        site.ledger.reserve(one_step(site), site.context(stage="guide"))


def test_another_mechanism_than_the_planned_one_is_refused(site: Any) -> None:
    for changes in ({"noise_multiplier": 1.99}, {"sampling_probability": 0.19}, {"noise_multiplier": 3.0}):
        with pytest.raises(MechanismMisused):
            site.ledger.reserve(replace(one_step(site), **changes), site.context())


def test_a_study_without_approval_is_refused(site: Any) -> None:
    context = replace(site.context(), study_digest="0" * 64)
    with pytest.raises(StudyNotApproved):
        site.ledger.reserve(one_step(site), context)
    with pytest.raises(StudyNotApproved):
        site.ledger.steps_left("0" * 64, "align")


def test_a_reservation_is_committed_once(site: Any) -> None:
    reservation = site.ledger.reserve(one_step(site), site.context())
    site.ledger.commit(reservation)
    for wrong in (reservation, replace(reservation, identifier="f" * 32)):
        with pytest.raises(MechanismMisused):
            site.ledger.commit(wrong)


def test_approving_again_changes_nothing_and_another_plan_is_refused(site: Any) -> None:
    before = site.ledger.head()
    site.ledger.approve(site.plan)
    assert site.ledger.head() == before and site.ledger.plan(site.plan.study_digest) == site.plan
    with pytest.raises(BudgetExceeded):
        site.ledger.approve(replace(site.plan, noise_multiplier=3.0))


def test_a_plan_that_understates_its_cost_is_refused(site: Any, doubles: SimpleNamespace) -> None:
    with pytest.raises(BudgetExceeded):
        site.ledger.approve(replace(doubles.plan(study_digest="6" * 64), epsilon=0.1))


def test_a_plan_beyond_the_policy_of_one_study_is_refused(
    make_site: Callable[..., Any], doubles: SimpleNamespace
) -> None:
    cost = doubles.plan().epsilon
    site = make_site(max_epsilon_per_study=cost * 1.001)
    for dearer in (
        doubles.plan(study_digest="6" * 64, steps=25),
        replace(doubles.plan(study_digest="7" * 64), delta=2e-3),
    ):
        with pytest.raises(BudgetExceeded):
            site.ledger.approve(dearer)


def test_studies_together_stay_within_the_lifetime_epsilon(
    make_site: Callable[..., Any], doubles: SimpleNamespace
) -> None:
    """By the sum of caps or by Renyi, whichever is smaller; the Renyi account allows more than two here."""
    cost = doubles.plan().epsilon
    site = make_site(max_epsilon=2.2 * cost, max_epsilon_per_study=1.1 * cost)
    approved = 1
    with pytest.raises(BudgetExceeded):
        for number in range(10):
            site.ledger.approve(doubles.plan(study_digest=f"{number:064d}"))
            approved += 1
    assert 2 <= approved <= 6
    events = [event for _ in range(approved) for event in doubles.plan().events()]
    assert epsilon(events, delta=site.policy.max_delta) <= site.policy.max_epsilon


def test_two_studies_cost_at_most_their_sum_and_no_less_than_together(site: Any, doubles: SimpleNamespace) -> None:
    other = doubles.plan(study_digest="6" * 64)
    site.ledger.approve(other)
    spent = replace(one_step(site), steps=15)
    site.ledger.reserve(spent, site.context())
    site.ledger.reserve(spent, replace(site.context(), study_digest=other.study_digest))
    together = site.ledger.epsilon_spent(delta=1e-3)
    assert epsilon([spent, spent], delta=1e-3) <= together <= 2 * epsilon([spent], delta=2.5e-4)
    assert site.ledger.epsilon_spent(delta=1e-3, study_digest=doubles.STUDY) == epsilon([spent], delta=1e-3)


def test_threads_cannot_spend_the_same_step_twice(
    site: Any, doubles: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between looking and writing is held open, so that a race would be lost."""
    look = chain.last_entry
    monkeypatch.setattr(chain, "last_entry", lambda connection: (look(connection), time.sleep(0.005))[0])
    won: list[str] = []
    refused: list[type] = []
    others = [Ledger(site.path, site.keys.signing_key, site.policy) for _ in range(3)]

    def race(ledger: Ledger, number: int) -> None:
        for attempt in range(5):
            try:
                won.append(
                    ledger.reserve(one_step(site), site.context(round_number=10 * number + attempt + 1)).identifier
                )
            except BudgetExceeded as error:
                refused.append(type(error))

    threads = [threading.Thread(target=race, args=(ledger, n)) for n, ledger in enumerate([site.ledger, *others] * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == len(set(won)) == 20 and len(refused) == 20
    assert site.ledger.steps_left(doubles.STUDY, "align") == 0
    site.ledger.verify()


def drive(what: str, site: Any, study: str, argument: object) -> list[Any]:
    policy = json.dumps(site.policy.model_dump(mode="json"))
    command = [sys.executable, str(DRIVER), what, str(site.path.parent), policy, study, json.dumps(argument)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_kill_minus_nine_at_any_moment_never_undercounts(
    doubles: SimpleNamespace, make_site: Callable[..., Any]
) -> None:
    """At calls spread over one reservation and its commit, and at moments inside SQLite's own commit."""
    site = make_site(max_epsilon=1e6, max_epsilon_per_study=1e6)
    long = doubles.plan(study_digest="6" * 64, steps=4000)
    site.ledger.approve(long)
    draw = random.Random(3)
    between = sorted(draw.sample(range(1, 500), 32))
    inside = [draw.uniform(0.0, 0.02) for _ in range(12)]
    found = drive("kill", site, long.study_digest, [*between, *inside])
    assert len(found) == 44 and all(line["anchored"] for line in found)
    assert all(line["spent"] >= line["acknowledged"] and line["grew"] >= line["new"] for line in found)
    # The points do lie before, between and after: nothing kept, kept but not acknowledged, acknowledged.
    kinds = {(line["grew"], line["new"]) for line in found if isinstance(line["point"], int)}
    assert {(0, 0), (1, 0), (1, 1)} <= kinds
    assert site.ledger.steps_left(long.study_digest, "align") == 4000 - found[-1]["spent"]


def test_processes_cannot_spend_the_same_step_twice(site: Any, doubles: SimpleNamespace) -> None:
    (answers,) = drive("race", site, doubles.STUDY, 4)
    won = [answer for answer in answers if answer != "refused"]
    assert len(answers) == 32 and len(won) == len(set(won)) == 20
    assert site.ledger.steps_left(doubles.STUDY, "align") == 0
    site.ledger.verify()


def tampered(site: Any, statement: str) -> None:
    with sqlite3.connect(site.path) as connection:
        connection.execute("DROP TRIGGER never_updated")
        connection.execute("DROP TRIGGER never_deleted")
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("column", ["kind", "study_digest", "body", "previous", "digest", "signature"])
@pytest.mark.parametrize("sequence", [1, 4, 8])
def test_one_changed_character_anywhere_is_found_and_located(site: Any, column: str, sequence: int) -> None:
    spend(site, 3)
    site.ledger.verify()
    flipped = f"CASE substr({column}, 3, 1) WHEN 'a' THEN 'b' ELSE 'a' END"
    changed = f"substr({column}, 1, 2) || {flipped} || substr({column}, 4)"
    tampered(site, f"UPDATE entries SET {column} = {changed} WHERE sequence = {sequence}")
    with pytest.raises(LedgerTampered, match=f"Entry {sequence} "):
        site.ledger.verify()
    with pytest.raises(LedgerTampered):
        Ledger(site.path, site.keys.signing_key, site.policy)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entries WHERE sequence = 4",
        "UPDATE entries SET body = replace(body, '\"steps\":1', '\"steps\":0') WHERE sequence = 3",
        "UPDATE entries SET sequence = sequence + 100 WHERE sequence = 8",
        "DELETE FROM entries WHERE sequence = 1",
    ],
)
def test_removed_reordered_and_edited_entries_are_found(site: Any, statement: str) -> None:
    spend(site, 3)
    tampered(site, statement)
    with pytest.raises(LedgerTampered):
        site.ledger.verify()


def test_a_chain_recomputed_under_another_key_is_found(site: Any) -> None:
    forger = Ed25519PrivateKey.generate()
    with chain.writing(site.path) as connection:
        chain.append(connection, forger, kind="committed", study_digest="", body={})
    with pytest.raises(LedgerTampered, match="Entry 3 "):
        site.ledger.verify()


def test_an_old_copy_put_back_is_found_by_a_head_kept_elsewhere(site: Any) -> None:
    """With the keys' own memory of it: all that the coordinator's records are for, since nothing here can tell."""
    backup = site.path.parent.with_name("backup")
    shutil.copytree(site.path.parent, backup)
    spend(site, 2)
    reported = chain.Head.read(str(site.ledger.head()))
    site.ledger.verify(anchored=reported)
    shutil.copytree(backup, site.path.parent, dirs_exist_ok=True)
    reopened = Ledger(site.path, site.keys.signing_key, site.policy)
    for branch in (0, 3):
        spend(site, branch)
        with pytest.raises(LedgerTampered, match="old copy was put back"):
            reopened.verify(anchored=reported)


@pytest.mark.parametrize("statement", ["UPDATE entries SET body = '{}'", "DELETE FROM entries"])
def test_the_table_refuses_updates_and_deletes(site: Any, statement: str) -> None:
    with sqlite3.connect(site.path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


def test_a_damaged_file_is_said_to_be_damaged(site: Any) -> None:
    site.path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(LedgerTampered):
        site.ledger.verify()


def test_nobody_else_may_read_the_file(site: Any) -> None:
    assert stat.S_IMODE(site.path.stat().st_mode) == 0o600


def test_entries_can_be_read_with_the_standard_library_alone(site: Any) -> None:
    spend(site, 1)
    with sqlite3.connect(site.path) as connection:
        rows = connection.execute("SELECT kind, body FROM entries ORDER BY sequence").fetchall()
    connection.close()
    assert [kind for kind, _ in rows] == ["opened", "approved", "reserved", "committed"]
    assert json.loads(rows[2][1])["event"] == {
        "kind": "sampled-gaussian",
        "noise_multiplier": 2.0,
        "sampling_probability": 0.2,
        "steps": 1,
    }
    assert all(json.loads(body)["policy"] == site.policy.digest() for _, body in rows)


def test_events_and_plans_survive_the_ledgers_form(site: Any) -> None:
    for event in (one_step(site), NonPrivate(steps=3)):
        assert decode_event(json.loads(json.dumps(encode_event(event)))) == event
    assert StudyPlan.from_dict(json.loads(json.dumps(site.plan.to_dict()))) == site.plan


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "os.system", "steps": 1},
        {"steps": 1},
        {"kind": "non-private"},
        {"kind": "non-private", "steps": 0},
        {"kind": "non-private", "steps": 1, "more": 1},
        {"kind": "sampled-gaussian", "sampling_probability": 0.1, "noise_multiplier": 0.0, "steps": 1},
        {"kind": "sampled-gaussian", "sampling_probability": 0.1, "noise_multiplier": 1.0, "steps": True},
    ],
)
def test_only_events_of_the_closed_table_with_sound_values_are_decoded(values: dict) -> None:
    with pytest.raises(LedgerTampered):
        decode_event(values)


REQUEST = st.tuples(
    st.sampled_from(["reserve", "reserve", "reserve", "commit", "approve", "reopen"]),
    st.sampled_from(["align", "align", "diffuse", "guide"]),
    st.integers(0, 9),
    st.sampled_from([1.0, 1.0, 1.0, 1.0, 0.5, 2.0]),
)


@given(st.lists(REQUEST, min_size=10, max_size=40))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_sequence_of_requests_spends_more_than_was_approved(
    make_site: Callable[..., Any], doubles: SimpleNamespace, requests: list[tuple[str, str, int, float]]
) -> None:
    site = make_site()
    ledger, held = site.ledger, []
    for action, stage, number, factor in requests:
        try:
            if action == "reserve":
                multiplier = site.plan.noise_multiplier * factor
                event = SampledGaussian(sampling_probability=0.2, noise_multiplier=multiplier, steps=number)
                held.append(ledger.reserve(event, site.context(stage=stage, round_number=number)))
            elif action == "commit" and held:
                ledger.commit(held[number % len(held)])
            elif action == "approve":
                ledger.approve(replace(site.plan, noise_multiplier=site.plan.noise_multiplier * factor))
            else:
                ledger = Ledger(site.path, site.keys.signing_key, site.policy)
        except PrivacyError:
            pass
    assert all(ledger.steps_left(doubles.STUDY, stage) >= 0 for stage in ("align", "diffuse"))
    assert ledger.epsilon_spent(delta=site.plan.delta) <= site.plan.epsilon * (1 + 1e-6)
    ledger.verify()

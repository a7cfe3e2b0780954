"""`audit ledger`: the first broken entry or page is named, an old copy is noticed, and the story must be allowed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from privacy import chain
from privacy.anchor import HeadAnchor
from privacy.audit.commands import app
from privacy.audit.ledger_checks import check_claims, check_ledger, heads_in_rounds
from privacy.chain import Head
from privacy.errors import KeysUnusable, LedgerTampered
from privacy.events import encode_event
from privacy.ledger import Ledger
from privacy.seal import seal_path


def spend(site: Any, rounds: int, *, first: int = 1) -> None:
    event = site.plan.stage_event("align").one_step()
    for number in range(first, first + rounds):
        site.ledger.commit(site.ledger.reserve(event, site.context(round_number=number)))


def checked(site: Any, **options: Any) -> dict[str, Any]:
    anchor = HeadAnchor.in_keys(site.path.parent / "keys").read()
    results = check_ledger(site.path, **{"public_key": site.keys.public_key, "anchor": anchor} | options)
    return {result.name: result for result in results}


def failing(results: dict[str, Any]) -> set[str]:
    return {name for name, result in results.items() if not result.passed}


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["ledger", *map(str, words)])


@pytest.fixture
def spent(site: Any) -> Any:
    spend(site, 5)
    return site


def test_a_sound_ledger_passes_every_check(spent: Any) -> None:
    results = checked(spent, heads={"run": [spent.ledger.head()]})
    assert set(results) == {"key", "chain", "file", "anchor", "coordinator run", "entries", "plans", "policy"}
    assert not failing(results)
    assert all(result.figure and result.power for result in results.values())


def test_one_flipped_bit_anywhere_is_found_and_its_page_named(spent: Any) -> None:
    whole, draw = spent.path.read_bytes(), random.Random(11)
    places = [*draw.sample(range(100), 15), *(draw.randrange(100, len(whole)) for _ in range(85))]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << draw.randrange(8)
        spent.path.write_bytes(flipped)
        results = checked(spent)
        assert results["file"].figure.startswith(f"page {place // 4096 + 1} "), place
        assert not results["file"].passed


def test_a_flipped_bit_of_an_entry_names_that_entry(spent: Any) -> None:
    whole, draw = spent.path.read_bytes(), random.Random(12)
    for entry in spent.ledger.entries():
        for text in (entry.text, entry.signature):
            start = whole.index(text.encode())
            assert whole.count(text.encode()) == 1
            flipped = bytearray(whole)
            flipped[start + draw.randrange(len(text))] ^= 1 << draw.randrange(8)
            spent.path.write_bytes(flipped)
            results = checked(spent)
            assert f"entry {entry.sequence} does not" in results["chain"].figure
            assert {"chain", "file"} <= failing(results)
            assert not {"entries", "plans", "policy"} & set(results)  # nothing is read out of a broken ledger


def test_the_check_reads_and_changes_nothing(spent: Any) -> None:
    before = {path: path.read_bytes() for path in spent.path.parent.rglob("*") if path.is_file()}
    checked(spent)
    check_claims(spent.path)
    assert before == {path: path.read_bytes() for path in spent.path.parent.rglob("*") if path.is_file()}


def test_a_key_that_only_the_ledger_names_is_not_enough(spent: Any) -> None:
    results = checked(spent, public_key=None)
    assert failing(results) == {"key"}
    assert failing(checked(spent, public_key=bytes(31) + b"\1")) >= {"chain"}


def test_a_seal_that_a_crash_left_behind_is_said_so(spent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "_settle", lambda self: None)
    spend(spent, 1, first=6)
    results = checked(spent)
    assert failing(results) == {"file"} and "sealed at entry 12, entries follow" in results["file"].figure
    seal_path(spent.path).unlink()
    assert "there is no ledger.sqlite.seal" in checked(spent)["file"].figure


def test_an_old_copy_is_found_by_the_anchor_and_by_the_coordinator(spent: Any, tmp_path: Path) -> None:
    old, old_seal = spent.path.read_bytes(), seal_path(spent.path).read_bytes()
    spend(spent, 1, first=6)
    seen = spent.ledger.head()
    spent.path.write_bytes(old)
    seal_path(spent.path).write_bytes(old_seal)
    results = checked(spent, heads={"run": [Head(12, "0" * 64), seen]})
    assert failing(results) == {"anchor", "coordinator run"}
    assert "an old copy was put back" in results["anchor"].figure
    assert failing(checked(spent, anchor=None, heads={"run": [seen]})) == {"anchor", "coordinator run"}
    assert failing(checked(spent, anchor=None, heads={"run": []})) == {"anchor", "coordinator run"}


# --- the story -------------------------------------------------------------------------------------------------------


def forged(site: Any, kind: str, body: dict[str, Any], study: str) -> None:
    """An entry that the ledger's own methods would refuse, well signed: as a changed program would write it."""
    written = {"at": "2026-01-01T00:00:00+00:00", "policy": site.policy.digest()}
    with chain.writing(site.path) as connection:
        chain.append(connection, site.keys.signing_key, kind=kind, study_digest=study, body=written | body)
    site.ledger._settle()


def reserved(event: Any, **changes: Any) -> dict[str, Any]:
    values = encode_event(event) | changes
    return {"reservation": "f" * 32, "event": values, "attempt": 1, "stage": "align", "round_number": 9}


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        ("reserved", lambda site: reserved(site.plan.stage_event("align"), noise_multiplier=1.9, steps=1), "plans"),
        ("reserved", lambda site: reserved(site.plan.stage_event("align")), "plans"),  # all steps once more
        ("reserved", lambda site: reserved(site.plan.stage_event("align"), kind="other"), "entries"),
        ("committed", lambda site: {"reservation": "e" * 32}, "plans"),
        ("non-private", lambda site: {"event": {"kind": "non-private", "steps": 1}}, "policy"),
        ("approved", lambda site: {"plan": replace(site.plan, noise_multiplier=1.0).to_dict()}, "policy"),
        ("approved", lambda site: {"plan": site.plan.to_dict()}, "plans"),
        ("reserved", lambda site: {}, "entries"),
        ("policy", lambda site: {"policy_terms": site.policy.model_dump(mode="json") | {"max_epsilon": 99}}, "entries"),
        ("committed", lambda site: {"reservation": "e" * 32, "policy": "0" * 64}, "entries"),
    ],
)
def test_a_well_signed_entry_that_may_not_stand_there_is_named(spent: Any, kind: str, body: Any, name: str) -> None:
    forged(spent, kind, body(spent), spent.plan.study_digest)
    results = checked(spent)
    assert name in failing(results) and not {"chain", "file", "anchor"} & failing(results)
    assert results[name].figure.startswith("entry 13")


def test_a_study_that_nobody_approved_is_named(spent: Any) -> None:
    forged(spent, "reserved", reserved(spent.plan.stage_event("align"), steps=1), "9" * 64)
    assert checked(spent)["plans"].figure == "entry 13: its study has no plan"


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_each_proposition_and_exits_by_them(spent: Any) -> None:
    done = run(spent.path.parent)
    assert done.exit_code == 0, done.output
    assert "FAILED" not in done.output and f"recomputed {spent.plan.epsilon:.4f}" in done.output
    flipped = bytearray(spent.path.read_bytes())
    flipped[-1] ^= 1
    spent.path.write_bytes(flipped)
    done = run(spent.path.parent, "--no-claims", "--json")
    assert done.exit_code == 5
    assert [one["name"] for one in json.loads(done.stdout) if not one["passed"]][:1] != []


def test_the_command_takes_a_copy_of_the_file_a_key_and_the_runs_records(spent: Any, tmp_path: Path) -> None:
    copy, rounds, head = tmp_path / "elsewhere" / "a.sqlite", tmp_path / "rounds.jsonl", spent.ledger.head()
    copy.parent.mkdir()
    copy.write_bytes(spent.path.read_bytes())
    seal_path(copy).write_bytes(seal_path(spent.path).read_bytes())
    outcome = {"status": "accepted", "ledger_sequence": head.sequence, "ledger_digest": head.digest}
    rounds.write_text(json.dumps({"sites": {"hospital": outcome, "other": outcome}}) + "\n")
    done = run(copy, "--public-key", spent.keys.public_key.hex(), "--rounds", rounds, "--no-claims")
    assert done.exit_code == 5 and done.output.count("FAILED") == 1  # the anchor is not here
    assert "1 recorded entries are there" in done.output and "no head in the key store was given" in done.output
    assert heads_in_rounds(rounds, "hospital") == [head] and heads_in_rounds(rounds, "nobody") == []
    with pytest.raises(LedgerTampered, match="rounds.jsonl"):
        heads_in_rounds(copy, "hospital")
    for words in ([copy, "--public-key", "beef"], [tmp_path / "none"]):
        assert isinstance(run(*words).exception, KeysUnusable | LedgerTampered)

"""An auditor needs none of our code: two files, run as files, say what we say, on sound ledgers and on forged ones."""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy import chain
from privacy.errors import LedgerTampered
from privacy.events import NonPrivate
from privacy.seal import seal_path

FOLDER = Path(__file__).resolve().parents[3] / "privacy" / "audit"
VERIFY, RECOMPUTE = FOLDER / "verify_ledger.py", FOLDER / "recompute_epsilon.py"


def alone(script: Path, tmp_path: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The script as a file of its own, from a folder where fedm2g cannot be imported."""
    copy = shutil.copy(script, tmp_path / script.name)
    blocked = "import sys; sys.modules.update(dict.fromkeys(('privacy', 'fedm2g', 'client', 'protocol'), None))"
    start = f"{blocked}; sys.argv = sys.argv[1:]; import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-I", "-c", start, str(copy), *map(str, words)]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def module(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"alone_{script.stem}", script)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def imports(script: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(script.read_text(encoding="utf-8"))))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names)


def spend(site: Any, rounds: int) -> None:
    event = site.plan.stage_event("align").one_step()
    for number in range(1, rounds + 1):
        site.ledger.commit(site.ledger.reserve(event, site.context(round_number=number)))


def test_the_verifier_is_short_and_needs_cryptography_alone() -> None:
    assert len(VERIFY.read_text(encoding="utf-8").splitlines()) <= 60
    assert imports(VERIFY) == {"cryptography"}


def test_the_recomputation_needs_dp_accounting_alone() -> None:
    assert imports(RECOMPUTE) == {"dp_accounting"}


def test_the_verifier_runs_as_a_file_and_exits_by_what_it_found(site: Any, tmp_path: Path) -> None:
    spend(site, 2)
    key, head = site.keys.public_key.hex(), str(site.ledger.head())
    done = alone(VERIFY, tmp_path, site.path, key, head)
    assert (done.returncode, done.stdout) == (0, "the ledger verifies\n"), done.stderr
    done = alone(VERIFY, tmp_path, site.path, key, head.replace("6:", "7:"))
    assert done.returncode == 1 and "older than a head" in done.stderr and "Traceback" not in done.stderr


def test_it_agrees_with_our_own_verifier_on_every_tampered_file(site: Any) -> None:
    """On the first entry at fault too: bits of every entry, bits anywhere, entries of another key, a missing seal."""
    spend(site, 4)
    theirs, key = module(VERIFY), site.keys.signing_key.public_key()
    whole, draw = site.path.read_bytes(), random.Random(3)
    assert theirs.fault(str(site.path), key) is None
    starts = [whole.index(entry.signature.encode()) for entry in site.ledger.entries()]
    for place in [*(start + draw.randrange(128) for start in starts), *(draw.randrange(len(whole)) for _ in range(80))]:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << draw.randrange(8)
        site.path.write_bytes(flipped)
        said = theirs.fault(str(site.path), key)
        assert said is not None, place
        with pytest.raises(LedgerTampered) as ours:
            site.ledger.verify()
        if "Entry" in str(ours.value):
            assert f"entry {str(ours.value).split()[1]} " in said
    site.path.write_bytes(whole)
    seal_path(site.path).unlink()
    assert "seal" in str(theirs.fault(str(site.path), key))
    with chain.writing(site.path) as connection:
        chain.append(connection, Ed25519PrivateKey.generate(), kind="committed", study_digest="", body={})
    assert theirs.fault(str(site.path), key) == "entry 11 does not verify"


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ("DELETE FROM entries WHERE sequence = 4", 4),
        ("UPDATE entries SET sequence = 99 WHERE sequence = 6", 6),
        ("UPDATE entries SET kind = 'gift' WHERE sequence = 3", 3),
        ("UPDATE entries SET signature = upper(signature) WHERE sequence = 2", 2),
        ("DELETE FROM entries", 0),
    ],
)
def test_it_names_the_entry_that_was_edited(site: Any, statement: str, entry: int) -> None:
    spend(site, 2)
    with chain.connected(site.path) as connection:
        connection.executescript(f"DROP TRIGGER never_updated; DROP TRIGGER never_deleted; {statement}")
    said = module(VERIFY).fault(str(site.path), site.keys.signing_key.public_key())
    assert said is not None and said.startswith(f"entry {entry} " if entry else "the file is empty")


def test_the_recomputed_epsilon_is_what_was_claimed_and_spent(
    make_site: Callable[..., Any], doubles: SimpleNamespace, tmp_path: Path
) -> None:
    """To a thousandth, over two studies of different shape, at the plan's own delta."""
    site = make_site(max_epsilon=40.0)
    other = doubles.plan(study_digest="6" * 64, steps=9)
    site.ledger.approve(other)
    site.ledger.reserve(replace(site.plan.stage_event("align"), steps=7), site.context())
    site.ledger.reserve(replace(site.plan.stage_event("diffuse"), steps=3), site.context(stage="diffuse"))
    site.ledger.reserve(replace(other.stage_event("align"), steps=9), replace(site.context(), study_digest="6" * 64))
    done = alone(RECOMPUTE, tmp_path, site.path, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["study"] for row in found["studies"]] == [site.plan.study_digest, other.study_digest]
    for row, plan in zip(found["studies"], (site.plan, other), strict=True):
        ours = site.ledger.epsilon_spent(delta=plan.delta, study_digest=plan.study_digest)
        assert row["claimed"] == plan.epsilon and row["planned"] == pytest.approx(plan.epsilon, abs=1e-3)
        assert row["spent"] == pytest.approx(ours, abs=1e-3)
    assert found["all_studies"]["planned"] == pytest.approx(site.plan.epsilon + other.epsilon, abs=2e-3)
    assert "planned" in alone(RECOMPUTE, tmp_path, site.path).stdout


def test_a_plan_that_claims_less_than_it_costs_is_not_sound(site: Any) -> None:
    forged = replace(site.plan, study_digest="6" * 64, epsilon=site.plan.epsilon - 0.002)
    with chain.writing(site.path) as connection:
        body = {"plan": forged.to_dict(), "policy": site.policy.digest()}
        chain.append(connection, site.keys.signing_key, kind="approved", study_digest="6" * 64, body=body)
    assert module(RECOMPUTE).report(str(site.path))["sound"] is False


def test_training_without_protection_has_no_figure(make_site: Callable[..., Any]) -> None:
    site = make_site(allow_non_private=True)
    site.ledger.record_non_private(2, replace(site.context(), study_digest="7" * 64))
    found = module(RECOMPUTE).report(str(site.path))
    assert math.isinf(found["studies"][1]["spent"]) and math.isinf(found["all_studies"]["spent"])
    assert site.ledger.events("7" * 64) == {"7" * 64: [NonPrivate(steps=2)]}


def test_an_unknown_kind_of_event_is_refused_and_never_skipped(site: Any) -> None:
    script = module(RECOMPUTE)
    with pytest.raises(ValueError, match="unknown kind of event"):
        script.epsilon([{"kind": "gift", "steps": 1, "noise_multiplier": 1.0, "sampling_probability": 0.1}], 1e-5, 1e-3)
    with chain.writing(site.path) as connection:
        chain.append(connection, site.keys.signing_key, kind="gift", study_digest="", body={})
    with pytest.raises(ValueError, match="unknown kind of entry"):
        script.report(str(site.path))


def test_a_cap_on_a_steps_patients_costs_next_to_nothing_where_it_never_bites() -> None:
    """Binomial tails against known answers, and the capped event against the plain one (notes/privacy.md 5.2)."""
    script = module(RECOMPUTE)
    assert script.tail(1, 3, 0.5) == pytest.approx(7 / 8) and script.tail(4, 3, 0.5) == 0.0
    plain = {"kind": "sampled-gaussian", "sampling_probability": 0.01, "noise_multiplier": 1.0, "steps": 1000}
    capped = plain | {"kind": "capped-sampled-gaussian", "max_patients": 10_000}
    free, dear = (script.epsilon([capped | {"batch_cap": cap}], 1e-5, 1e-3) for cap in (160, 120))
    without = script.epsilon([plain], 1e-5, 1e-3)
    assert without == pytest.approx(1.8282, abs=2e-3) and free == pytest.approx(without, abs=1e-3)
    assert dear > 5.0

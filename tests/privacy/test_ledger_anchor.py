"""An old ledger spends nothing: its head is remembered in the key store, and the file is sealed page by page."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from privacy import chain
from privacy.anchor import HeadAnchor
from privacy.chain import Head
from privacy.errors import KeysUnusable, LedgerTampered
from privacy.ledger import Ledger
from privacy.seal import Seal, seal_path


def spend(site: Any, rounds: int, *, first: int = 1) -> None:
    event = site.plan.stage_event("align").one_step()
    for number in range(first, first + rounds):
        site.ledger.commit(site.ledger.reserve(event, site.context(round_number=number)))


def reopened(site: Any) -> Ledger:
    return Ledger(site.path, site.keys.signing_key, site.policy)


def copy_of(site: Any, name: str, *, keys: bool = False) -> Path:
    """The ledger with its seal, and the head from the key store, as a backup would keep them."""
    backup = site.path.parent / name
    backup.mkdir()
    for path in [site.path, seal_path(site.path), *([site.path.parent / "keys" / "ledger.head"] if keys else [])]:
        shutil.copy(path, backup / path.name)
    return backup


def put_back(site: Any, backup: Path) -> None:
    for path in backup.iterdir():
        shutil.copy(path, site.path.parent / ("keys" if path.name == "ledger.head" else "") / path.name)


def test_the_key_store_remembers_the_newest_head(site: Any) -> None:
    anchor = HeadAnchor.in_keys(site.path.parent / "keys")
    for number in (1, 2):
        spend(site, 1, first=number)
        assert anchor.read() == site.ledger.head()
        assert anchor.path.stat().st_mode & 0o777 == 0o600


def test_an_old_copy_put_back_spends_nothing_and_is_not_opened(site: Any) -> None:
    spend(site, 1)
    old = copy_of(site, "backup")
    spend(site, 2, first=2)
    put_back(site, old)
    with pytest.raises(LedgerTampered, match="old copy was put back"):
        site.ledger.reserve(site.plan.stage_event("align").one_step(), site.context(round_number=4))
    for refused in (site.ledger.verify, lambda: reopened(site), lambda: site.ledger.approve(site.plan)):
        with pytest.raises(LedgerTampered, match="old copy was put back"):
            refused()
    assert Head.read((site.path.parent / "keys" / "ledger.head").read_text().strip()).sequence == 8


def test_a_ledger_that_is_gone_is_not_begun_anew(site: Any) -> None:
    site.path.unlink()
    with pytest.raises(LedgerTampered, match="is gone"):
        reopened(site)
    assert not site.path.exists()
    chain.create_table(site.path)  # an empty one in its place
    with pytest.raises(LedgerTampered):
        reopened(site)


def test_a_head_that_is_gone_or_damaged_stops_the_spending(site: Any) -> None:
    head = site.path.parent / "keys" / "ledger.head"
    for content in (b"", b"seven:" + b"a" * 64, b"\xff\xfe"):
        head.write_bytes(content)
        with pytest.raises(KeysUnusable, match="newest backup"):
            spend(site, 1)
    head.unlink()
    with pytest.raises(LedgerTampered, match="lost ledger.head"):
        spend(site, 1)
    with pytest.raises(LedgerTampered, match="lost ledger.head"):
        reopened(site)


def test_an_older_backup_of_the_keys_is_no_obstacle(site: Any) -> None:
    head = site.path.parent / "keys" / "ledger.head"
    older = head.read_bytes()
    spend(site, 1)
    head.write_bytes(older)
    assert reopened(site).head() == site.ledger.head()
    assert Head.read(head.read_text().strip()) == site.ledger.head()


def test_a_commit_that_was_never_acknowledged_is_taken_up_at_the_next_opening(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the commit and the head: the entry counts, head and seal follow."""
    with monkeypatch.context() as killed:
        killed.setattr(Ledger, "_settle", lambda self: None)
        site.ledger.reserve(site.plan.stage_event("align").one_step(), site.context())
    seal = Seal.read(seal_path(site.path), site.keys.signing_key.public_key())
    assert seal is not None and seal.sequence == 2
    again = reopened(site)
    assert again.steps_left(site.plan.study_digest, "align") == 19
    seal = Seal.read(seal_path(site.path), site.keys.signing_key.public_key())
    assert seal is not None and seal.head == again.head() == HeadAnchor.in_keys(site.path.parent / "keys").read()


def test_one_flipped_bit_anywhere_in_the_file_is_refused_at_opening(site: Any) -> None:
    spend(site, 4)
    whole, size = site.path.read_bytes(), site.path.stat().st_size
    draw = random.Random(5)
    for place in [*range(100), *(draw.randrange(size) for _ in range(150))]:  # every byte of the header, and anywhere
        flipped = bytearray(whole)
        flipped[place] ^= 1 << draw.randrange(8)
        site.path.write_bytes(flipped)
        with pytest.raises(LedgerTampered):
            site.ledger.verify()
    site.path.write_bytes(whole)
    site.ledger.verify()


def test_bytes_behind_the_file_and_another_schema_are_refused(site: Any) -> None:
    whole = site.path.read_bytes()
    site.path.write_bytes(whole + bytes(10))
    with pytest.raises(LedgerTampered, match="Page"):
        site.ledger.verify()
    site.path.write_bytes(whole)
    with sqlite3.connect(site.path) as connection:
        connection.execute("DROP TRIGGER never_deleted")
    connection.close()
    with pytest.raises(LedgerTampered, match="schema"):
        site.ledger.verify()


@pytest.mark.parametrize(
    "spoil", [lambda text: text.replace(b'"sequence":2', b'"sequence":1'), lambda text: text + b" ", bytes.upper]
)
def test_a_seal_that_was_changed_is_refused_and_a_missing_one_is_made_again(site: Any, spoil: Any) -> None:
    path = seal_path(site.path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(LedgerTampered, match="seal"):
        reopened(site)
    path.unlink()
    reopened(site)
    assert Seal.read(path, site.keys.signing_key.public_key()) is not None


def test_a_changed_policy_stands_in_the_ledger_before_its_first_entry(site: Any) -> None:
    stricter = site.policy.model_copy(update={"max_epsilon": 15.0})
    ledger = Ledger(site.path, site.keys.signing_key, stricter)
    ledger.reserve(site.plan.stage_event("align").one_step(), site.context())
    first, *_, written, reserved = ledger.entries()
    assert first.body["policy_terms"] == site.policy.model_dump(mode="json")
    assert written.kind == "policy" and written.body["policy_terms"]["max_epsilon"] == 15.0
    assert reserved.body["policy"] == written.body["policy"] == stricter.digest()
    ledger.verify()


def test_opening_a_ledger_takes_nobody_elses_lock(site: Any) -> None:
    """Closing any descriptor of a SQLite file drops the process's locks on it: the file is never opened by hand."""
    with chain.writing(site.path):
        chain.create_table(site.path)
        code = (
            "import sqlite3, sys\n"
            "c = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
            "try: c.execute('BEGIN IMMEDIATE')\n"
            "except sqlite3.OperationalError: sys.exit(7)\n"
        )
        import subprocess
        import sys

        assert subprocess.run([sys.executable, "-c", code, str(site.path)], check=False).returncode == 7
    assert os.access(site.path, os.R_OK)

"""What an auditor asks of a site's ledger: is it whole, is it the newest, and did it stay within what was allowed?

Everything is recomputed from the file. Nothing here writes, and nothing is mended: the first entry or page at fault is
named. `verify_ledger.py` and `recompute_epsilon.py` beside this file do the same without our code.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privacy import chain
from privacy.audit.check import CheckResult
from privacy.audit.ledger_replay import Replay
from privacy.chain import NOTHING_BEFORE, Fault, Head, LedgerEntry
from privacy.errors import LedgerTampered
from privacy.seal import Seal, page_size_of, seal_path, structure_fault


@dataclass(frozen=True)
class _Reading:
    """The file, read once in one state."""

    head: Head
    """Of the last entry that verifies with all before it."""
    fault: Fault | None
    entries: list[LedgerEntry]
    """Those that verify."""
    content: bytes
    structure: str | None


def check_ledger(
    ledger: Path,
    *,
    public_key: bytes | None,
    anchor: Head | None = None,
    heads: Mapping[str, Sequence[Head]] | None = None,
) -> list[CheckResult]:
    """Every check of one ledger's file, the most basic first. Raises LedgerTampered where there is no such file.

    public_key: 32 bytes, from the site's keys or its enrolment; None takes the ledger's own word and fails for it.
    anchor: the head that the site's key store remembers. heads: those that coordinators recorded, by run.
    """
    ledger = Path(ledger)
    if not ledger.is_file():
        raise LedgerTampered(f"There is no ledger at {ledger}: give a site's folder or its ledger file.")
    key = Ed25519PublicKey.from_public_bytes(public_key or _own_word(ledger))
    reading = _read(ledger, key)
    results = [_key(public_key), _chain(reading), _file(ledger, reading, key), _anchored(reading, anchor)]
    results += [_recorded(reading, run, seen) for run, seen in (heads or {}).items()]
    if reading.fault is not None:
        return results  # what a broken ledger says of spending is worth nothing
    return results + Replay(reading.entries).results()


def check_claims(ledger: Path) -> CheckResult:
    """Every approved plan costs at most what it claims, by the recomputation that needs none of our code."""
    from privacy.audit import recompute_epsilon

    found = recompute_epsilon.report(str(ledger))
    studies = [
        f"{row['study'][:12]}: claimed {row['claimed']:.4f}, recomputed {row['planned']:.4f}, spent {row['spent']:.4f}"
        f" at delta {row['delta']:.3g}"
        for row in found["studies"]
    ]
    return CheckResult(
        name="epsilon",
        proposition="Every study's epsilon, recomputed from the file, is what was claimed, and no more was spent.",
        passed=bool(found["sound"]),
        figure="; ".join(studies) or "no study was approved",
        power=f"Compares to {recompute_epsilon.TOLERANCE:g} with dp_accounting alone; it takes the file's word for the"
        " noise that was drawn, which `fedm2g audit mechanism` measures.",
    )


def heads_in_rounds(rounds: Path, site: str) -> list[Head]:
    """The heads of one site in a coordinator's `rounds.jsonl`. Raises LedgerTampered for a file that is none."""
    try:
        lines = [json.loads(line) for line in Path(rounds).read_text(encoding="utf-8").splitlines() if line]
        outcomes = [line["sites"][site] for line in lines if site in line["sites"]]
        found = [
            Head.read(f"{one['ledger_sequence']}:{one['ledger_digest']}") for one in outcomes if one["ledger_digest"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        raise LedgerTampered(f"{rounds} cannot be read: give a run's rounds.jsonl.") from None
    return sorted(set(found), key=lambda head: head.sequence)


def _own_word(ledger: Path) -> bytes:
    """The key that the first entry names. Raises LedgerTampered."""
    try:
        with chain.connected(ledger, read_only=True) as connection:
            return bytes.fromhex(next(chain.entries(connection)).body["public_key"])
    except (StopIteration, ValueError, KeyError, TypeError):
        raise LedgerTampered("The ledger does not begin as a ledger does: give its --public-key.") from None


def _read(ledger: Path, key: Ed25519PublicKey) -> _Reading:
    try:
        with chain.connected(ledger, read_only=True) as connection:
            connection.execute("BEGIN")  # one state of the file: writers wait
            head, fault = chain.first_fault(connection, key)
            if fault is None and head.sequence == 0:
                fault = Fault(1, "there is no entry")
            entries = list(chain.entries(connection)) if fault is None else []
            structure = structure_fault(connection)
            return _Reading(head, fault, entries, _content(ledger, connection), structure)
    except (
        LedgerTampered,
        sqlite3.Error,
    ):  # SQLite cannot open it, or a journal of a killed process waits for a writer
        fault = Fault(1, "SQLite cannot open the file; if a -journal lies beside it, run `fedm2g site status` first")
        return _Reading(Head(0, NOTHING_BEFORE), fault, [], ledger.read_bytes(), "SQLite cannot open it")


def _content(ledger: Path, connection: sqlite3.Connection) -> bytes:
    """The file's bytes in the connection's state; as they lie on the disk where SQLite sees another size."""
    try:
        content = connection.serialize()
    except (sqlite3.Error, MemoryError):
        content = b""
    whole = ledger.stat().st_size == len(content) and len(content) % page_size_of(connection) == 0
    return content if whole else ledger.read_bytes()


def _key(public_key: bytes | None) -> CheckResult:
    known = public_key is not None
    return CheckResult(
        name="key",
        proposition="The key that signs the ledger is the site's.",
        passed=known,
        figure=f"key {public_key.hex()}" if public_key else "only the ledger itself names its key: give --public-key",
        power="A ledger that somebody else wrote from its beginning under a key of their own.",
    )


def _chain(reading: _Reading) -> CheckResult:
    fault = reading.fault
    return CheckResult(
        name="chain",
        proposition="Every entry is bound to the one before and signed by the site's key.",
        passed=fault is None,
        figure=f"{reading.head.sequence} entries verify"
        + (f"; entry {fault.sequence} does not: {fault.reason}" if fault else f"; head {reading.head}"),
        power="Any entry changed, moved, added or taken out before the end, down to one bit.",
    )


def _file(ledger: Path, reading: _Reading, key: Ed25519PublicKey) -> CheckResult:
    figure, passed = _file_figure(ledger, reading, key)
    return CheckResult(
        name="file",
        proposition="Every byte of the file is as the site sealed it, and its schema is the ledger's.",
        passed=passed,
        figure=figure,
        power="One bit anywhere, in free space and header too, named by its page; not what came after the last seal.",
    )


def _file_figure(ledger: Path, reading: _Reading, key: Ed25519PublicKey) -> tuple[str, bool]:
    try:
        seal = Seal.read(seal_path(ledger), key)
    except LedgerTampered as error:
        return str(error), False
    if seal is None:
        return f"there is no {seal_path(ledger).name}: open the site, which seals what verifies", False
    if reading.fault is None and seal.sequence < reading.head.sequence:
        return f"sealed at entry {seal.sequence}, entries follow: a process died; open the site and ask again", False
    if (page := seal.first_changed_page(reading.content)) is not None:
        first = (page - 1) * seal.page_size
        return f"page {page} (bytes {first} to {first + seal.page_size - 1}) is not as it was sealed", False
    if reading.structure is not None:
        return reading.structure, False
    return f"{len(reading.content)} bytes in {len(reading.content) // seal.page_size} pages, all as sealed", True


def _anchored(reading: _Reading, anchor: Head | None) -> CheckResult:
    holds = anchor is not None and _holds(reading, anchor)
    return CheckResult(
        name="anchor",
        proposition="The ledger holds the entry that the site's key store remembers as its newest.",
        passed=holds,
        figure="no head in the key store was given: run this at the site, or give --rounds"
        if anchor is None
        else f"entry {anchor.sequence} " + ("is there" if holds else "is not there: an old copy was put back"),
        power="A ledger that was put back alone; not one that was put back together with the key store.",
    )


def _recorded(reading: _Reading, run: str, seen: Sequence[Head]) -> CheckResult:
    lost = [head.sequence for head in seen if not _holds(reading, head)]
    return CheckResult(
        name=f"coordinator {run}",
        proposition="The ledger holds every entry that the coordinator recorded with a release.",
        passed=bool(seen) and not lost,
        figure=f"entry {lost[0]} was recorded and is not there: an old copy was put back"
        if lost
        else f"{len(seen)} recorded entries are there"
        if seen
        else "the run recorded no entry of this site",
        power="A ledger put back together with its key store, if a round of this run came after the copy.",
    )


def _holds(reading: _Reading, head: Head) -> bool:
    """Entries that verify stand at their number."""
    if reading.fault is not None:
        return False
    return 1 <= head.sequence <= len(reading.entries) and reading.entries[head.sequence - 1].head == head

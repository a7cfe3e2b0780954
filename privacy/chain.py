"""The ledger's form: SQLite rows, each bound to the one before by SHA-256 and signed with Ed25519.

Table `entries`, readable without our code:

| column | meaning |
| --- | --- |
| sequence | 1, 2, 3, ... without a gap |
| kind | `opened`, `approved`, `reserved`, `committed` or `non-private` |
| study_digest | the study, or empty |
| body | canonical JSON: sorted keys, no spaces |
| previous | digest of the entry before; 64 zeros for the first |
| digest | hex SHA-256 of the JSON list [sequence, kind, study_digest, body, previous], no spaces |
| signature | hex Ed25519 signature of the digest's 32 bytes by the key that the first entry names |

Triggers refuse updates and deletes. They stop accidents; tampering is found by `verified`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from privacy.errors import LedgerTampered

KINDS = ("opened", "approved", "reserved", "committed", "non-private")
NOTHING_BEFORE = "0" * 64
BUSY_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, study_digest TEXT NOT NULL, body TEXT NOT NULL,
  previous TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, signature TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS by_study ON entries (study_digest, kind);
CREATE TRIGGER IF NOT EXISTS never_updated BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS never_deleted BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""


@dataclass(frozen=True)
class Head:
    """Where a ledger ends; kept elsewhere, it shows that an old copy was put back."""

    sequence: int
    digest: str


@dataclass(frozen=True)
class LedgerEntry:
    """One row."""

    sequence: int
    kind: str
    study_digest: str
    text: str
    previous: str
    digest: str
    signature: str

    @property
    def body(self) -> dict[str, Any]:
        """What was written."""
        values = json.loads(self.text)
        if not isinstance(values, dict):
            raise LedgerTampered(
                f"Entry {self.sequence} of the ledger is malformed: restore it from a copy that verifies."
            )
        return values

    def recomputed_digest(self) -> str:
        """What `digest` must be."""
        return entry_digest(self.sequence, self.kind, self.study_digest, self.text, self.previous)


def entry_digest(sequence: int, kind: str, study_digest: str, text: str, previous: str) -> str:
    """Hex SHA-256 of an entry's fields in their order."""
    return hashlib.sha256(
        json.dumps([sequence, kind, study_digest, text, previous], separators=(",", ":")).encode()
    ).hexdigest()


def create_table(path: Path) -> None:
    """The empty table, 0600, if there is none."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    with connected(path) as connection:
        connection.executescript(_SCHEMA)


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of one's own: threads and processes meet only in the file. Raises LedgerTampered if it is broken."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        # EXTRA also syncs the folder after the journal is gone: what is reserved survives the loss of power.
        connection.execute("PRAGMA synchronous = EXTRA")
        yield connection
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # its subclasses say busy, read-only, refused
            raise
        raise LedgerTampered("The ledger's file is damaged: restore it from a copy that verifies.") from None
    finally:
        connection.close()


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One writer at a time; everything in the block is kept together, durably, or not at all."""
    with connected(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def append(
    connection: sqlite3.Connection,
    signing_key: Ed25519PrivateKey,
    *,
    kind: str,
    study_digest: str,
    body: dict[str, Any],
) -> LedgerEntry:
    """Bind, sign and insert one entry; the caller holds the write transaction."""
    last = last_entry(connection)
    if last is not None and last.digest != last.recomputed_digest():
        raise LedgerTampered(f"Entry {last.sequence} of the ledger was changed: restore it from a copy that verifies.")
    sequence, previous = (last.sequence + 1, last.digest) if last else (1, NOTHING_BEFORE)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = entry_digest(sequence, kind, study_digest, text, previous)
    signature = signing_key.sign(bytes.fromhex(digest)).hex()
    entry = LedgerEntry(sequence, kind, study_digest, text, previous, digest, signature)
    connection.execute(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)",
        (sequence, kind, study_digest, text, previous, digest, signature),
    )
    return entry


def last_entry(connection: sqlite3.Connection) -> LedgerEntry | None:
    """The newest entry."""
    row = connection.execute("SELECT * FROM entries ORDER BY sequence DESC LIMIT 1").fetchone()
    return LedgerEntry(*row) if row else None


def entries(
    connection: sqlite3.Connection, *, kind: str | None = None, study_digest: str | None = None
) -> Iterator[LedgerEntry]:
    """Entries in order, all or those of a kind or study."""
    wanted = [
        (column, value) for column, value in (("kind", kind), ("study_digest", study_digest)) if value is not None
    ]
    where = " WHERE " + " AND ".join(f"{column} = ?" for column, _ in wanted) if wanted else ""
    query = f"SELECT * FROM entries{where} ORDER BY sequence"
    for row in connection.execute(query, [value for _, value in wanted]):
        yield LedgerEntry(*row)


def verified(connection: sqlite3.Connection, public_key: Ed25519PublicKey, *, anchored: Head | None = None) -> Head:
    """Recompute the whole chain. Raises LedgerTampered that names the first entry at fault.

    `anchored` is a head seen before: a ledger that no longer contains it is an old copy.
    """
    previous, sequence = NOTHING_BEFORE, 0
    for entry in entries(connection):
        sequence += 1
        if (
            entry.kind not in KINDS
            or entry.sequence != sequence
            or entry.previous != previous
            or entry.digest != entry.recomputed_digest()
        ):
            raise _tampered(sequence)
        try:
            public_key.verify(bytes.fromhex(entry.signature), bytes.fromhex(entry.digest))
        except (InvalidSignature, ValueError):
            raise _tampered(sequence) from None
        if anchored is not None and anchored.sequence == sequence and anchored.digest != entry.digest:
            raise _tampered(sequence)
        previous = entry.digest
    if anchored is not None and sequence < anchored.sequence:
        raise LedgerTampered(
            "The ledger ends before an entry that was seen in it: an old copy was put back; restore the newest."
        )
    return Head(sequence, previous)


def _tampered(sequence: int) -> LedgerTampered:
    return LedgerTampered(f"Entry {sequence} of the ledger does not verify: restore it from a copy that does.")

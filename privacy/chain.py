"""The ledger's form: SQLite rows, each bound to the one before by SHA-256 and signed with Ed25519.

`docs/ledger.md` describes every column and body, so that the file can be read without our code. Here: how an entry is
bound, how the file is opened, and how the whole chain is walked. Triggers refuse updates and deletes; they stop
accidents, and tampering is found by `first_fault`.

SQLite's file locks are POSIX locks: closing *any* descriptor of the file drops those of the whole process. So nothing
here opens the file but SQLite itself, and the file is made only where there is none.
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
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from privacy.errors import LedgerTampered

KINDS = ("opened", "policy", "approved", "reserved", "committed", "non-private")
NOTHING_BEFORE = "0" * 64
BUSY_SECONDS = 60.0
SCHEMA = {
    "entries": (
        "CREATE TABLE entries (\n"
        "  sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, study_digest TEXT NOT NULL, body TEXT NOT NULL,\n"
        "  previous TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, signature TEXT NOT NULL) STRICT"
    ),
    "by_study": "CREATE INDEX by_study ON entries (study_digest, kind)",
    "never_updated": (
        "CREATE TRIGGER never_updated BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END"
    ),
    "never_deleted": (
        "CREATE TRIGGER never_deleted BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END"
    ),
}
"""Every object of the file, in SQLite's own spelling; a file that holds any other, or another text, is not a ledger."""
_BROKEN = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True)
class Head:
    """Where a ledger ends; kept elsewhere, it shows that an old copy was put back. Spelt `17:9f...`."""

    sequence: int
    digest: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest}"

    @classmethod
    def read(cls, text: str) -> Self:
        """The head spelt `text`. Raises ValueError."""
        number, _, digest = text.partition(":")
        if not (number.isdecimal() and len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
            raise ValueError("A ledger's head is spelt NUMBER:DIGEST.")
        return cls(int(number), digest)


@dataclass(frozen=True)
class Fault:
    """The first entry that does not verify, and what of it."""

    sequence: int
    reason: str


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

    @property
    def head(self) -> Head:
        """Where the ledger ends after this entry."""
        return Head(self.sequence, self.digest)

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
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass  # and so it is not opened by hand: see above
    with connected(path) as connection:
        if connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
            statements = ";\n".join(_if_missing(sql) for sql in SCHEMA.values())
            connection.executescript(f"BEGIN IMMEDIATE;\n{statements};\nCOMMIT;")


def _if_missing(statement: str) -> str:
    """Two processes may both find no table."""
    verb, what, rest = statement.split(" ", 2)
    return f"{verb} {what} IF NOT EXISTS {rest}"


@contextmanager
def connected(path: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection of one's own: threads and processes meet only in the file. Raises LedgerTampered if it is broken."""
    place = f"{Path(path).absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    try:
        connection = sqlite3.connect(place, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    except sqlite3.OperationalError:
        raise LedgerTampered("The ledger's file is missing or unreadable: restore the newest copy.") from None
    try:
        # EXTRA also syncs the folder after the journal is gone: what is reserved survives the loss of power.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.text_factory = _text  # so that broken letters are found where they stand
        yield connection
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if isinstance(error, sqlite3.ProgrammingError) or code & 0xFF not in _BROKEN:  # busy, full, refused, misused
            raise
        raise _damaged() from None
    except UnicodeDecodeError:  # SQLite quotes broken bytes in its message
        raise _damaged() from None
    finally:
        connection.close()


def _damaged() -> LedgerTampered:
    return LedgerTampered("The ledger's file is damaged: restore it from a copy that verifies.")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


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


def contains(connection: sqlite3.Connection, head: Head) -> bool:
    """Whether the ledger once ended at `head`: a newer or equal copy of what was seen then."""
    row = connection.execute("SELECT digest FROM entries WHERE sequence = ?", (head.sequence,)).fetchone()
    return head == Head(0, NOTHING_BEFORE) or (row is not None and row[0] == head.digest)


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


def first_fault(connection: sqlite3.Connection, public_key: Ed25519PublicKey) -> tuple[Head, Fault | None]:
    """Walk the whole chain: the last entry that verifies with all before it, and the first that does not."""
    good = Head(0, NOTHING_BEFORE)
    try:
        for entry in entries(connection):
            reason = _reason_against(entry, good, public_key)
            if reason is not None:
                return good, Fault(good.sequence + 1, reason)
            good = entry.head
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return good, Fault(good.sequence + 1, "it cannot be read")
    return good, None


def _reason_against(entry: LedgerEntry, before: Head, public_key: Ed25519PublicKey) -> str | None:
    texts = (entry.kind, entry.study_digest, entry.text, entry.previous, entry.digest, entry.signature)
    if not all(isinstance(value, str) for value in texts):
        return "a column has another type"
    if entry.sequence != before.sequence + 1:
        return "its number does not follow the one before"
    if entry.kind not in KINDS or (entry.kind == "opened") != (entry.sequence == 1):
        return "its kind is not one that may stand here"
    if entry.previous != before.digest:
        return "it is not bound to the entry before"
    if entry.digest != entry.recomputed_digest():
        return "its content is not what its digest says"
    try:
        signature = bytes.fromhex(entry.signature)
        public_key.verify(signature, bytes.fromhex(entry.digest))
    except (InvalidSignature, ValueError):
        return "its signature is not by the site's key"
    return None if entry.signature == signature.hex() else "its signature is spelt otherwise"


def verified(connection: sqlite3.Connection, public_key: Ed25519PublicKey, *, anchored: Head | None = None) -> Head:
    """Recompute the whole chain. Raises LedgerTampered that names the first entry at fault.

    `anchored` is a head seen before: a ledger that no longer contains it is an old copy.
    """
    head, fault = first_fault(connection, public_key)
    if fault is not None:
        raise LedgerTampered(
            f"Entry {fault.sequence} of the ledger does not verify, for {fault.reason}: restore it from a copy that"
            " does."
        )
    check_anchored(connection, anchored)
    return head


def check_anchored(connection: sqlite3.Connection, anchored: Head | None) -> None:
    """Raises LedgerTampered where the ledger never ended at `anchored`: an old copy, or a branch grown from one."""
    if anchored is not None and not contains(connection, anchored):
        raise LedgerTampered(
            f"The ledger does not hold entry {anchored.sequence} as it was seen before: an old copy was put back;"
            " restore the newest."
        )

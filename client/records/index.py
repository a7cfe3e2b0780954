"""The store's index: one SQLite file that knows records, blocks, files seen and files refused, all by keyed hashes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FORMAT = "1"
_TABLES = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE blocks (block INTEGER PRIMARY KEY, flow TEXT NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL);
CREATE TABLE records (
  ordinal INTEGER PRIMARY KEY AUTOINCREMENT, record_id TEXT NOT NULL UNIQUE, pseudonym TEXT NOT NULL,
  imaging_study TEXT NOT NULL, flow TEXT NOT NULL, body_part TEXT NOT NULL, sequence TEXT NOT NULL,
  view_position TEXT NOT NULL, text_kind TEXT NOT NULL, block INTEGER, slot INTEGER, report BLOB);
CREATE INDEX records_of_patient ON records (pseudonym, flow);
CREATE INDEX records_of_study ON records (imaging_study);
CREATE INDEX records_of_block ON records (block);
CREATE TABLE files (digest TEXT PRIMARY KEY, pseudonym TEXT NOT NULL);
CREATE TABLE quarantine (place TEXT PRIMARY KEY, reason TEXT NOT NULL);
"""


@dataclass(frozen=True, repr=False)
class RecordRow:
    """One image or report, as the index knows it; every word from a closed list, every name a keyed hash."""

    record_id: str
    pseudonym: str
    imaging_study: str
    flow: str
    body_part: str = ""
    sequence: str = ""
    view_position: str = ""
    text_kind: str = ""

    def __repr__(self) -> str:
        return f"RecordRow(flow={self.flow!r}, hidden)"


def report_beside(image: RecordRow, reports: Sequence[RecordRow]) -> int | None:
    """Place of the report of an image's own examination, or None.

    Of several, the one written beside an image of the same sequence, if there is one.
    """
    own = [
        n for n, report in enumerate(reports) if report.imaging_study and report.imaging_study == image.imaging_study
    ]
    of_sequence = [n for n in own if reports[n].sequence == image.sequence]
    return next(iter([*of_sequence, *own]), None)


COLUMNS = "record_id, pseudonym, imaging_study, flow, body_part, sequence, view_position, text_kind"


def row_of(values: tuple[str, ...]) -> RecordRow:
    """The row of a selection of `COLUMNS`."""
    return RecordRow(**dict(zip(COLUMNS.split(", "), values, strict=True)))


def values_of(row: RecordRow) -> tuple[str, ...]:
    """The row in the order of `COLUMNS`."""
    return tuple(getattr(row, name) for name in COLUMNS.split(", "))


def create_index(path: Path, *, image_size: int) -> None:
    """Make an empty index, readable by its owner only. Raises FileExistsError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    connection = connect(path)
    connection.executescript(_TABLES)
    connection.executemany("INSERT INTO settings VALUES (?, ?)", [("format", FORMAT), ("image_size", str(image_size))])
    connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that overwrites what it deletes; transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60.0)
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection

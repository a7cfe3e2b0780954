"""Putting images into blocks and taking them out again, inside one transaction of the index.

Blocks are never changed in place: a fuller or emptier one is written beside, and whatever no committed row names is
swept away afterwards. So a crash at any line leaves the store as it was before or after, never between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from client.records.blocks import RECORDS_PER_BLOCK, BlockFolder
from client.records.index import COLUMNS, RecordRow, values_of

Images = Sequence[tuple[RecordRow, npt.NDArray[np.int16]]]
INSERT = f"INSERT OR IGNORE INTO records ({COLUMNS}, block, slot, report) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
_PLACEHOLDERS = 500


def append(index: sqlite3.Connection, blocks: BlockFolder, flow: str, images: Images) -> int:
    """Add those images of one flow whose ids are new: first into its last block, then into new ones."""
    fresh = _fresh(index, images)
    if not fresh:
        return 0
    last = index.execute("SELECT block, name, count FROM blocks WHERE flow = ? ORDER BY block DESC LIMIT 1", (flow,))
    block, name, count = last.fetchone() or (None, "", RECORDS_PER_BLOCK)
    first = min(len(fresh), RECORDS_PER_BLOCK - count)
    if first:
        stacked = np.concatenate([blocks.read(name, count), _stacked(fresh[:first])])
        index.execute(
            "UPDATE blocks SET name = ?, count = ? WHERE block = ?", (blocks.write(stacked), count + first, block)
        )
        _insert(index, fresh[:first], block, count)
    for start in range(first, len(fresh), RECORDS_PER_BLOCK):
        part = fresh[start : start + RECORDS_PER_BLOCK]
        values = (flow, blocks.write(_stacked(part)), len(part))
        added = index.execute("INSERT INTO blocks (flow, name, count) VALUES (?, ?, ?)", values)
        _insert(index, part, added.lastrowid, 0)
    return len(fresh)


def erase_patient(index: sqlite3.Connection, blocks: BlockFolder, pseudonym: str) -> int:
    """Erase a patient's rows and files' digests, and write every block they were in anew without them."""
    query = "SELECT DISTINCT block FROM records WHERE pseudonym = ? AND block IS NOT NULL"
    touched = [row[0] for row in index.execute(query, (pseudonym,))]
    gone = index.execute("DELETE FROM records WHERE pseudonym = ?", (pseudonym,)).rowcount
    index.execute("DELETE FROM files WHERE pseudonym = ?", (pseudonym,))
    for block in touched:
        _compact(index, blocks, block)
    return gone


def sweep(index: sqlite3.Connection, blocks: BlockFolder) -> set[str]:
    """Erase block files that no committed row names, and return their names."""
    index.execute("BEGIN IMMEDIATE")  # so that no other process stands between its files and its commit
    try:
        orphans = blocks.names() - {row[0] for row in index.execute("SELECT name FROM blocks")}
        for name in orphans:
            blocks.remove(name)
        return orphans
    finally:
        index.execute("COMMIT")


def _fresh(index: sqlite3.Connection, images: Images) -> Images:
    """Those whose record id is not in the index yet, each id once."""
    by_id = {row.record_id: (row, array) for row, array in reversed(images)}
    ids = list(by_id)
    for start in range(0, len(ids), _PLACEHOLDERS):
        part = ids[start : start + _PLACEHOLDERS]
        marks = ",".join("?" * len(part))
        for (known,) in index.execute(f"SELECT record_id FROM records WHERE record_id IN ({marks})", part).fetchall():
            del by_id[known]
    return list(reversed(by_id.values()))


def _insert(index: sqlite3.Connection, images: Images, block: int | None, first_slot: int) -> None:
    index.executemany(
        INSERT, [(*values_of(row), block, first_slot + place, None) for place, (row, _) in enumerate(images)]
    )


def _compact(index: sqlite3.Connection, blocks: BlockFolder, block: int) -> None:
    name, count = index.execute("SELECT name, count FROM blocks WHERE block = ?", (block,)).fetchone()
    staying = index.execute("SELECT ordinal, slot FROM records WHERE block = ? ORDER BY slot", (block,)).fetchall()
    if not staying:
        index.execute("DELETE FROM blocks WHERE block = ?", (block,))
        return
    kept = blocks.read(name, count)[[slot for _, slot in staying]]
    index.execute("UPDATE blocks SET name = ?, count = ? WHERE block = ?", (blocks.write(kept), len(kept), block))
    index.executemany(
        "UPDATE records SET slot = ? WHERE ordinal = ?",
        [(place, ordinal) for place, (ordinal, _) in enumerate(staying)],
    )


def _stacked(images: Images) -> npt.NDArray[np.int16]:
    return np.stack([array for _, array in images])

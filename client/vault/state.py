"""Idempotent rounds on disk: which rounds began, which finished, and the finished replies themselves.

A round is named by (study digest, stage, round number) and bound to the digest of its inputs (DESIGN.md §5). A finished
round's reply is returned again at no cost; the same round with other inputs is refused; a round that began and left no
reply may begin again, as long as the ledger still has spare steps for it, because each beginning is charged.

Any death of the process leaves a true state. A loss of power may forget the last moments, which costs a spare round and
never hides spending: that is the ledger's, and it waits for the disk.
"""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from client.site_config import PRIVATE_FILE
from client.vault.durable import write_durably
from client.vault.errors import ReplayMismatch, StateDamaged
from protocol.codes import Code
from protocol.requests import TrainReply

KEPT_ROUNDS = 16
"""Finished replies kept per study: a server resumes from its newest checkpoint, so older ones are never asked for."""
_SEPARATOR = "|"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS rounds (
    study_digest TEXT NOT NULL, stage TEXT NOT NULL, round_number INTEGER NOT NULL,
    inputs_digest TEXT NOT NULL, attempts INTEGER NOT NULL, finished INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (study_digest, stage, round_number))
"""


@dataclass(frozen=True, kw_only=True)
class RoundName:
    """One round of one study at this site."""

    study_digest: str
    stage: str
    round_number: int
    inputs_digest: str

    @property
    def where(self) -> tuple[str, str, int]:
        """The primary key: a round, whatever its inputs."""
        return (self.study_digest, self.stage, self.round_number)


class RoundState:
    """The vault's memory of rounds; every change outlives this process before the method returns."""

    def __init__(self, folder: Path) -> None:
        self._replies = folder / "replies"
        path = folder / "rounds.sqlite"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
        self._database = sqlite3.connect(path, isolation_level=None, timeout=30.0, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(_SCHEMA)

    def finished(self, name: RoundName) -> TrainReply | None:
        """The reply kept for this round, or None. Raises ReplayMismatch for a round begun with other inputs."""
        inputs_digest, marked = self._row(name) or (name.inputs_digest, 0)
        if inputs_digest != name.inputs_digest:
            raise _mismatch(name)
        if not marked and not self._path(name).exists():
            return None
        reply = self._read(name)
        if reply.inputs_digest != name.inputs_digest:  # the file outlived its row
            raise _mismatch(name)
        return reply

    def begin(self, name: RoundName) -> int:
        """Bind this round to its inputs and return how often it has begun; each time draws on the ledger.

        Raises ReplayMismatch.
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            row = self._row(name)
            if row is not None and row[0] != name.inputs_digest:
                raise _mismatch(name)
            (attempts,) = self._database.execute(
                "INSERT INTO rounds VALUES (?, ?, ?, ?, 1, 0) ON CONFLICT DO UPDATE SET attempts = attempts + 1 "
                "RETURNING attempts",
                (*name.where, name.inputs_digest),
            ).fetchone()
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        return int(attempts)

    def finish(self, name: RoundName, reply: TrainReply) -> None:
        """Keep the reply: first the file, whole or not there at all, then the mark."""
        write_durably(self._path(name), _pack(reply), flush_folder=False)
        self._database.execute(
            "UPDATE rounds SET finished = 1 WHERE study_digest = ? AND stage = ? AND round_number = ?", name.where
        )
        self._prune(name.study_digest)

    def finished_rounds(self, study_digest: str) -> dict[str, int]:
        """Finished rounds by stage."""
        query = "SELECT stage, COUNT(*) FROM rounds WHERE study_digest = ? AND finished GROUP BY stage"
        return {str(stage): int(count) for stage, count in self._database.execute(query, (study_digest,))}

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _row(self, name: RoundName) -> tuple[str, int] | None:
        query = "SELECT inputs_digest, finished FROM rounds WHERE study_digest = ? AND stage = ? AND round_number = ?"
        row: tuple[str, int] | None = self._database.execute(query, name.where).fetchone()
        return row

    def _path(self, name: RoundName) -> Path:
        return self._replies / name.study_digest / f"{name.stage}-{name.round_number:06d}.safetensors"

    def _read(self, name: RoundName) -> TrainReply:
        try:
            return _unpack(self._path(name).read_bytes())
        except FileNotFoundError:
            raise StateDamaged(
                f"The reply of round {name.round_number} of {name.stage} is no longer kept: resume a later checkpoint."
            ) from None

    def _prune(self, study_digest: str) -> None:
        kept = sorted((self._replies / study_digest).glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[:-KEPT_ROUNDS]:
            path.unlink(missing_ok=True)


def _mismatch(name: RoundName) -> ReplayMismatch:
    return ReplayMismatch(f"Round {name.round_number} of {name.stage} already began here with other inputs.")


def _pack(reply: TrainReply) -> bytes:
    """A reply as safetensors: tensors named `group|parameter`, the rest as metadata."""
    tensors = {
        f"{group}{_SEPARATOR}{name}": np.require(array, requirements="C")
        for group, arrays in reply.updates.items()
        for name, array in arrays.items()
    }
    plain = {
        "code": reply.code.value,
        "site": reply.site,
        "inputs_digest": reply.inputs_digest,
        "event_digest": reply.event_digest,
        "metrics": dict(reply.metrics),
        "groups": {group: list(arrays) for group, arrays in reply.updates.items()},
    }
    return save(tensors, metadata={"reply": json.dumps(plain)})


def _unpack(content: bytes) -> TrainReply:
    header_bytes = int.from_bytes(content[:8], "little")
    plain = json.loads(json.loads(content[8 : 8 + header_bytes])["__metadata__"]["reply"])
    tensors = load(content)
    updates = {
        group: {name: tensors[f"{group}{_SEPARATOR}{name}"] for name in names}
        for group, names in plain.pop("groups").items()
    }
    return TrainReply(code=Code(plain.pop("code")), updates=updates, **plain)

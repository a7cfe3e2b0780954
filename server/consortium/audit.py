"""The audit log: one JSON line per request that is not a site's routine. Rotated, private, without bodies or tokens.

Refusals come from strangers, who must not be able to fill the disk or to push the lines that matter out of the file: of
one address at most `REFUSALS_PER_MINUTE` are written, and the next line says how many were not.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from server.consortium.places import PRIVATE_FILE

MAX_BYTES, BACKUPS = 20_000_000, 9
REFUSALS_PER_MINUTE = 20
MAX_PEERS = 1_000
MAX_TEXT = 200


class AuditLog:
    """Safe to call from several threads. `clock` in seconds, for the rate of refusals."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
        self._handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
        self._clock, self._lock = clock, threading.Lock()
        self._refused: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def write(self, *, peer: str, method: str, path: str, decision: str) -> None:
        """One request. decision: `operator`, `site`, or why it was refused."""
        with self._lock:
            unwritten = 0 if decision in ("operator", "site") else self._unwritten(peer)
            if unwritten is None:
                return
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "peer": peer,
                "method": method[:MAX_TEXT],
                "path": path[:MAX_TEXT],
                "decision": decision,
            } | ({"not_written": unwritten} if unwritten else {})
            self._handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, json.dumps(line), None, None))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()

    def _unwritten(self, peer: str) -> int | None:
        """How many refusals of this peer went unwritten before this one; None where this one goes unwritten too."""
        now = self._clock()
        began, count = self._refused.pop(peer, (now, 0))
        if now - began < 60.0:
            self._refused[peer] = (began, count + 1)
            if len(self._refused) > MAX_PEERS:
                self._refused.popitem(last=False)
            return None if count >= REFUSALS_PER_MINUTE else 0
        self._refused[peer] = (now, 1)
        return max(count - REFUSALS_PER_MINUTE, 0)

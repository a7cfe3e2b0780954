"""Exceptions become a wire code and a random incident number; their text stays in one file of this site.

The file is `incidents.log`: one JSON object per line (so that no message can forge a line), mode 0600, rotated. The
logger is not registered anywhere, so nothing propagates to the root logger, to Flower or to a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
import traceback
from dataclasses import dataclass
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from client.site_config import PRIVATE_FILE
from protocol.codes import Code
from protocol.errors import MalformedMessage

MAX_BYTES = 4_000_000
BACKUPS = 4


@dataclass(frozen=True)
class Incident:
    """All that may be said outside: a code of the closed table and a number that means nothing by itself."""

    code: Code
    number: str


class IncidentLog:
    """The site's own account of what went wrong."""

    def __init__(self, path: Path) -> None:
        self._handler = PrivateFile(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True)

    def record(self, error: BaseException) -> Incident:
        """Write the error with its traceback; the incident number finds it again. A full disk costs the text only."""
        incident = Incident(code=wire_code(error), number=secrets.token_hex(6))
        line = {
            "incident": incident.number,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "code": incident.code.value,
            "error": type(error).__name__,
            "traceback": "".join(traceback.format_exception(error)),
        }
        self._handler.handle(logging.makeLogRecord({"msg": json.dumps(line)}))
        return incident

    def close(self) -> None:
        """Let go of the file."""
        self._handler.close()


def wire_code(error: BaseException) -> Code:
    """The `code` of the error's class, or of the nearest class above it that the closed table knows."""
    for kind in (error, *type(error).__mro__):
        try:
            return Code.read(getattr(kind, "code", None))
        except MalformedMessage:
            continue
    return Code.SITE_FAILED


class PrivateFile(RotatingFileHandler):
    """A rotating file that only its owner can read, and whose own failures stay silent."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = os.open(self.baseFilename, flags, PRIVATE_FILE)
        return TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:
        """logging would print the record to stderr, where the relay's transport could pick it up."""

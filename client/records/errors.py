"""Errors of the records room. A bad *file* is never one of them: it is quarantined with a `Reason`."""

from __future__ import annotations

from client.errors import ClientError
from client.records.reasons import Reason


class RecordsError(ClientError):
    """Base: the ingest or the store cannot go on."""


class SourceUnusable(RecordsError):
    """What was given to ingest is not something that can be ingested."""


class PoolUnusable(RecordsError):
    """Helper processes cannot be started, for instance from a script that does not guard its main code."""


class StoreUnusable(RecordsError):
    """The store is missing, damaged, or was made with other keys or another image size."""


class RecordMissing(RecordsError):
    """No record of that id (any more)."""


class Refused(Exception):
    """Inside a reader: this file is not taken. Carries a reason and nothing from the file."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason

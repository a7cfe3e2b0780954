"""Base error of the client room; every message is one sentence that says what to do and holds nothing from a record."""

from __future__ import annotations


class ClientError(Exception):
    """Base of what a site's commands may fail with."""

    code = "site-failed"

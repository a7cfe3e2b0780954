"""The seal: a signed digest of every page of the ledger's file, for what the chain of entries cannot see.

The chain covers what entries say. A SQLite file also holds an index, a schema, a header and free space; a bit that
changes there changes no entry. `<ledger>.seal`, written after each commit, says what every page held, so that such a
bit is found too, and named by its page. JSON, readable without our code:

| field | meaning |
| --- | --- |
| sequence, digest | the entry at which the ledger ended when it was sealed |
| page_size | bytes of a page |
| file | hex SHA-256 of the whole file |
| pages | 16 hex digits a page, in order: the first 8 bytes of its SHA-256; they locate, `file` proves |
| signature | hex Ed25519 by the site's key over the canonical JSON (sorted keys, no spaces) of the other fields |

A process that dies between a commit and its seal leaves a seal that is older than the ledger: its entries verify by
themselves, the rest is sealed again when the site opens the ledger the next time, after everything was checked. The
same holds for a seal that is absent, or that a loss of power left empty: it is not waited for, since no spending
depends on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from privacy.chain import SCHEMA, Head
from privacy.errors import LedgerTampered

_PAGE_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What the file held, page by page, when the ledger ended at (sequence, digest)."""

    sequence: int
    digest: str
    page_size: int
    file: str
    pages: str

    @classmethod
    def of(cls, head: Head, content: bytes, page_size: int) -> Self:
        """The seal of a file's bytes."""
        return cls(
            sequence=head.sequence,
            digest=head.digest,
            page_size=page_size,
            file=hashlib.sha256(content).hexdigest(),
            pages=_page_digests(content, page_size),
        )

    @property
    def head(self) -> Head:
        """Where the ledger ended then."""
        return Head(self.sequence, self.digest)

    def first_changed_page(self, content: bytes) -> int | None:
        """Number (from 1) of the first page that is not as sealed; None where the whole file is."""
        if hashlib.sha256(content).hexdigest() == self.file:
            return None
        found = _page_digests(content, self.page_size)
        pages = max(len(found), len(self.pages)) // _PAGE_DIGITS
        for number in range(pages):
            place = slice(number * _PAGE_DIGITS, (number + 1) * _PAGE_DIGITS)
            if found[place] != self.pages[place]:
                return number + 1
        return pages  # eight bytes of a digest agreed by chance: not in this universe

    def write(self, path: Path, signing_key: Ed25519PrivateKey) -> None:
        """Sign it and replace the seal at `path`: the old one is there or the new one, whole, if the process dies.

        The caller holds the ledger's write lock, so nobody else writes one.
        """
        values = asdict(self)
        signed = values | {"signature": signing_key.sign(_canonical(values)).hex()}
        beside = path.with_name(f".{path.name}.new")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(_canonical(signed) + b"\n")
        os.replace(beside, path)

    @classmethod
    def read(cls, path: Path, public_key: Ed25519PublicKey) -> Self | None:
        """The seal at `path`, or None where there is none. Raises LedgerTampered for one that the key did not sign."""
        try:
            if not (content := path.read_bytes()):
                return None
            values = json.loads(content)
            signature = values.pop("signature")
            public_key.verify(bytes.fromhex(signature), _canonical(values))
            seal = cls(**values)
            if content != _canonical(values | {"signature": bytes.fromhex(signature).hex()}) + b"\n":
                raise ValueError
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, InvalidSignature):
            raise LedgerTampered(
                f"The seal {path.name} was changed: restore it beside its ledger, or delete it and open the site, which"
                " checks every entry and seals again."
            ) from None
        return seal


def seal_path(ledger: Path) -> Path:
    """Where a ledger's seal lies: beside it."""
    return Path(ledger).with_name(f"{Path(ledger).name}.seal")


def page_size_of(connection: sqlite3.Connection) -> int:
    """Bytes of a page of this file."""
    return int(connection.execute("PRAGMA page_size").fetchone()[0])


def structure_fault(connection: sqlite3.Connection) -> str | None:
    """What is wrong with the file around its entries, or None: its schema, its index, its pages."""
    found = {name: sql for name, sql in connection.execute("SELECT name, sql FROM sqlite_schema") if sql is not None}
    if found != SCHEMA:
        return "its schema is not the ledger's"
    (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    return None if answer == "ok" else f"SQLite's own check says: {answer}"


def _page_digests(content: bytes, page_size: int) -> str:
    pages = (content[start : start + page_size] for start in range(0, len(content), page_size))
    return "".join(hashlib.sha256(page).hexdigest()[:_PAGE_DIGITS] for page in pages)


def _canonical(values: dict[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii")

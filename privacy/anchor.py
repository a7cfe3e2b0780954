"""The anchor: where the ledger ended, kept in the key store, so that an old ledger is noticed before it is used.

`keys/ledger.head` holds one line, `NUMBER:DIGEST` of the newest entry. It is written after each commit and before the
spending is acknowledged, so a ledger may be ahead of it by what a crash left, and never behind. It only ever moves
forward, under the ledger's own write lock. Whoever can replace ledger *and* keys together is noticed by the
coordinator, whose run records keep the head of every reply (`fedm2g audit ledger --rounds`).
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from privacy.chain import Head
from privacy.errors import KeysUnusable

FILE = "ledger.head"


@dataclass(frozen=True)
class HeadAnchor:
    """The head file of one site's key store."""

    path: Path

    @classmethod
    def in_keys(cls, folder: Path) -> HeadAnchor:
        """The anchor that lies in the folder of the site's keys."""
        return cls(Path(folder) / FILE)

    def read(self) -> Head | None:
        """The newest head that was ever acknowledged; None where there is no file. Raises KeysUnusable."""
        try:
            return Head.read(self.path.read_text(encoding="ascii").strip())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise KeysUnusable(f"{self.path} is damaged: restore the site's keys from their newest backup.") from None

    def advance(self, head: Head) -> None:
        """Remember `head`, durably, unless a newer one is known. The caller holds the ledger's write lock."""
        known = self.read()
        if known is None or known.sequence < head.sequence:
            replace_durably(self.path, f"{head}\n".encode("ascii"))


def replace_durably(path: Path, content: bytes) -> None:
    """Put `content` at `path`, 0600: after a crash or a loss of power the old file is there or the new, whole."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:
        raise KeysUnusable(f"There is no folder {path.parent}: run `fedm2g site init` first.") from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""The anchor: where the ledger ended, kept in the key store, so that an old ledger is noticed before it is used.

`keys/ledger.head` holds one line of fixed length, `NUMBER:DIGEST` of the newest entry with leading zeros. It is written
after each commit and before the spending is acknowledged, so a ledger may be ahead of it by what a crash left, and
never behind. It only ever moves forward, under the ledger's own write lock. The line is overwritten in place: it lies
within one sector, which disks write whole or not at all, and no file system journal has to be waited for.

Whoever can replace ledger *and* keys together is noticed by the coordinator, whose run records keep the head of every
reply (`fedm2g audit ledger --rounds`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from privacy.chain import Head
from privacy.errors import KeysUnusable

FILE = "ledger.head"
_DIGITS = 12


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
        if known is not None and known.sequence >= head.sequence:
            return
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        except FileNotFoundError:
            raise KeysUnusable(f"There is no folder {self.path.parent}: run `fedm2g site init` first.") from None
        try:
            os.pwrite(descriptor, f"{head.sequence:0{_DIGITS}}:{head.digest}\n".encode("ascii"), 0)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if known is None:
            _sync_folder(self.path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The site's secrets: who may name a patient, replay its draws, read the store, sign the ledger.

Four files of 0600 in `<site_dir>/keys` (0700). They are made once, by the
operating system's generator, and never leave.
Whoever holds `stream.key` can replay every patient's draws, and whoever holds `pseudonym.key` can name every patient.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from privacy.errors import ConfigInvalid, KeysUnusable

KEY_BYTES = 32
FOLDER = "keys"
_NAMES = ("pseudonym", "stream", "storage", "signing")


@dataclass(frozen=True, kw_only=True, repr=False)
class SiteKeys:
    """The four secrets of a site, 32 bytes each."""

    pseudonym_key: bytes
    """Names patients: a pseudonym is an HMAC under it."""
    stream_key: bytes
    """Keys `PatientStream`."""
    storage_key: bytes
    """Encrypts the store and its caches."""
    signing_seed: bytes
    """Ed25519 private key that signs the ledger."""

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        """Signs ledger entries."""
        return Ed25519PrivateKey.from_private_bytes(self.signing_seed)

    @property
    def public_key(self) -> bytes:
        """32 bytes by which anybody can verify this site's ledger."""
        return self.signing_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def create(cls, site_dir: Path, *, pseudonym_key: bytes | None = None) -> Self:
        """Make and write the keys; they appear all at once or not at all. Raises KeysUnusable where some exist.

        `pseudonym_key` is for simulations of phantoms, whose pseudonyms must be the same in every run: a hospital
        leaves it out.
        """
        if pseudonym_key is not None and len(pseudonym_key) != KEY_BYTES:
            raise ConfigInvalid(f"A pseudonym key has {KEY_BYTES} bytes.")
        folder = Path(site_dir) / FOLDER
        Path(site_dir).mkdir(parents=True, exist_ok=True)
        fresh = folder.with_name(f".{FOLDER}-{secrets.token_hex(8)}")
        try:
            fresh.mkdir(mode=0o700)
            for name in _NAMES:
                given = pseudonym_key if name == "pseudonym" else None
                _write_secret(fresh / f"{name}.key", given or os.urandom(KEY_BYTES))
            os.rename(fresh, folder)  # fails where another process was first: its keys stay
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            if folder.exists():
                raise KeysUnusable(f"{folder} exists already: a site keeps its keys, so open them instead.") from None
            raise
        _sync_folder(folder.parent)
        return cls.open(site_dir)

    @classmethod
    def open(cls, site_dir: Path) -> Self:
        """Read the keys. Raises KeysUnusable where they are missing, damaged or readable by others."""
        folder = Path(site_dir) / FOLDER
        if not folder.is_dir():
            raise KeysUnusable(f"There are no keys in {folder}: run `fedm2g site init` first.")
        found = {name: _read_secret(folder / f"{name}.key") for name in _NAMES}
        return cls(
            pseudonym_key=found["pseudonym"],
            stream_key=found["stream"],
            storage_key=found["storage"],
            signing_seed=found["signing"],
        )

    @classmethod
    def open_or_create(cls, site_dir: Path) -> Self:
        """The site's keys, made if there are none; two processes that race get the same ones."""
        if not (Path(site_dir) / FOLDER).is_dir():
            try:
                return cls.create(site_dir)
            except KeysUnusable:
                pass  # the other process was first
        return cls.open(site_dir)

    def __repr__(self) -> str:
        return f"SiteKeys(public_key={self.public_key.hex()}, secrets hidden)"


def _write_secret(path: Path, secret: bytes) -> None:
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
        os.write(descriptor, secret)
        os.fsync(descriptor)


def _read_secret(path: Path) -> bytes:
    try:
        with _opened(path, os.O_RDONLY) as descriptor:
            if os.fstat(descriptor).st_mode & 0o077:
                raise KeysUnusable(f"Others may read {path}: set its mode to 0600, and think about who has.")
            secret = os.read(descriptor, KEY_BYTES + 1)
    except FileNotFoundError:
        raise KeysUnusable(f"{path} is missing: restore the site's keys from their backup.") from None
    if len(secret) != KEY_BYTES:
        raise KeysUnusable(f"{path} is damaged: restore the site's keys from their backup.")
    return secret


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    with _opened(folder, os.O_RDONLY) as descriptor:
        os.fsync(descriptor)

"""Encrypted blocks: up to 64 images of one flow in one file, readable only with the site's storage key.

AES-256-GCM with a random nonce; the block's name, count and image size are authenticated, so that a block cannot be
swapped for another, shortened, or altered by a bit without being noticed. A block is never changed: it is replaced.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from client.records.errors import StoreUnusable

RECORDS_PER_BLOCK = 64
_NONCE = 12
_DAMAGED = "The store does not open with this site's keys: restore the records folder and the keys from one backup."


class Sealed:
    """Seals and opens bytes under a key derived from the site's storage key."""

    def __init__(self, storage_key: bytes) -> None:
        self._cipher = AESGCM(HKDF(SHA256(), 32, salt=None, info=b"fedm2g records v1").derive(storage_key))

    def __repr__(self) -> str:
        return "Sealed(hidden)"

    def seal(self, content: bytes, name: str) -> bytes:
        """Ciphertext that opens only under the same name."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Raises StoreUnusable where key, name or a byte differs."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except (InvalidTag, ValueError):
            raise StoreUnusable(_DAMAGED) from None


class BlockFolder:
    """The block files of one store. Names are random and say nothing."""

    def __init__(self, folder: Path, sealed: Sealed, *, image_size: int) -> None:
        self._folder, self._sealed, self._size = folder, sealed, image_size

    def write(self, images: npt.NDArray[np.int16]) -> str:
        """Write (n, size, size) as a new block, flushed to the disk; return its name."""
        name = secrets.token_hex(16)
        content = np.ascontiguousarray(images, dtype="<i2").tobytes()
        sealed = self._sealed.seal(content, self._authenticated(name, len(images)))
        descriptor = os.open(self._path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(sealed)
            stream.flush()
            os.fsync(stream.fileno())
        return name

    def read(self, name: str, count: int) -> npt.NDArray[np.int16]:
        """(count, size, size). Raises FileNotFoundError where the block was replaced, StoreUnusable where damaged."""
        content = self._sealed.open(self._path(name).read_bytes(), self._authenticated(name, count))
        images = np.frombuffer(content, dtype="<i2").astype(np.int16).reshape(count, self._size, self._size)
        images.setflags(write=False)  # shared by every reader through the cache
        return images

    def remove(self, name: str) -> None:
        """Erase a block."""
        self._path(name).unlink(missing_ok=True)

    def names(self) -> set[str]:
        """Of every block file that lies here."""
        return {path.stem for path in self._folder.glob("*.block")}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.block"

    def _authenticated(self, name: str, count: int) -> str:
        return f"{name}/{count}/{self._size}"

"""Frozen features of records on disk, encrypted under the site's storage key: whoever takes the disk gets noise.

Features are functions of records, the public codecs and the public text encoder, so they may be thrown away at any
time. A file is a sequence of blocks, each sealed with AES-256-GCM under a fresh nonce and bound to its name and place.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from safetensors.numpy import load, save

from client.vault.durable import write_durably

BLOCK_BYTES = 1 << 24
_NONCE_BYTES = 12
_TAG_BYTES = 16


class FeatureCache:
    """Named sets of arrays below `folder`."""

    def __init__(self, folder: Path, storage_key: bytes) -> None:
        self._folder = folder
        self._cipher = AESGCM(hmac.digest(storage_key, b"fedm2g feature cache", hashlib.sha256))

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of that name, or None where there are none that open."""
        try:
            sealed = (self._folder / name).read_bytes()
            return load(self._opened(name, sealed))
        except (FileNotFoundError, InvalidTag):
            return None

    def save(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep these arrays under that name."""
        content = save({key: np.require(array, requirements="C") for key, array in arrays.items()})
        blocks = []
        for place, first in enumerate(range(0, len(content), BLOCK_BYTES)):
            nonce = os.urandom(_NONCE_BYTES)
            block = content[first : first + BLOCK_BYTES]
            blocks.append(nonce + self._cipher.encrypt(nonce, block, _bound(name, place)))
        write_durably(self._folder / name, b"".join(blocks))

    def keep_only(self, names: Collection[str]) -> None:
        """Erase everything else: features of records that have left the store among them."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name not in names:
                    path.unlink(missing_ok=True)

    def _opened(self, name: str, sealed: bytes) -> bytes:
        length = _NONCE_BYTES + BLOCK_BYTES + _TAG_BYTES
        blocks = (sealed[first : first + length] for first in range(0, len(sealed), length))
        return b"".join(
            self._cipher.decrypt(block[:_NONCE_BYTES], block[_NONCE_BYTES:], _bound(name, place))
            for place, block in enumerate(blocks)
        )


def erase_features(state_folder: Path) -> None:
    """Throw every cached feature of a site away, as `site forget` must."""
    shutil.rmtree(state_folder / "features", ignore_errors=True)


def _bound(name: str, place: int) -> bytes:
    return f"{name}/{place}".encode()

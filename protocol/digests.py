"""Digests: of a group's arrays, of a request's inputs, and of the generator folder a study starts from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from protocol.arrays import GroupArrays

CARD = "card.md"


def digest_group(arrays: GroupArrays) -> str:
    """Hex SHA-256 over name, dtype, shape and little-endian bytes of every array, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
        total.update(json.dumps([name, array.dtype.name, list(array.shape)]).encode())
        total.update(np.ascontiguousarray(little_endian).tobytes())
    return total.hexdigest()


def digest_inputs(*, study_digest: str, stage: str, round_number: int, reads: Mapping[str, str]) -> str:
    """Names a round at every site: the same four always mean the same noised step (DESIGN.md §5, idempotent rounds)."""
    canonical = json.dumps([study_digest, stage, round_number, sorted(reads.items())], separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def digest_folder(folder: Path) -> str:
    """Hex SHA-256 over every file of a generator folder but its card, by relative path and content.

    The card is prose about the weights and may be reworded; hidden files are an editor's or a file system's.
    """
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or relative.as_posix() == CARD or any(part.startswith(".") for part in relative.parts):
            continue
        total.update(f"{relative.as_posix()}\n{path.stat().st_size}\n".encode())
        with path.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()

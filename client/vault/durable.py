"""Writing a file so that a crash at any moment leaves the old one or the new one, complete, closed to other users."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from client.site_config import PRIVATE_FILE, PRIVATE_FOLDER


def write_durably(path: Path, content: bytes, *, flush_folder: bool = True) -> None:
    """Replace `path` with `content`: written beside, flushed to the disk, renamed; and the rename flushed too."""
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if flush_folder:
        _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

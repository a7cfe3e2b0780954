"""A lock that a process holds for as long as it lives: one vault over a site, one coordinator over a folder."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO


def take_lock(path: Path, *, wait: bool = False) -> IO[bytes] | None:
    """Lock a file, made if need be and readable by its owner alone, until what is returned is closed; the file holds
    this process's id. None where another holds it and `wait` is off."""
    stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        return None
    stream.truncate(0)
    stream.write(f"{os.getpid()}\n".encode())
    stream.flush()
    return stream


def lock_holder(path: Path) -> int | None:
    """Process id of whoever holds the lock; None where nobody does, or where the file is not ours to ask."""
    while True:
        try:
            stream = path.open("r+b")
        except OSError:
            return None
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if said := stream.read().strip():
                    return int(said)
            else:
                return None
        time.sleep(0.01)  # taken this moment: the id comes next

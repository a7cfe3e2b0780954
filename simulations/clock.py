"""Wall seconds of a run, by what they were spent on."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Starts when it is made."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        """Adds the block's seconds to `what`; blocks may lie inside each other under different names."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._spent[what] += time.monotonic() - began

    def spent(self, what: str) -> float:
        """Seconds so far."""
        return self._spent.get(what, 0.0)

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

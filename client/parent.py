"""A process that must not outlive whoever started it, even where that one was killed without a word."""

from __future__ import annotations

import os
import signal
import threading
import time

FLAG = "--with-parent"
LOOK_SECONDS = 1.0


def end_with_parent() -> None:
    """Send this process SIGTERM, as a supervisor would, once its parent is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()

"""What third parties print, log and warn may quote a patient: in the vault's process it goes to one private file.

`vault.log` in the site's folder, mode 0600, rotated. Standard output and error point there too, for libraries in C
print without asking Python. The daemon's own fixed sentences go where standard error pointed before, because a service
manager may send that on to a central log. Uncaught exceptions name their class alone.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType

from client.site_config import PRIVATE_FILE
from client.vault.incidents import PrivateFile

FILE = "vault.log"
MAX_BYTES, BACKUPS = 4_000_000, 2
_voice = 2
"""File descriptor of the daemon's own sentences."""


def say(sentence: str) -> None:
    """One of the daemon's own sentences, for whoever runs it."""
    os.write(_voice, f"{sentence}\n".encode())


def keep_quiet(site_dir: Path) -> None:
    """From here on, everything that this process prints, logs, warns or fails with goes to the site's own file."""
    global _voice
    path = site_dir / FILE
    if _voice == 2:
        _voice = os.dup(2)
    private = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
    for standard in (1, 2):
        os.dup2(private, standard)
    os.close(private)
    file = PrivateFile(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers = [file]
    root.setLevel(logging.WARNING)
    for logger in list(logging.Logger.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers, logger.propagate = [], True
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def give_voice_back() -> None:
    """Standard error points where it did before: for the program that takes this process over."""
    if _voice != 2:
        os.dup2(_voice, 2)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.error("uncaught %s", "".join(traceback.format_exception(kind, error, trace)))
    say(f"The vault failed inside ({kind.__name__}); its own log says more.")


def _uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)

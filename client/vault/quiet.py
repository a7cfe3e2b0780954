"""What third parties print, log and warn may quote a patient: in the vault's process it goes to one private file.

`vault.log` in the site's folder: mode 0600, rotated, one line per event. Standard error keeps only the daemon's own
fixed sentences, because a service manager may send it on to a central log. Uncaught exceptions name their class alone.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType

from client.vault.incidents import PrivateFile

MAX_BYTES, BACKUPS = 4_000_000, 2


def keep_quiet(site_dir: Path) -> None:
    """From here on, logging, warnings and uncaught exceptions of this process go to the site's own file."""
    file = PrivateFile(site_dir / "vault.log", maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True)
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


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.error("uncaught %s", "".join(traceback.format_exception(kind, error, trace)))
    print(f"The vault failed inside ({kind.__name__}); its own log says more.", file=sys.stderr, flush=True)


def _uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)

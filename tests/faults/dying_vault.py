"""A vault daemon that kills itself with SIGKILL at chosen moments: `dying_vault.py PLAN --site-dir DIR`.

PLAN is a JSON file, `{"align-2": "after-reserve", ...}`. Each moment comes once: what died is noted beside the file, so
that the daemon that the supervisor starts next goes on like an honest one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from client.vault import daemon, watch
from privacy.ledger import Ledger

MOMENTS = ("before-reserve", "after-reserve", "mid-step", "after-commit")
plan_file = Path(sys.argv[1])
PLAN = json.loads(plan_file.read_text())
current = ""


def die(moment: str) -> None:
    """If the plan says so for the round that runs, and it has not happened yet."""
    note = plan_file.with_suffix(f".{current}.{moment}.died")
    if PLAN.get(current) == moment and not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)


reserve, commit, draw = Ledger.reserve, Ledger.commit, watch._WatchedLoss.draw


def dying_reserve(self: Ledger, event: Any, context: Any) -> Any:
    global current
    current = f"{context.stage}-{context.round_number}"
    die("before-reserve")
    reservation = reserve(self, event, context)
    die("after-reserve")
    return reservation


def dying_commit(self: Ledger, reservation: Any) -> None:
    commit(self, reservation)
    die("after-commit")


def dying_draw(self: Any, pseudonym: str, *, generator: Any) -> Any:
    drawn = draw(self, pseudonym, generator=generator)
    die("mid-step")
    return drawn


Ledger.reserve, Ledger.commit, watch._WatchedLoss.draw = dying_reserve, dying_commit, dying_draw  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(daemon.main(sys.argv[2:]))

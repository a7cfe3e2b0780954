"""A process of its own: children spend from one ledger and are killed, or race; what is found is printed as JSON.

    python ledger_driver.py kill SITE_DIR POLICY STUDY POINTS     POINTS: JSON list of events (int) or seconds (float)
    python ledger_driver.py race SITE_DIR POLICY STUDY COUNT

A child says that a step is reserved only after `reserve` has returned: from then on noised values could leave.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from privacy import chain
from privacy.anchor import HeadAnchor
from privacy.errors import BudgetExceeded
from privacy.events import LedgerContext
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy

FOLDER, STUDY = Path(sys.argv[2]), sys.argv[4]
POLICY = SitePolicy.from_dict(json.loads(sys.argv[3]))


def opened() -> Ledger:
    return Ledger(FOLDER / "ledger.sqlite", SiteKeys.open(FOLDER).signing_key, POLICY)


def spend_for_ever(ledger: Ledger, acknowledge: int, *, rounds: int) -> None:
    event = ledger.plan(STUDY).stage_event("align").one_step()  # type: ignore[union-attr]
    for number in range(1, rounds + 1):
        reservation = ledger.reserve(event, LedgerContext(study_digest=STUDY, stage="align", round_number=number))
        os.write(acknowledge, b"r")
        ledger.commit(reservation)


WRITERS = {"chain.py", "anchor.py", "seal.py", "ledger.py"}
READERS = {
    "entries",
    "body",
    "recomputed_digest",
    "entry_digest",
    "_text",
    "_reserved",
    "_plans",
    "_steps",
    "<genexpr>",
}


def die_at(event_number: int) -> None:
    """SIGKILL to this process at that many calls and returns (Python's and C's) of the code that writes.

    What only reads old entries is not counted: it grows with the ledger.
    """
    left = event_number

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        code = frame.f_code
        left -= os.path.basename(code.co_filename) in WRITERS and code.co_name not in READERS
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


def child(ledger: Ledger, point: int | float) -> int:
    """Fork, spend, be killed at `point`; how many steps were acknowledged before."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        if isinstance(point, int):
            die_at(point)
        spend_for_ever(ledger, writing, rounds=1 if isinstance(point, int) else 10_000)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        first = b""
        if isinstance(point, float):  # seconds after the first acknowledgement
            first = pipe.read(1)
            time.sleep(point)
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return len(first + pipe.read())


def spent(ledger: Ledger) -> int:
    return sum(entry.kind == "reserved" for entry in ledger.entries())


def kill() -> None:
    acknowledged, ledger = 0, opened()
    for point in json.loads(sys.argv[5]):
        before = spent(ledger)
        acknowledged += (new := child(ledger, point))
        ledger = opened()  # verifies chain, anchor, seal
        anchor = HeadAnchor.in_keys(FOLDER / "keys").read()
        found = {"point": point, "new": new, "grew": spent(ledger) - before, "acknowledged": acknowledged}
        print(json.dumps(found | {"spent": spent(ledger), "anchored": anchor == ledger.head()}), flush=True)


def race() -> None:
    look = chain.last_entry
    chain.last_entry = lambda connection: (look(connection), time.sleep(0.002))[0]  # hold the moment open
    ledger = opened()
    event = ledger.plan(STUDY).stage_event("align").one_step()  # type: ignore[union-attr]
    reading, writing = os.pipe()
    for racer in range(int(sys.argv[5])):
        if os.fork() == 0:
            for number in range(8):
                try:
                    context = LedgerContext(study_digest=STUDY, stage="align", round_number=8 * racer + number + 1)
                    os.write(writing, f"{ledger.reserve(event, context).identifier}\n".encode())
                except BudgetExceeded:
                    os.write(writing, b"refused\n")
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        print(json.dumps(pipe.read().decode().split()))


if __name__ == "__main__":
    {"kill": kill, "race": race}[sys.argv[1]]()

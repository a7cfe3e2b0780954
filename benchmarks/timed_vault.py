"""A vault daemon that notes of each round how long it took, and how long until its first step of training was done:
`timed_vault.py NOTES --site-dir DIR` (for round_latency.py). Both count from the arrival of the request's header."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from client.vault import daemon
from client.vault.resident import ResidentVault
from client.vault.watch import RoundWatch

NOTES = Path(sys.argv[1])
train, step_taken = ResidentVault.train, RoundWatch.step_taken
first_steps: list[float] = []


def timed(self: ResidentVault, about: Any, take: Any) -> Any:
    began = time.monotonic()
    first_steps.clear()
    reply = train(self, about, take)
    seconds = {"seconds": time.monotonic() - began}
    if first_steps:
        seconds["first_step"] = first_steps[0] - began
    with NOTES.open("a") as notes:
        notes.write(json.dumps({"round": f"{about.stage}-{about.round_number}", **seconds}) + "\n")
    return reply


def noted(self: RoundWatch) -> None:
    first_steps.append(time.monotonic())
    step_taken(self)


ResidentVault.train = timed  # type: ignore[method-assign]
RoundWatch.step_taken = noted  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(daemon.main(sys.argv[2:]))

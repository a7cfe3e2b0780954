"""A vault daemon that answers wrongly: `lying_vault.py PLAN --site-dir DIR`, PLAN as `{"align-1": "huge", ...}`.

What it does to its reply it does after the true vault has made it, as somebody who owns the hospital's machine could.
"""

from __future__ import annotations

import errno
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from client.vault import daemon, state
from client.vault.vault import Vault
from protocol.requests import TrainReply, TrainRequest

PLAN = json.loads(Path(sys.argv[1]).read_text())
first: list[TrainReply] = []
train, write_durably = Vault.train, state.write_durably


def changed(reply: TrainReply, change: Any) -> TrainReply:
    groups = {group: {name: change(array) for name, array in arrays.items()} for group, arrays in reply.updates.items()}
    return replace(reply, updates=groups)


LIES = {
    "nan": lambda reply: changed(reply, lambda array: np.full_like(array, np.nan)),
    "huge": lambda reply: changed(reply, lambda array: 100 * array),
    "wrong-shapes": lambda reply: changed(reply, lambda array: array.reshape(-1)),
    "another-round": lambda reply: first[0],
    "another-site": lambda reply: replace(reply, site="south"),
    "no-groups": lambda reply: replace(reply, updates={}),
}


def lying_train(self: Vault, request: TrainRequest, *arguments: Any, **options: Any) -> TrainReply:
    lie = PLAN.get(f"{request.stage}-{request.round_number}")
    state.write_durably = full_disk if lie == "full-disk" else write_durably  # type: ignore[attr-defined]
    if lie == "nothing":
        time.sleep(10_000)
    reply = train(self, request, *arguments, **options)
    first.append(reply)
    return LIES[lie](reply) if lie in LIES else reply


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


Vault.train = lying_train  # type: ignore[method-assign,assignment]

if __name__ == "__main__":
    sys.exit(daemon.main(sys.argv[2:]))

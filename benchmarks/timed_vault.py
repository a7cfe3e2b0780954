"""A vault daemon that notes how long each round took: `timed_vault.py NOTES --site-dir DIR` (for round_latency.py)."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from client.vault import daemon
from client.vault.vault import Vault

NOTES = Path(sys.argv[1])
train = Vault.train


def timed(self: Vault, request: Any, *arguments: Any, **options: Any) -> Any:
    began = time.monotonic()
    reply = train(self, request, *arguments, **options)
    with NOTES.open("a") as notes:
        round_name = f"{request.stage}-{request.round_number}"
        notes.write(json.dumps({"round": round_name, "seconds": time.monotonic() - began}) + "\n")
    return reply


Vault.train = timed  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(daemon.main(sys.argv[2:]))

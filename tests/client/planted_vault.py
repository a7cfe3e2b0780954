"""The daemon with planted faults: wherever third parties could raise, warn, log or print, they quote a patient.

argv: the site's folder. The environment's PLANTED is what must never leave; FAULT says where it is planted.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from typing import Any

from client.vault import daemon
from client.vault.vault import Vault

PLANTED, FAULT = os.environ["PLANTED"], os.environ["FAULT"]


def third_party(*_: Any, **__: Any) -> Any:
    """As a decoder of images might behave."""
    warnings.warn(f"{PLANTED}.dcm: ambiguous VR", stacklevel=1)
    logging.getLogger("pydicom").error("cannot decode %s", PLANTED)
    print(f"decoder: {PLANTED}", flush=True)
    os.write(2, f"native decoder: {PLANTED}\n".encode())
    thread = threading.Thread(target=lambda: int(PLANTED), name=PLANTED)
    thread.start()
    thread.join()
    try:
        raise FileNotFoundError(2, "No such file", f"/export/{PLANTED}/1.dcm")
    except FileNotFoundError as error:
        raise RuntimeError(f"slice of {PLANTED}") from error


if FAULT == "start":
    Vault.__init__ = third_party  # type: ignore[method-assign]
else:
    setattr(Vault, FAULT, third_party)
daemon.keep_freed_memory = lambda: True  # type: ignore[attr-defined,assignment]
sys.exit(daemon.main(["--site-dir", sys.argv[1]]))

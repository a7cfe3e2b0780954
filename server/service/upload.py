"""An upload as a unit image, by way of a process of its own (`server.service.decoding`)."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

import server
from protocol.study import FlowSpec
from server.service.decoding import FIRST_REFUSAL, REFUSALS
from server.service.errors import RequestRefused, TooLarge
from server.service.limits import Limits

#: The rooms, for a process that inherits neither our working directory nor our environment.
_ROOT = Path(server.__file__).resolve().parent.parent
#: Of clock time to processor time: a busy machine is no fault of the file.
_PATIENCE = 3.0
_ENVIRONMENT = {
    "PYTHONPATH": str(_ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
}


def unit_image(content: bytes, flow: FlowSpec, *, size: int, limits: Limits) -> npt.NDArray[np.float32]:
    """(size, size) in [-1, 1]. Raises RequestRefused or TooLarge; neither says more than which source is at fault."""
    seconds = math.ceil(limits.decode_seconds)
    words = [flow.name, str(size), str(limits.max_pixels), str(seconds), json.dumps(flow.intensity)]
    try:
        done = subprocess.run(
            [sys.executable, "-s", "-P", "-m", "server.service.decoding", *words],
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=_ENVIRONMENT,
            timeout=_PATIENCE * limits.decode_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TooLarge(f"The image for {flow.name} takes too long to decode: make it smaller.") from None
    if done.returncode == 0 and len(done.stdout) == 4 * size * size:
        return np.frombuffer(done.stdout, dtype="<f4").reshape(size, size).astype(np.float32)
    place = done.returncode - FIRST_REFUSAL
    word, sentence = REFUSALS[place] if 0 <= place < len(REFUSALS) else REFUSALS[1]
    kind = TooLarge if word == "too-large" else RequestRefused
    raise kind(f"The image for {flow.name} {sentence}")

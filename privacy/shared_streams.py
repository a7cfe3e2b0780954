"""A trip-wire for streams that patients would share.

Torch and numpy each keep one global random stream. A loss that draws from it gives every patient's draws to whoever
comes before, so that one patient's absence shifts all the others. The wire sees that such a stream has moved.
It cannot see a stream hidden inside a loss, and it does not watch Python's `random`, which network libraries use in
threads of their own: the remove-one audit of each loss catches both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from privacy.errors import MechanismMisused


@contextmanager
def no_shared_stream() -> Iterator[None]:
    """Raise MechanismMisused if a global random stream moves within the block."""
    before = _positions()
    yield
    if _positions() != before:
        raise MechanismMisused(
            "The loss drew from a random stream that patients share: draw everything in `draw`, from its generator."
        )


def _positions() -> tuple[object, ...]:
    """Where each global stream stands."""
    _, words, position, *_ = np.random.get_state()
    on_device = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    streams = [torch.get_rng_state(), *on_device]
    return tuple(state.numpy().tobytes() for state in streams), bytes(np.asarray(words)), position

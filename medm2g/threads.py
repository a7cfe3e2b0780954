"""Threads of one core each: networks of this size are too small to be divided, so work is put side by side instead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def one_core_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of so many threads in which torch uses one core; torch's own number is as before afterwards."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)  # torch gives later threads the number set last, by whomever


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one core. One network of this size gains nothing from a second thread (codec: 72 ms a step with one, 83
    with two), and on a busy machine threads that wait for each other took fifteen times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

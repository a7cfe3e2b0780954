"""Reading many files in order, in this process or in several; a decoder that takes its process down costs one file."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

from client.records.errors import PoolUnusable
from client.records.reading_job import JobReader, Outcome
from client.records.reasons import Reason
from client.records.sources import Job

_CHUNK = 16
_AHEAD = 4
"""Chunks per worker that may be read before the store has taken them: without a bound, what a slow disk has not taken
yet piles up in memory, and a hospital's export has millions of files."""
_reader: JobReader | None = None


def outcomes(reader: JobReader, jobs: Sequence[Job], *, workers: int) -> Iterator[Outcome]:
    """One outcome per job, in the order of the jobs, whatever the number of workers.

    With one worker everything happens here, and a decoder that crashes (not: raises) ends the ingest; what was stored
    stays, and the next ingest goes on. With more, such a file is quarantined. Raises PoolUnusable.
    """
    if workers <= 1 or len(jobs) < 2:
        yield from map(reader.read, jobs)
        return
    done = 0
    while done < len(jobs):
        try:
            with _started(reader, workers) as pool:
                for outcome in _in_order(pool, jobs[done:], ahead=_AHEAD * workers):
                    done += 1
                    yield outcome
        except BrokenProcessPool:
            for outcome in _one_by_one(reader, jobs[done : done + workers * _CHUNK]):
                done += 1
                yield outcome


def _in_order(pool: Executor, jobs: Sequence[Job], *, ahead: int) -> Iterator[Outcome]:
    """Outcomes in the order of the jobs, of which at most `ahead` chunks are read or waiting at any time."""
    waiting: deque[Future[list[Outcome]]] = deque()
    for first in range(0, len(jobs), _CHUNK):
        if len(waiting) == ahead:
            yield from waiting.popleft().result()
        waiting.append(pool.submit(_read_all, jobs[first : first + _CHUNK]))
    while waiting:
        yield from waiting.popleft().result()


def _one_by_one(reader: JobReader, jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Read a stretch after a crash in one process, one file at a time, up to and with the file that kills it."""
    with _started(reader, 1) as pool:
        for job in jobs:
            try:
                yield pool.submit(_read, job).result()
            except BrokenProcessPool:
                yield Outcome(reader.pseudonyms.of("place", job.place), Reason.READER_FAILED)
                return


@contextmanager
def _started(reader: JobReader, workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool that has shown that it starts, so that a process which dies later dies of a file. Raises PoolUnusable."""
    # `spawn`: a fork of a process in which torch has threads may hang.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare, initargs=(reader,)) as pool:
        try:
            pool.submit(_ready).result()
        except BrokenProcessPool:
            raise PoolUnusable("No further process can be started from here: ingest with one worker.") from None
        yield pool


def _ready() -> bool:
    return _reader is not None


def _prepare(reader: JobReader) -> None:
    global _reader
    _reader = reader
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it if an image must be resampled; one core per process


def _read_all(jobs: Sequence[Job]) -> list[Outcome]:
    return [_read(job) for job in jobs]


def _read(job: Job) -> Outcome:
    assert _reader is not None
    return _reader.read(job)

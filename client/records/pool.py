"""Reading many files in order, in this process or in several; a decoder that takes its process down costs one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from client.records.reading_job import JobReader, Outcome
from client.records.reasons import Reason
from client.records.sources import Job

_CHUNK = 16
_reader: JobReader | None = None


def outcomes(reader: JobReader, jobs: Sequence[Job], *, workers: int) -> Iterator[Outcome]:
    """One outcome per job, in the order of the jobs, whatever the number of workers.

    With one worker everything happens here, and a decoder that crashes (not: raises) ends the ingest; what was stored
    stays, and the next ingest goes on. With more, such a file is quarantined.
    """
    if workers <= 1 or len(jobs) < 2:
        yield from map(reader.read, jobs)
        return
    done = 0
    while done < len(jobs):
        try:
            with _pool(reader, workers) as pool:
                for outcome in pool.map(_read, jobs[done:], chunksize=_CHUNK):
                    done += 1
                    yield outcome
        except BrokenProcessPool:
            yield _alone(reader, jobs[done])
            done += 1


def _alone(reader: JobReader, job: Job) -> Outcome:
    """Read one file in a process of its own: the next after a crash, which may be the one that caused it."""
    try:
        with _pool(reader, 1) as pool:
            return pool.submit(_read, job).result()
    except BrokenProcessPool:
        return Outcome(reader.pseudonyms.of("place", job.place), Reason.READER_FAILED)


def _pool(reader: JobReader, workers: int) -> ProcessPoolExecutor:
    # `spawn`: a fork of a process in which torch has threads may hang.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare, initargs=(reader,))


def _prepare(reader: JobReader) -> None:
    global _reader
    _reader = reader
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it if an image must be resampled; one core per process


def _read(job: Job) -> Outcome:
    assert _reader is not None
    return _reader.read(job)

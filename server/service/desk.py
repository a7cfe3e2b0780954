"""Who may sample, and when: so many at once, so many waiting, nobody longer than his time.

A request takes a *seat* before its body is read, so that the memory for uploads is bounded too, and keeps it until its
last event. One that hangs up or runs out of time stops at the next denoising step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from medm2g.errors import MedM2GError
from server.service.errors import Busy, Cancelled, RequestRefused, ServiceError, TimedOut, internal
from server.service.events import Event, Failed, Finished, Queued
from server.service.limits import Limits
from server.service.wish import Wish

Deliver = Callable[[Event], None]
Work = Callable[[Wish, "Job"], int]


class Job:
    """One request's seat. `deliver` is called from the sampling thread; the last event is Finished or Failed."""

    def __init__(self, desk: Desk, deliver: Deliver, deadline: float) -> None:
        self._desk, self._deliver, self._deadline = desk, deliver, deadline
        self._gone = threading.Event()
        self._seated = True
        self._queued: Future[None] | None = None

    @property
    def seconds_left(self) -> float:
        """Until this request runs out of time; not below zero."""
        return max(0.0, self._deadline - time.monotonic())

    def start(self, wish: Wish) -> None:
        """Queue it. Called once, after the body was read and checked."""
        self._queued = self._desk.queue(self, wish)
        if self._gone.is_set():  # hung up between the two
            self.cancel()

    def cancel(self) -> None:
        """The caller is gone, or the service stops: stop at the next step, or at once while still waiting."""
        self._gone.set()
        if self._queued is not None and self._queued.cancel():  # true once and for all when it has not begun
            self._desk.finish(self, Failed(Cancelled("The request was cancelled.")))

    def check(self) -> None:
        """Between two pieces of work: raises Cancelled or TimedOut where there is nothing more to do."""
        if self._gone.is_set():
            raise Cancelled("The request was cancelled.")
        if not self.seconds_left:
            raise TimedOut("The request took longer than this service allows: ask for less, or try again later.")

    def deliver(self, event: Event) -> None:
        """Tell the caller."""
        self._deliver(event)

    def leave(self) -> bool:
        """Give the seat back; true the first time. For who was refused after he sat down."""
        with self._desk.lock:
            seated, self._seated = self._seated, False
            self._desk.taken -= seated
        return seated


class Desk:
    """Admits, queues and runs. `work` samples one wish, delivers all of its events but the last, returns its seed."""

    def __init__(self, work: Work, limits: Limits) -> None:
        self._work, self._limits = work, limits
        self._workers = ThreadPoolExecutor(limits.concurrency, thread_name_prefix="sampling")
        self._waiting: list[Job] = []
        self._closed = False
        self.lock = threading.Lock()
        self.taken = 0

    def admit(self, deliver: Deliver) -> Job:
        """A seat, its time running. Raises Busy."""
        with self.lock:
            if self._closed or self.taken >= self._limits.seats:
                raise Busy("All seats of this service are taken: try again in a minute.")
            self.taken += 1
        return Job(self, deliver, time.monotonic() + self._limits.timeout_seconds)

    def queue(self, job: Job, wish: Wish) -> Future[None]:
        """First come, first sampled. Raises Busy when the service stops meanwhile."""
        with self.lock:
            if self._closed:
                raise Busy("This service is stopping.")
            ahead = max(0, len(self._waiting) + 1 - self._limits.concurrency)
            self._waiting.append(job)
        job.deliver(Queued(ahead))
        return self._workers.submit(self._run, job, wish)

    def finish(self, job: Job, last: Event) -> None:
        """Give the seat back and tell the last event, once."""
        if job.leave():
            with self.lock:
                self._waiting.remove(job)
            job.deliver(last)

    def close(self) -> None:
        """Cancel what is here and wait until the sampling threads are done with it."""
        with self.lock:
            self._closed = True
            waiting = list(self._waiting)
        for job in waiting:
            job.cancel()
        self._workers.shutdown(wait=True)

    def _run(self, job: Job, wish: Wish) -> None:
        last: Event = Failed(Cancelled("This service is stopping."))
        try:
            job.check()
            started = time.monotonic()
            seed = self._work(wish, job)
            last = Finished(seed, round(time.monotonic() - started, 3))
        except ServiceError as error:
            last = Failed(error)
        except MedM2GError as error:  # its sentences repeat no prompt and no pixel
            last = Failed(RequestRefused(str(error)))
        except Exception as error:
            last = Failed(internal(error))
        finally:
            self.finish(job, last)

"""Seats: so many at once, so many waiting, nobody longer than his time, and every seat comes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from medm2g.errors import InputInvalid
from server.service.desk import Desk, Job
from server.service.errors import Busy, Cancelled, RequestRefused, TimedOut
from server.service.events import Event, Failed, Finished, Progress, Queued
from server.service.limits import Limits
from server.service.wish import Wish

WISH = Wish(targets=("xray",))
Sampling = Callable[[Wish, Job], int]


class Held:
    """Work that goes on until it is let go; a step every millisecond."""

    def __init__(self) -> None:
        self.go, self.at_once, self.most = threading.Event(), 0, 0
        self._lock = threading.Lock()

    def __call__(self, wish: Wish, job: Job) -> int:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        try:
            while not self.go.wait(0.001):
                job.check()
            return 7
        finally:
            with self._lock:
                self.at_once -= 1


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


def _started(desk: Desk) -> tuple[Job, SimpleQueue[Event]]:
    heard: SimpleQueue[Event] = SimpleQueue()
    job = desk.admit(heard.put)
    job.start(WISH)
    return job, heard


def _last(heard: SimpleQueue[Event]) -> Event:
    while not isinstance(event := heard.get(timeout=30), Finished | Failed):
        pass
    return event


def test_who_finds_every_seat_taken_is_told_at_once(held: Held) -> None:
    desk = Desk(held, Limits(concurrency=2, queue=1))
    heard = [_started(desk)[1] for _ in range(3)]
    with pytest.raises(Busy):
        desk.admit(print)
    held.go.set()
    assert [type(_last(each)) for each in heard] == [Finished] * 3
    assert held.most == 2
    desk.close()


def test_a_seat_is_held_from_before_the_body_and_given_back_once(held: Held) -> None:
    desk = Desk(held, Limits(queue=0))
    job = desk.admit(print)  # whose body is still coming in
    with pytest.raises(Busy):
        desk.admit(print)
    job.leave()
    job.leave()
    desk.admit(print)
    with pytest.raises(Busy):
        desk.admit(print)


def test_each_is_told_how_many_are_before_him(held: Held) -> None:
    desk = Desk(held, Limits(concurrency=1, queue=3))
    queued = [_started(desk)[1].get(timeout=30) for _ in range(3)]
    assert queued == [Queued(0), Queued(1), Queued(2)]
    held.go.set()
    desk.close()


def test_who_hangs_up_stops_at_the_next_step_and_frees_the_seat(held: Held) -> None:
    desk = Desk(held, Limits(queue=0))
    job, heard = _started(desk)
    job.cancel()
    failed = _last(heard)
    assert isinstance(failed, Failed) and isinstance(failed.error, Cancelled)
    _started(desk)
    desk.close()


def test_who_hangs_up_while_waiting_frees_the_seat_at_once(held: Held) -> None:
    desk = Desk(held, Limits(concurrency=1, queue=1))
    _started(desk)
    for _ in range(3):
        waiting, heard = _started(desk)
        waiting.cancel()
        waiting.cancel()
        assert isinstance(_last(heard), Failed)
    _started(desk)
    with pytest.raises(Busy):
        desk.admit(print)
    held.go.set()
    desk.close()


def test_time_runs_while_waiting_too(held: Held) -> None:
    desk = Desk(held, Limits(concurrency=1, queue=1, timeout_seconds=1))
    started = time.monotonic()
    ends = [_last(_started(desk)[1]) for _ in range(1)] + [_last(_started(desk)[1])]
    assert all(isinstance(end, Failed) and isinstance(end.error, TimedOut) for end in ends)
    assert time.monotonic() - started < 20
    desk.close()


def test_progress_arrives_in_order_and_the_seed_last() -> None:
    def work(wish: Wish, job: Job) -> int:
        for done in (1, 2):
            job.deliver(Progress(done, 2))
        return 11

    desk = Desk(work, Limits())
    _, heard = _started(desk)
    events = [heard.get(timeout=30) for _ in range(4)]
    assert events[:3] == [Queued(0), Progress(1, 2), Progress(2, 2)]
    assert isinstance(events[3], Finished) and events[3].seed == 11
    desk.close()


def test_an_error_nobody_foresaw_is_a_number_to_the_caller_and_a_class_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work(wish: Wish, job: Job) -> int:
        raise ValueError("Doe^John 1961-02-03")

    desk = Desk(work, Limits(queue=0))
    with caplog.at_level(logging.INFO):
        failed = _last(_started(desk)[1])
    assert isinstance(failed, Failed) and "incident" in str(failed.error)
    assert "ValueError" in caplog.text and "Doe" not in caplog.text and "Doe" not in str(failed.error)
    assert _incident(str(failed.error)) in caplog.text
    _started(desk)  # the seat is free again
    desk.close()


def _incident(sentence: str) -> str:
    return sentence.split("incident ")[1].split()[0]


def test_what_the_generator_refuses_is_told_in_its_own_sentence() -> None:
    def work(wish: Wish, job: Job) -> int:
        raise InputInvalid("Leave it out.")

    desk = Desk(work, Limits())
    failed = _last(_started(desk)[1])
    assert (
        isinstance(failed, Failed) and isinstance(failed.error, RequestRefused) and str(failed.error) == "Leave it out."
    )
    desk.close()


def test_a_service_that_stops_ends_what_runs_and_what_waits(held: Held) -> None:
    desk = Desk(held, Limits(concurrency=1, queue=1))
    heard = [_started(desk)[1] for _ in range(2)]
    desk.close()
    assert [type(_last(each)) for each in heard] == [Failed, Failed]
    with pytest.raises(Busy):
        desk.admit(print)

"""What runs now, for the hospital's own eyes, and the way to stop it.

Steps taken and seconds are true: told to the relay in time they would show how many patients were drawn, so the daemon
tells them over the operator's socket only. A round can be stopped between two chunks of patients; what it had reserved
stays spent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from client.vault.errors import Cancelled

if TYPE_CHECKING:
    from privacy.engines import PatientLoss


@dataclass(frozen=True, kw_only=True)
class RunningRound:
    """One round that the vault works on."""

    study_digest: str
    stage: str
    round_number: int
    steps_planned: int
    steps_taken: int = 0
    started: float = field(default_factory=time.monotonic)
    cancelling: bool = False

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.started


class RoundWatch:
    """At most one round at a time, as in the vault. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._round: RunningRound | None = None

    @property
    def round(self) -> RunningRound | None:
        """The round that runs now."""
        with self._lock:
            return self._round

    @contextmanager
    def running(self, *, study_digest: str, stage: str, round_number: int, steps_planned: int) -> Iterator[None]:
        """Say that this round runs while the block does."""
        begun = RunningRound(
            study_digest=study_digest, stage=stage, round_number=round_number, steps_planned=steps_planned
        )
        with self._lock:
            self._round = begun
        try:
            yield
        finally:
            with self._lock:
                self._round = None

    def step_taken(self) -> None:
        """One step is done. Raises Cancelled where somebody asked for it."""
        with self._lock:
            if self._round is not None:
                self._round = replace(self._round, steps_taken=self._round.steps_taken + 1)
        self.check()

    def cancel(self, *, study_digest: str | None = None) -> bool:
        """Ask the running round (of that study, or of any) to stop; whether there was one."""
        with self._lock:
            if self._round is None or study_digest not in (None, self._round.study_digest):
                return False
            self._round = replace(self._round, cancelling=True)
            return True

    def check(self) -> None:
        """Raises Cancelled where somebody asked for it."""
        running = self.round
        if running is not None and running.cancelling:
            raise Cancelled("The round was stopped by this site's own people: what it reserved stays spent.")


def watched(loss: PatientLoss, watch: RoundWatch) -> PatientLoss:
    """The same loss, which stops before it draws for another patient once the round is cancelled."""
    return _WatchedLoss(loss, watch)


class _WatchedLoss:
    def __init__(self, loss: Any, watch: RoundWatch) -> None:
        self._loss, self._watch = loss, watch

    def draw(self, pseudonym: str, *, generator: Any) -> Any:
        self._watch.check()
        return self._loss.draw(pseudonym, generator=generator)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss, name)  # `loss`, and `touched` where there is one

"""`progress.json`: where a run stands right now, for `status`; written whole at every change, by the ServerApp alone.

That the ServerApp lives is told by the lock it holds on `run.lock`, not by the file: a process that was killed leaves
its last words behind, and its lock is gone.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from protocol.lock import lock_holder

PROGRESS, LOCK = "progress.json", "run.lock"
STARTING = "starting"
"""Said by the operator's command; a ServerApp must take over within `START_SECONDS`."""
WAITING_FOR_STUDY = "waiting for another study"
WAITING_FOR_SITES = "waiting for sites"
RUNNING, COMPLETED, FAILED, STOPPED = "running", "completed", "failed", "stopped"
INTERRUPTED = "interrupted"
"""Never written: what a reader says of a run whose process is gone without a last word."""
START_SECONDS = 120.0
ENDED = (COMPLETED, FAILED, STOPPED, INTERRUPTED)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One moment of a run."""

    study: str
    study_digest: str = ""
    state: str = WAITING_FOR_SITES
    stage: str = ""
    round_number: int = 0
    """From 1 within the stage; the one that is open, or the last that was."""
    rounds: int = 0
    """Of that stage."""
    rounds_done: int = 0
    rounds_total: int = 0
    """Of the study."""
    awaited: tuple[str, ...] = ()
    """Sites whose reply, or whose coming, is waited for."""
    missing: dict[str, str] = field(default_factory=dict)
    """Sites of the study that do not take part at the moment, and why."""
    message: str = ""
    """How it ended, in one sentence."""
    since: float = 0.0
    """Unix time of the last change."""
    process: int = 0

    @classmethod
    def read(cls, folder: Path) -> Progress | None:
        """The last words of the run in `folder`, with `interrupted` in place of a state that nobody works on."""
        try:
            values = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
            progress = cls(**values | {"awaited": tuple(values["awaited"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if progress.state == STARTING and time.time() - progress.since < START_SECONDS:
            return progress
        if progress.state not in ENDED and not is_running(folder):
            return replace(progress, state=INTERRUPTED, awaited=())
        return progress


class ProgressFile:
    """Writes the progress of one run. Without a folder it writes nothing: a simulation has its own bar."""

    def __init__(self, folder: Path | None, progress: Progress) -> None:
        self._path = folder / PROGRESS if folder else None
        self._now = progress

    @property
    def now(self) -> Progress:
        """What was said last."""
        return self._now

    def say(self, **changes: Any) -> None:
        """Change some fields and write the file if anything changed."""
        changed = replace(self._now, **changes)
        if self._path is None or replace(changed, since=self._now.since) == self._now:
            return
        self._now = replace(changed, since=time.time(), process=os.getpid())
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self._now), indent=1), encoding="utf-8")
        os.replace(temporary, self._path)


def is_running(folder: Path) -> bool:
    """Whether some ServerApp works in this run folder."""
    return lock_holder(folder / LOCK) is not None

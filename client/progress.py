"""Progress bars of every command: on standard error, with the time left, silent for machines."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress_bars(*, quiet: bool) -> Progress:
    """Not started yet: enter it, or call `start` once there is something to show."""
    done = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    left = (TextColumn("left"), TimeRemainingColumn())
    return Progress(*done, *left, console=Console(stderr=True), disable=quiet)

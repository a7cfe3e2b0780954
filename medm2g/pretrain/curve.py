"""The learning curve on disk: one CSV row per validation, appended at once, so that a killed run keeps its curve."""

from __future__ import annotations

import csv
from pathlib import Path

COLUMNS = ("phase", "seconds", "step", "train_loss", "validation_loss")


class CurveWriter:
    """Appends to `path`; None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append(COLUMNS)

    def write(self, phase: str, *, seconds: float, step: int, train_loss: float, validation_loss: float) -> None:
        """One row; seconds since the phase began."""
        self._append((phase, f"{seconds:.1f}", step, f"{train_loss:.5f}", f"{validation_loss:.5f}"))

    def _append(self, row: tuple[object, ...]) -> None:
        if self.path is not None:
            with self.path.open("a", newline="", encoding="utf-8") as handle:
                csv.writer(handle, lineterminator="\n").writerow(row)

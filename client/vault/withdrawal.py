"""Withdrawal: a site leaves a study for good. Asked before every round, so that it holds from the next step on.

A withdrawn digest stays withdrawn: to come back, the consortium writes a new study. What was released before cannot be
called back, and what was spent stays spent; the file says when the site left, for whoever asks later.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from client.vault.durable import write_durably
from client.vault.errors import Withdrawn


class Withdrawals:
    """Files `<digest>.json` below `<site_dir>/state/withdrawn`."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "withdrawn"

    def digests(self) -> frozenset[str]:
        """Digests of the studies that this site left."""
        return frozenset(path.stem for path in self._folder.glob("*.json"))

    def withdraw(self, study_digest: str) -> None:
        """Leave a study; again changes nothing. `study_digest` must be one that is approved here."""
        if study_digest not in self.digests():
            left = {"study_digest": study_digest, "at": datetime.now(UTC).isoformat(timespec="seconds")}
            write_durably(self._folder / f"{study_digest}.json", (json.dumps(left) + "\n").encode())

    def check(self, study_digest: str) -> None:
        """Raises Withdrawn."""
        if study_digest in self.digests():
            raise Withdrawn("This site has withdrawn from the study: a new study can ask it again.")

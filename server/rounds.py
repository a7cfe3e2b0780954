"""`rounds.jsonl`: one line per round, every site by name: who answered, who was dropped and why, what it cost."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ACCEPTED = "accepted"


@dataclass(kw_only=True)
class SiteOutcome:
    """What one site did in one round."""

    status: str = ""
    """`accepted`, a wire code that the site answered, or the reason why the server dropped its reply."""
    incident: str = ""
    """Under this number the site's own log tells more."""
    bytes_down: int = 0
    bytes_up: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    """As released by the site, `epsilon_spent` among them."""
    ledger_sequence: int = 0
    """Number of the ledger entry that the site named; 0 where it named none. Grows from round to round."""
    ledger_digest: str = ""
    """That entry's digest: an audit asks whether the site's ledger still holds it."""

    @property
    def accepted(self) -> bool:
        """Whether the site's update was folded."""
        return self.status == ACCEPTED


@dataclass(kw_only=True)
class RoundRecord:
    """One round, as its line says it."""

    stage: str
    round_number: int
    """From 1 within the stage."""
    completed: bool
    """False where the quorum was missed; the round is then run again."""
    learning_rate: float
    seconds: float
    """Wall seconds of the round at the server, checkpoint excluded."""
    training_seconds: float | None
    """Of these, by the training clock; null where there is none (a site never sends how long a step took)."""
    trained: dict[str, int]
    """Group name to number of sites whose update was folded."""
    sites: dict[str, SiteOutcome]

    @property
    def accepted(self) -> list[str]:
        """Sites whose update was folded."""
        return [name for name, outcome in self.sites.items() if outcome.accepted]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RoundRecord:
        """The record of one line."""
        sites = {name: SiteOutcome(**outcome) for name, outcome in values["sites"].items()}
        return cls(**{**values, "sites": sites})


class RoundLog:
    """The file, append-only but for lines that a resumed run will write again."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: RoundRecord) -> None:
        """Write one line durably."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(record), allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def read(self) -> list[RoundRecord]:
        """All rounds so far; a line that a crash cut short at the end is not a round."""
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(RoundRecord.from_dict(json.loads(line)))
            except json.JSONDecodeError:
                break
        return records

    def keep_until(self, *, finished: Mapping[str, int]) -> None:
        """Drop completed rounds beyond the checkpoint (`finished`: stage to rounds done): they will be run again."""
        kept = [
            record
            for record in self.read()
            if not record.completed or record.round_number <= finished.get(record.stage, 0)
        ]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(asdict(record)) + "\n" for record in kept), encoding="utf-8")
        os.replace(temporary, self.path)

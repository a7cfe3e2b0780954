"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    """Works, but somebody should know."""
    FAIL = "fail"
    """Training or privacy depends on it."""
    UNKNOWN = "unknown"
    """Cannot be seen from here, or not by this user."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    state: State
    says: str
    """What was found; true counts may stand here, for nobody else sees it."""
    do: str = ""
    """What to do about it; empty where nothing is to be done."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"state": self.state.value}


def ok(name: str, says: str) -> Finding:
    """All is well."""
    return Finding(name, State.OK, says)


def warn(name: str, says: str, do: str) -> Finding:
    """Works, but."""
    return Finding(name, State.WARN, says, do)


def fail(name: str, says: str, do: str) -> Finding:
    """Does not work, or is not safe."""
    return Finding(name, State.FAIL, says, do)


def unknown(name: str, says: str, do: str = "") -> Finding:
    """Cannot be seen."""
    return Finding(name, State.UNKNOWN, says, do)

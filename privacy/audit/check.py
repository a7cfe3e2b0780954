"""What every audit says of one proposition: whether it held, the figure, and what the check would have noticed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """One proposition, checked."""

    name: str
    """Short name, for tables and machines."""
    proposition: str
    """What must be true, as one sentence."""
    passed: bool
    figure: str
    """What was measured, in words and numbers."""
    power: str
    """What this check would have noticed, so that nobody reads more into a pass than it says."""

"""What a rule on numbers is: a pattern and its surrogate; and the units behind which a number is a measurement."""

from __future__ import annotations

import re
from collections.abc import Callable

UNIT = (
    r"(?!\s?(?:[-x×]\s?)?(?:[.,]\d+\s?)?"
    r"(?:mm|cm|ml|cc|mg|mcg|µg|ug|g|kg|l|hu|kv|kvp|ma|mas|ms|msec|mgy|mci|mbq|iu|u|bpm|mmhg|hz|cells?|copies|%|/|"
    r"[x×]\s?\d)"
    r"(?:\b|(?<=[%/\d])))"
)
MEASURE = r"(?!\s?(?:mm|cm|ml|mg|kg|HU|ms|x)\b)"
Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def rule(pattern: str, surrogate: str | Callable[[re.Match[str]], str], *, exact_case: bool = False) -> Rule:
    return re.compile(pattern, 0 if exact_case else re.IGNORECASE), surrogate

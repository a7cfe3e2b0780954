"""What stands in a report where an identifier stood. While rules run, each surrogate is one character of Unicode's
private use area, which no pattern for words or numbers can match, so that a rule never bites into another's work.
"""

from __future__ import annotations

import re

NAME, DATE, IDENTIFIER, PHONE, ADDRESS, HOSPITAL = (chr(0xE000 + i) for i in range(6))
MARKS = f"{NAME}{DATE}{IDENTIFIER}{PHONE}{ADDRESS}{HOSPITAL}"
WRITTEN = {
    NAME: "[NAME]",
    DATE: "[DATE]",
    IDENTIFIER: "[ID]",
    PHONE: "[PHONE]",
    ADDRESS: "[ADDRESS]",
    HOSPITAL: "[HOSPITAL]",
}


def written(text: str) -> str:
    """Marks as they are stored."""
    return text.translate({ord(mark): name for mark, name in WRITTEN.items()})


def marked(text: str) -> str:
    """Surrogates that stand in the text already as marks; other characters of private use are dropped."""
    text = re.sub(r"[\ue000-\uf8ff]", "", text)
    for mark, name in WRITTEN.items():
        text = text.replace(name, mark)
    return text

"""What a site keeps of a report: whole sentences in which no rule found anything, and which are about medicine.

An identifier that no rule knows (a surname that is a word of reports, a date as nobody writes it) mostly stands in one
sentence with something that a rule does know, or in a line that says nothing medical. So the sentence with a surrogate
leaves whole, and so does one without a single word of medicine that is nobody's name. What that costs is in
docs/deidentification.md.
"""

from __future__ import annotations

import re

from privacy.surrogates import MARKS, marked
from privacy.text_words import is_also_rare_name, is_filler, is_ordinary, is_stationery

_SHORTEST = 3
"""Letters of a word that shows what a sentence is about."""
_TITLE = r"(?:\b[A-Za-z]|\b(?:Drs?|Mrs?|Ms|Mx|Prof|Rev|Fr|Hon|Capt|Sgt|St|Ste|Jr|Sr|No|Ref|Tel|Ext|vs|ca|approx))"
_DIVIDER = re.compile(r"(\n+|(?<=[.!?])[ \t]+)")
_DIVIDES_NOTHING = re.compile(rf"{_TITLE}\.$", re.IGNORECASE)
_SEX = r"(?:fe)?male|(?:wo)?man|boy|girl|[mf]"
_AGE_AND_SEX = re.compile(
    rf"(?:patient:? ?)?(?:(?:{_SEX}),? ?)?(?:over )?\d{{1,2}} ?(?:years?|yrs?|y)\b(?: ?old)?(?:,? ?(?:{_SEX}))?\W*",
    re.IGNORECASE,
)
"""Says nothing of medicine and is no identifier; 45 CFR 164.514 (b)(2)(i)(C) takes ages above 89 only."""
_WORD = re.compile(r"[^\W\d_]+")


def kept_sentences(text: str) -> str:
    """Of a text with surrogates, the sentences that a site keeps, each as it stands; perhaps none.

    Doing it twice changes nothing. A line break and a full stop end a sentence; the stop of a title or an initial does
    not: better one sentence too long than a surname cut from its title.
    """
    lines = ("".join(filter(_is_kept, _sentences(line))).rstrip() for line in marked(text).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _sentences(line: str) -> list[str]:
    """The sentences of a line, each with the space behind it."""
    found, open_ = [], ""
    parts = _DIVIDER.split(line)
    for sentence, space in zip(parts[::2], [*parts[1::2], ""], strict=True):
        open_ += sentence + space
        if not _DIVIDES_NOTHING.search(sentence):
            found.append(open_)
            open_ = ""
    return [*found, open_]


def _is_kept(sentence: str) -> bool:
    if any(mark in sentence for mark in MARKS):
        return False
    return _AGE_AND_SEX.fullmatch(sentence) is not None or any(map(_is_medicine, _WORD.findall(sentence)))


def _is_medicine(word: str) -> bool:
    if len(word) < _SHORTEST or not is_ordinary(word):
        return False
    return not is_filler(word) and not is_stationery(word) and not is_also_rare_name(word)

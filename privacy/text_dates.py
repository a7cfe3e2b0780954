"""Dates and times of day, in the many ways in which reports write them, as rules for `text_numbers`."""

from __future__ import annotations

import re

from privacy.surrogates import DATE, IDENTIFIER
from privacy.text_rules import MEASURE, UNIT, Rule, rule

_MONTHS = (
    r"(?:jan(?:uary|uar|vier|\.)?|feb(?:ruary|ruar|\.)?|f[ée]vr(?:ier|\.)?|mar(?:ch|zo|\.)?|m[äa]rz|mars|"
    r"apr(?:il|\.)?|avril|abril|june?|juni|juin|junio|jul(?:y|i|io|\.)?|juillet|aug(?:ust|\.)?|ao[ûu]t|agosto|"
    r"sept?(?:ember|embre|\.)?|o[ck]t(?:ober|obre|\.)?|nov(?:ember|embre|\.)?|de[cz](?:ember|embre|\.)?|"
    r"d[ée]c(?:embre|\.)?|enero|febrero|mayo|septiembre|noviembre|diciembre|gennaio|febbraio|maggio|giugno|luglio|"
    r"settembre|ottobre|dicembre)"
)
_MAY = r"(?:may|mai)"
_CAPITAL_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|March|Apr(?:il)?|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?|Mar|May|JAN|FEB|MAR|APR|JUNE?|JULY?|AUG|SEPT?|OCT|NOV|DEC)"
)
_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?,?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?:(?:19|20)\d{2}|['’]\d{2})"
_SHORT_YEAR = r"(?:(?:19|20)?\d{2})"
_CLOCK = (
    r"(?:[,\s]+(?:at\s+)?(?:[01]?\d|2[0-3])[:h][0-5]\d(?::[0-5]\d(?:\.\d+)?)?\s?(?:[ap]\.?m\b\.?|hrs|hours|h\b|Z)?)?"
)
_FULL_MONTHS = "(?:january|february|april|june|july|august|september|october|november|december)"
DATE_RULES: tuple[Rule, ...] = (
    rule(rf"\b(?:{_MONTHS}|{_MAY})[/.-]{_DAY}[/.-](?:19|20)\d{{2}}(?!\d)", DATE),
    rule(rf"\b(?:{_MONTHS}|{_MAY})\s+the\s+{_DAY}\b(?:,?\s*{_YEAR}\b)?", DATE),
    rule(
        rf"\b(?:{_WEEKDAY}\s+)?the\s+(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)(?:,|\s+of)?\s+(?:{_MONTHS}|"
        rf"{_MAY})\b(?:,?\s*{_YEAR}\b)?",
        DATE,
    ),
    rule(rf"(?<![\w.]){_DAY}(?:{_MONTHS}|{_MAY})(?:19|20)\d{{2}}(?!\w)", DATE),
    rule(r"(?<![\d.])(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|1[0-2])(?!\1)[-/.](?:19|20)\d{2}(?!\d)", DATE),
    rule(r"(?<![\d./-])0[1-9]/\d{2}(?![\d/.%])" + MEASURE, DATE),
    rule(rf"\b{_DAY}(?:st|nd|rd|th)?\s+day\s+of\s+(?:{_MONTHS}|{_MAY})\b,?(?:\s*{_YEAR}\b)?", DATE),
    rule(r"(?<![\d.])(?:0?[1-9]|[12]\d|3[01])([|:_])(?:0?[1-9]|1[0-2])\1(?:19|20)\d{2}(?!\d)", DATE),
    rule(rf"\b(?:19|20)\d{{2}}[-/. ,]+(?:{_MONTHS}|{_MAY})[-/. ]+{_DAY}\b", DATE),
    rule(rf"(?<![\d.])(?:0?[1-9]|1[0-2])\.(?:0?[1-9]|[12]\d|3[01])\.\d{{2}}(?![\d.]\d|\d){UNIT}{_CLOCK}", DATE),
    rule(
        rf"\b(?:19|20)\d{{2}}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?\b"
        rf"{_CLOCK}",
        DATE,
    ),
    rule(r"(?<![\d.])(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6}(?:\.\d+)?)?(?!\d)", DATE),
    rule(rf"(?<![\d.])\d{{1,2}}\s?([-/.])\s?\d{{1,2}}\s?\1\s?(?:19|20)\d{{2}}(?!\d){_CLOCK}", DATE),
    rule(rf"(?<![\d.])\d{{1,2}}([-/])\d{{1,2}}\1\d{{2}}(?![\d-]){UNIT}{_CLOCK}", DATE),
    rule(rf"(?<![\d.])(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d{{2}}(?![\d.]){UNIT}{_CLOCK}", DATE),
    rule(rf"(?<![\d.])(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.\d{{2}}(?![\d.]\d|\d){UNIT}{_CLOCK}", DATE),
    rule(rf"\b(?:{_MONTHS}|{_MAY})\.?\s(?:[1-9]|[12]\d|3[01])(?:st|nd|rd|th)\b(?:,?\s{_YEAR}\b)?{_CLOCK}", DATE),
    rule(rf"\b{_DAY}[-\s./]*(?:of\s+|de\s+)?{_MONTHS}\b[-\s.,/]*(?:de\s+)?{_YEAR}\b{_CLOCK}", DATE),
    rule(rf"\b{_DAY}[-/\s]?{_MONTHS}[-/\s]?\d{{2}}\b{UNIT}{_CLOCK}", DATE),
    rule(rf"\b{_DAY}\.?[-\s/]*(?:of\s+|de\s+)?{_MAY}[-\s.,/]*(?:de\s+)?{_YEAR}\b{_CLOCK}", DATE),
    rule(rf"\b{_DAY}[-/]{_MAY}[-/]{_SHORT_YEAR}\b{_CLOCK}", DATE),
    rule(rf"\b(?:{_MONTHS}|{_MAY})[-\s.]*{_DAY}(?:\s?,\s?|\s+|-){_YEAR}\b{_CLOCK}", DATE),
    rule(rf"\b(?:{_MONTHS}|{_MAY})[-\s.,/]*(?:of\s+)?{_YEAR}\b", DATE),
    rule(rf"(?<![\d.-])\b{_DAY}\s(?:of\s+)?{_CAPITAL_MONTH}\b\.?", DATE, exact_case=True),
    rule(
        rf"\b(?:on|since|from|until|till|dated|of|to|by|and|in|last|early|late|mid|est|seit|vom|am)\s+"
        rf"(?-i:(?=[A-Z]))(?:{_MONTHS}|may)(?:[\s.]+{_DAY})?\b(?!\s?\d)",
        lambda match: _after_first_word(match),
    ),
    rule(
        rf"\b(?:ON|DATED|SINCE|FROM|OF|TO|BY|WITH)\s+{_DAY}\s+MAY\b(?!\s[A-Z])",
        lambda match: _after_first_word(match),
        exact_case=True,
    ),
    rule(rf"\b{_CAPITAL_MONTH}[-/' ]{{1,2}}['’]?\d{{2}}\b(?![-./]?\d){UNIT}", DATE, exact_case=True),
    rule(r"(?<![\d./-])(?:0?[1-9]|1[0-2])/(?:19|20)\d{2}(?![\d/])", DATE),
    rule(rf"\b{_WEEKDAY}\s(?:the\s)?\d{{1,2}}[-/.]\d{{1,2}}\b(?![-/.]\d)", DATE),
    rule(rf"(?<![\d.-])\b\d{{1,2}}(?:st|nd|rd|th)\s+(?:of\s+)?(?:{_MONTHS}|{_MAY})\b(?:,?\s*{_YEAR}\b)?", DATE),
    rule(rf"(?<![\d.-])\b{_DAY}\s+{_FULL_MONTHS}\b", DATE),
    rule(
        r"(?<![\d.-])\b(?:0[1-9]|[12]\d|3[01])[- ]?(?:MAY|May)[- '’]?\d{2}\b|\b(?:MAY|May)-\d{2}\b",
        DATE,
        exact_case=True,
    ),
    rule(rf"{DATE},?[ \t]+\d{{1,2}}h\d{{2}}(?!\w)", DATE),
    rule(rf"\b{_CAPITAL_MONTH}\.?\s{_DAY}\b(?![-.,]?\d){UNIT}", DATE, exact_case=True),
    rule(
        r"\b(?:on|dated|since|from|vs|versus|study of|exam of|compared (?:to|with))\s+(?:0?[1-9]|[12]\d|3[01])/"
        r"(?:0?[1-9]|[12]\d|3[01])\b(?!/)",
        lambda match: _after_first_word(match, last=True),
    ),
    rule(
        r"(?:(?<=\bat )|(?<=@ )|(?<=@))(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\s?(?:[ap]\.?m\b\.?|hrs|"
        r"hours|h\b))?",
        DATE,
    ),
    rule(r"\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d|(?::[0-5]\d)?\s?(?:[ap]\.?m\b\.?|hrs|hours))(?!\d)", DATE),
    rule(r"(?<![\d:.])(?:[01]\d|2[0-3]):[0-5]\d(?![\d:])", DATE),
    rule(r"\bat\s+(?:[01]\d|2[0-3])[0-5]\d\s?(?:hrs|hours|h)\b", f"at {DATE}"),
    rule(rf"[{DATE}{IDENTIFIER}],?[ \t]+(?:[01]?\d|2[0-3])[:h][0-5]\d(?::[0-5]\d)?(?!\d)", DATE),
    rule(rf"\b{_WEEKDAY}[ \t]*(?:the[ \t]+)?{DATE}", DATE),
    rule(rf"{DATE}[ \t]*\(?{_WEEKDAY}\)?(?!\w)", DATE),
)


def _after_first_word(match: re.Match[str], *, last: bool = False) -> str:
    """Keep the preposition, replace what follows."""
    words = match.group(0).rsplit(maxsplit=1) if last else match.group(0).split(maxsplit=1)
    return f"{words[0]} {DATE}"

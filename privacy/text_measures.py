"""The last net for numbers, which fails closed: a number stays if medicine writes numbers so.

Up to three digits in the forms of sizes, ranges, vertebrae, grades and fractions; more before a unit; a year alone; the
codes of a closed list. What else has digits goes, and so do a great age, a day of the year, and digits that touch an
identifier already found.
"""

from __future__ import annotations

import re

from privacy.surrogates import ADDRESS, DATE, IDENTIFIER, MARKS, NAME, PHONE
from privacy.text_numbers import OLDEST
from privacy.text_words import is_abbreviation, is_ordinary

_UNITS = (
    r"(?:mm|cm|m|ml|cc|dl|l|mg|mcg|µg|ug|g|kg|hu|kvp?|mas?|msec|ms|mgy|gy|mci|mbq|iu|u|bpm|mmhg|hz|"
    r"khz|mhz|cells|copies|counts?|%|degrees?|°|x|×|/(?:mm|cm|ml|ul|µl|l|hpf|d)\^?\d?)"
)
_NO_UNIT = rf"(?![\w.,]?\d|[ \t]?{_UNITS}(?![^\W\d_]))"
_GROUPED = re.compile(
    rf"(?<![\w.,{MARKS}])\d{{1,3}}(?:,\d{{3}}){{2,}}(?![\d.,]?\d)|(?<![\w.])\d{{3}}(?: \d{{2,4}}){{2,4}}{_NO_UNIT}",
    re.IGNORECASE,
)
_NUMBERS = f"[{IDENTIFIER}{PHONE}]"
_BESIDE_A_NUMBER = re.compile(
    rf"(?:(?<![\w.])[(+]{{0,2}}\d{{2,4}}\)?[ \t]?[-.@/]?[ \t]?)+(?={_NUMBERS})|"
    rf"(?<![\w.])[A-Z]{{0,3}}\d{{1,4}}[-/](?=[{MARKS}])|"
    rf"(?<![\w.])(?!COVID|SARS)[A-Z]{{2,4}}\d{{2,4}}[ \t](?={IDENTIFIER})|"
    rf"(?<={_NUMBERS})[ \t]?[,.@/(-]?[ \t]?\d{{3,}}(?:[,. -]\d{{3,}})*\)?{_NO_UNIT}|"
    rf"(?<=[{DATE}{ADDRESS}])[ \t]?[,.@-]?[ \t]?(?:[A-Z]{{1,3}}T[ \t]|UTC[ \t])?\d{{3,}}(?:[,. -]\d{{3,}})*{_NO_UNIT}",
    re.IGNORECASE,
)
_GREAT_AGE = re.compile(
    rf"(?:(?<={NAME})[ \t]*[,(/-]?[ \t]*|\b(?:turn(?:ed|s|ing)|aged?|now|nearly|almost|is|was|which at)[ \t]+)"
    rf"(?:9\d|1[01]\d)(?![\w.,/:-]*\d|[ \t]?-?{_UNITS}(?![^\W\d_])|[ \t]*(?:degree|deg\b|beats|per))",
    re.IGNORECASE,
)
_DAY_AND_MONTH = re.compile(r"(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])|(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|1[0-2])")
_SPACED_DATE = re.compile(r"(?<![\w.,/-])\d{1,2}[ \t]+\d{1,2}[ \t]+(?:19|20)\d\d(?![\w/-]|[.,]\d)")
_FRACTION = re.compile(r"1/[2-9]|2/[357]|3/[458]|\d/10")
_BEFORE_A_FRACTION = re.compile(
    r"\b(?:segments?|grades?|scores?|scored|levels?|power|strength|murmur|zones?|types?|stages?|ribs?|images?|slices?|"
    r"series|class|reflexes|pain|apgars?|nodes?|cores?|lobes?|phase|pulses?|gcs|quadrants?|digits?|rays?|toes?|fingers?|"
    r"c|t|l|s)[ \t]*(?:of|is|was|:|=|the)?[ \t]*$",
    re.IGNORECASE,
)
_AFTER_A_FRACTION = re.compile(
    r"[ \t]+(?:of the|nodes?|ribs?|murmur|systolic|zones?|segments?|cores?|positive|power|lobes?|posterior|anterior|"
    r"right|left|third|width|mm|cm|pulses?|strength|views?|quadrants?)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(rf"(?<![\w{MARKS}])(?=[\w.,/:+*^×-]*\d)[<>~≈±]?\w[\w]*(?:[.,/:+*^×'’-]+\w+)*(?:[+*%°]|(?!\w))")
_LED_BY_LETTERS = re.compile(r"([A-Za-z]{3,})[-.]?\d")
_LONG_RUN = re.compile(r"\d{4,}")
_MEASURED = re.compile(
    rf"(?i:[<>~≈±]?\d{{1,5}}(?:[.,]\d{{1,3}})?(?:\s?[-x×/]\s?\d{{1,5}}(?:[.,]\d{{1,3}})?)*\s?-?{_UNITS}(?![^\W\d_]))"
)
_SMALL = re.compile(
    r"[<>~≈±]?(?:[A-Za-z]{0,9}[-.]?)?\d{1,3}(?:[.,]\d{1,3})?(?:[a-z]{1,9}|[A-Z]{1,4}|[A-Z][a-z]{1,8})?[+*%°]?"
    r"(?:[-/:xX×+^](?:[A-Za-z]{0,4})\d{0,3}(?:[.,]\d{1,3})?(?:[A-Za-z]{0,9})[+*%°]?){0,4}"
)
# A year alone tells nothing (45 CFR 164.514 (b)(2)(i)(C)); beside a date it goes with it.
_YEAR = re.compile(r"(?:19|20)\d\d")
_RANGE = re.compile(r"(?<=\w)[-/–](?=[A-Za-z]\d)")
_KNOWN_CODES = re.compile(
    r"(?:(?:[A-Z]{1,4}-?)?RADS-?\d[A-Z]?|"
    r"SARS-?CoV-?2|(?:2019-)?n?-?CoV(?:id)?(?:-?(?:19|2019|2))?|COVID-?(?:19|2019)|H\d{1,2}N\d|99m-?Tc|Tc-?99m|"
    r"(?:18|11|68|123|131|111|177|90|223)-?[A-Z][a-z]?|[A-Z][a-z]?-?(?:18|11|68|123|131|111|177|90|223)|"
    r"p?T[0-4is]+[a-d]?N[0-3x][a-d]?M[01x][a-c]?|G\d+P\d+(?:[A-Z]\d+)*|(?:19|20)00|ICD-?10|CA-?\d{2,3}(?:-\d)?|"
    r"1[01]00|(?:interleukin|IL)-?\d{1,2}|(?:cells|copies|counts)/(?:mm|ml|ul|hpf|l)\^?\d?)",
    re.IGNORECASE,
)


def replace_unmeasured(text: str) -> str:
    """The text with every number replaced that is not known to be a measurement, a grade or a place in the body."""
    text = _BESIDE_A_NUMBER.sub(IDENTIFIER, _GROUPED.sub(IDENTIFIER, _SPACED_DATE.sub(DATE, text)))
    return _GREAT_AGE.sub(_age, _NUMBER.sub(_number, text))


def _age(match: re.Match[str]) -> str:
    return re.sub(r"\d+$", f"over {OLDEST}", match.group(0))


def _number(match: re.Match[str]) -> str:
    token = match.group(0)
    if _DAY_AND_MONTH.fullmatch(token) and not _is_fraction(token, match.string, match.start(), match.end()):
        return DATE
    if _KNOWN_CODES.fullmatch(token.rstrip("+*%°")) or _YEAR.fullmatch(token):
        return token
    if _LONG_RUN.search(token):
        measured = _MEASURED.match(match.string, match.start())
        return token if measured and measured.end() >= match.end() else IDENTIFIER
    if (led := _LED_BY_LETTERS.match(token)) and not (is_abbreviation(led[1]) or is_ordinary(led[1])):
        return IDENTIFIER
    digits = sum(letter.isdigit() for letter in token)
    if token.count("-") > 1 and digits > 4 and "x" not in token.lower():
        return IDENTIFIER
    return token if digits <= 9 and all(map(_SMALL.fullmatch, _RANGE.split(token))) else IDENTIFIER


def _is_fraction(token: str, text: str, start: int, end: int) -> bool:
    """`2/3`, `segments 4/5`, `5/6 ribs`: a part or a pair, where what else looks so is a day of the year."""
    behind, ahead = text[max(0, start - 30) : start], text[end : end + 20]
    if _BEFORE_A_FRACTION.search(behind) or _AFTER_A_FRACTION.match(ahead):
        return True
    return (
        _FRACTION.fullmatch(token) is not None
        and behind[-1:] not in ("", "\n", "(")
        and behind.rstrip()[-1:] not in MARKS
    )

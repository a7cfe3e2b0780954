"""The last net, which fails closed: what no rule took stays only if it is known to be no identifier.

A word stays that reports use (`text_words`), an abbreviation of `abbreviations.txt`, a surname before the disease, sign
or tool that is named after it. A word of reports that is somebody's name too (`also_names.txt`) stays small, and
capitalised only where a sentence begins or beside another word of reports. A number stays if medicine writes numbers
so: up to three digits, a year alone, or more before a unit. Everything else gives way to a surrogate, misspelt medicine
included: what that costs is in docs/deidentification.md.
"""

from __future__ import annotations

import re

from privacy.surrogates import ADDRESS, DATE, HOSPITAL, IDENTIFIER, MARKS, NAME, PHONE
from privacy.text_numbers import OLDEST
from privacy.text_words import (
    BEFORE_A_SIGN,
    LETTER,
    UPPER,
    is_abbreviation,
    is_also_name,
    is_also_rare_name,
    is_english,
    is_eponym,
    is_known,
    is_listed,
    is_ordinary,
)

_WORD = re.compile(rf"(?<![\w{MARKS}]){LETTER}+(?:['’]{LETTER}+)*(?![\w])")
_MONTH = re.compile(
    r"january|february|march|april|may|june|july|august|september|october|november|december|"
    r"jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|mon|tues?|wed|thu(?:rs?)?|fri|sat|sun",
    re.IGNORECASE,
)
_AFTER_MAY = re.compile(
    r"[ \t]+(?:be|have|represent|reflect|relate|indicate|suggest|correspond|require|need|benefit|help|not|still|also|"
    r"account|obscure|mimic|simulate|mask|cause|result|persist|progress|include|appear|occur|contribute|explain|well|"
    r"just|only|possibly|warrant|merit|show|and|or)\b",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"(?:^|[.!?:;\n•*>|)\]–—]|(?:^|[\s(])-|\d\.?|[a-z]\))[ \t\"'“(]*$")
_LETTERS_BEFORE = re.compile(rf"({LETTER}+)[ \t/-]+$")
_LETTERS_AFTER = re.compile(rf"[ \t/-]+({LETTER}+)")
_JOINED = r"[ \t]*(?:[ \t]|[,&/]|\b(?i:and|or)\b)[ \t]*"
_BEHIND_A_NAME = re.compile(rf"{NAME}(?:-|{_JOINED})$")
_BEFORE_A_NAME = re.compile(rf"(?:[ \t,-]+|{_JOINED}){NAME}|(?:[ \t]+{LETTER}+){{0,2}}[ \t]+{HOSPITAL}")
_BEHIND_A_TITLE = re.compile(
    r"\b(?:(?-i:Drs?|dr|DRS|Mr|mr|Ms)|doctor|prof|professor|mrs|miss|sister|baby[ \t]+(?:girl|boy)|newborn)\.?[ \t]+$",
    re.IGNORECASE,
)
_EXAMINED = frozenset(
    """brain head hand foot neck heart chin hip knee spine shoulder ankle elbow wrist chest pelvis liver abdomen arm leg
    finger toe face orbit cord breast""".split()
)
_BEHIND_A_LABEL = re.compile(r":[ \t]*$")
_BEHIND_INITIALS = re.compile(rf"(?<![\w.])(?:[{UPPER}]\.){{2,}}[ \t]?$|\b(?i:by|dr)\.?[ \t]+[{UPPER}]\.[ \t]?$")
_PARTICLES = re.compile(
    rf"{NAME}(?:[ \t]+(?:van|von|vom|de|der|den|die|del|della|di|da|dos|das|la|le|el|al|bin|binti?|ibn|mac|mc|con|nic|"
    rf"ní|ni|ó|o|uí|ua|y|e|af|ten|ter|s/o|d/o|a/l|a/p))+[ \t]+{NAME}",
    re.IGNORECASE,
)
_RADS = re.compile(r"-?RADS\b", re.IGNORECASE)
_OF_AGE = re.compile(
    r"[ \t]+(?:patients?|adults?|wom[ae]n|m[ae]n|child(?:ren)?|females?|males?|infants?|age|boy|girl)\b"
)
_ELEMENTS = frozenset("Ca Cu Fe Ga Gd Lu Na No Tc Xe Hb Hz Ag Ab".split())
_SURE_NAMES = frozenset("green young day wade ward gill rich".split())
_BEFORE_A_GRADE = re.compile(r"(?:['’]s)?(?:[ \t-](?i:[a-z]+)(?:['’]s)?)?[ \t]+(?:[IVX]+[a-cF]?\b|\d\+\d)")
_NO_CONTENT = frozenset(
    """a an the and or of in on at to for from with by as is are was were be been has have had do does did can could may
    might must should will would no not but if then than that this these those there here it its he she they we you us
    our his her him who whom what when where why how which while so such too very about after before during since until
    up down out off into upon per via like well also again still now mr mrs ms dr prof miss sir madam told asked said
    says called phoned rang seen see saw spoke spoken discussed reviewed review reported agreed agrees informed notified
    contact contacted please thank thanks hello hi dear regards sincerely signed copy cc""".split()
)

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
_LONG_RUN = re.compile(r"\d{4,}")
_MEASURED = re.compile(
    rf"(?i:[<>~≈±]?\d{{1,5}}(?:[.,]\d{{1,3}})?(?:\s?[-x×/]\s?\d{{1,5}}(?:[.,]\d{{1,3}})?)*\s?-?{_UNITS}(?![^\W\d_]))"
)
_SMALL = re.compile(
    r"[<>~≈±]?(?:[A-Za-z]{0,9}[-.]?)?\d{1,3}(?:[.,]\d{1,3})?(?:[a-z]{1,9}|[A-Z]{1,4}|[A-Z][a-z]{1,8})?[+*%°]?"
    r"(?:[-/:xX×+^](?:[A-Za-z]{0,4})\d{0,3}(?:[.,]\d{1,3})?(?:[A-Za-z]{0,9})[+*%°]?){0,4}"
)
_YEAR = re.compile(
    r"(?:19|20)\d\d"
)  # alone it tells nothing (45 CFR 164.514 (b)(2)(i)(C)); beside a date it goes with it
_RANGE = re.compile(r"(?<=\w)[-/–](?=[A-Za-z]\d)")
_KNOWN_CODES = re.compile(
    r"(?:SARS-?CoV-?2|(?:2019-)?n?-?CoV(?:id)?(?:-?(?:19|2019|2))?|COVID-?(?:19|2019)|H\d{1,2}N\d|99m-?Tc|Tc-?99m|"
    r"(?:18|11|68|123|131|111|177|90|223)-?[A-Z][a-z]?|[A-Z][a-z]?-?(?:18|11|68|123|131|111|177|90|223)|"
    r"p?T[0-4is]+[a-d]?N[0-3x][a-d]?M[01x][a-c]?|G\d+P\d+(?:[A-Z]\d+)*|(?:19|20)00|ICD-?10|CA-?\d{2,3}(?:-\d)?|"
    r"1[01]00|(?:interleukin|IL)-?\d{1,2}|(?:cells|copies|counts)/(?:mm|ml|ul|hpf|l)\^?\d?)",
    re.IGNORECASE,
)


def close(text: str) -> str:
    """The text with every word and number replaced that is not known to be harmless."""
    text = _BESIDE_A_NUMBER.sub(IDENTIFIER, _GROUPED.sub(IDENTIFIER, text))
    text = _NUMBER.sub(_number, text)
    text = _GREAT_AGE.sub(_age, text)
    return _PARTICLES.sub(NAME, _WORD.sub(_word, text))


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


def _word(match: re.Match[str]) -> str:
    word = re.sub(r"['’]s$", "", match.group(0))
    rest = match.group(0)[len(word) :]
    if len(word) == 1 or word.lower() in ("o'clock", "o’clock"):
        return match.group(0)
    before, after = match.string[max(0, match.start() - 40) : match.start()], match.string[match.end() :][:60]
    if _MONTH.fullmatch(word) and not _is_no_month(word, before, after):
        return DATE + rest
    return match.group(0) if _stays(word, before, after, rest) else NAME + rest


def _is_no_month(word: str, before: str, after: str) -> bool:
    lower = word.lower()
    if re.match(r"-Thurner\b", after, re.IGNORECASE):
        return True
    if lower == "may":
        return word.islower() or (bool(_AFTER_MAY.match(after)) and (word.isupper() or bool(_BEGINS.search(before))))
    return word.islower() and lower in ("march", "mar", "sep", "sun", "sat", "dec", "mon", "wed")


def _stays(word: str, before: str, after: str, rest: str) -> bool:
    if _is_named(word, before, after):
        return False
    sign = BEFORE_A_SIGN.match(rest + after) is not None or _BEFORE_A_GRADE.match(rest + after) is not None
    if is_eponym(word) and (sign or not is_also_name(word) or _paired(before, after)) or _RADS.match(after):
        return True
    if not word[0].isupper():
        return _small_stays(word)
    if is_abbreviation(word) and (sum(map(str.isupper, word)) > 1 or word in _ELEMENTS):
        return True
    if is_ordinary(word):
        return not is_also_name(word) or _in_place(word, before, after)
    if word.isupper():
        return is_english(word) and len(word) > 3
    return is_english(word) and len(word) > 3 and _begins_a_sentence(before, after)


def _paired(before: str, after: str) -> bool:
    """`Guillain Barre`: beside an eponym that is nobody's common name."""
    beside = [found[1] for found in (_LETTERS_BEFORE.search(before), _LETTERS_AFTER.match(after)) if found]
    return any(is_eponym(other) and not is_also_name(other) for other in beside)


def _small_stays(word: str) -> bool:
    if not word.islower():
        return is_abbreviation(word)  # mmHg, pCO
    if len(word) < 4 and is_abbreviation(word):
        return True
    return is_ordinary(word) or (len(word) > 2 and is_known(word) and not is_eponym(word))


def _is_named(word: str, before: str, after: str) -> bool:
    """Where a name stands: beside one, behind a title or initials."""
    if word.lower() not in _EXAMINED:
        if is_also_rare_name(word) and _BEHIND_A_TITLE.search(before):
            return True
        if is_also_name(word) and (_BEHIND_INITIALS.search(before) or _alone_behind_a_label(word, before, after)):
            return True
    if word in _SURE_NAMES:
        return not (_OF_AGE.match(after) and word == "young") and bool(_BEHIND_A_NAME.search(before))
    if not word[0].isupper():
        return False
    begins = _begins_a_sentence(before, after)
    if not word.isupper() and not begins:
        if is_abbreviation(word) and len(word) in (3, 4) and not is_english(word) and word.istitle():
            return True  # `Dwi`, a given name
        if not is_listed(word) and not is_english(word) and re.match(rf"[ \t]+{NAME}", after):
            return True  # `Paloma`, which ends as tumours do
    if not _BEFORE_A_NAME.match(after) and (not _BEHIND_A_NAME.search(before) or _leads_on(word, after)):
        return False
    rare = is_also_rare_name(word) if is_ordinary(word) or not word.isupper() else is_english(word)
    return is_also_name(word) or (rare and not is_abbreviation(word) and not begins)


def _leads_on(word: str, after: str) -> bool:
    """`Seen with [NAME] Small left effusion`: behind a name, but the next words are medicine's."""
    found = _LETTERS_AFTER.match(after)
    if BEFORE_A_SIGN.match(after):
        return True
    return (
        found is not None
        and found[1].lower() not in _NO_CONTENT
        and is_ordinary(found[1])
        and (found[1].islower() or word.isupper())
    )


def _alone_behind_a_label(word: str, before: str, after: str) -> bool:
    """`Trauma chief: White.`"""
    return word[0].isupper() and bool(_BEHIND_A_LABEL.search(before)) and bool(re.match(r"[ \t]*(?:[.,;|\n]|$)", after))


def _in_place(word: str, before: str, after: str) -> bool:
    """A word of reports that is a name too stands where a word of reports stands."""
    if _OF_AGE.match(after):
        return True
    if word.isupper() or _begins_a_sentence(before, after):
        return True
    if _BEGINS.search(before) and re.match(r"\s*(?:[:.,;]|$)", after):
        return True
    beside = [found[1] for found in (_LETTERS_BEFORE.search(before), _LETTERS_AFTER.match(after)) if found]
    return any(
        other.lower() not in _NO_CONTENT
        and ((is_ordinary(other) and not is_also_name(other)) or (other.isupper() and is_abbreviation(other)))
        for other in beside
    )


def _begins_a_sentence(before: str, after: str) -> bool:
    if not _BEGINS.search(before):
        return False
    found = _LETTERS_AFTER.match(after)
    return (found is not None and found[1].islower() and is_known(found[1])) or bool(re.match(r"[ \t]+\d", after))

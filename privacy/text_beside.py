"""What stands beside a name that was found belongs to it: the rest of the name, others in the same list, the firm that
is named after somebody, the number of a patient, the house in a street, the post code behind a town.
"""

from __future__ import annotations

import re

from privacy.surrogates import ADDRESS, HOSPITAL, IDENTIFIER, MARKS, NAME
from privacy.text_numbers import STREET_KINDS
from privacy.text_words import (
    BEFORE_A_SIGN,
    LETTER,
    UPPER,
    WORD,
    is_also_surname,
    is_english,
    is_eponym,
    is_given_name,
    is_known,
    is_ordinary,
    may_be_name,
    text_after,
)

_PARTICLE = (
    r"(?:mac|nic|an|van|von|der|den|de|del|della|di|da|dos|das|du|la|le|el|al|bin|bint|ibn|ter|ten|zu|zum|und|"
    r"af|av|y|e|i|ap|o)"
)
_INITIAL = rf"{LETTER}\.(?:\s?{LETTER}\.)?"
_RIGHT = re.compile(rf"{NAME}(?P<gap>(?:[ \t]+{_PARTICLE})*[ \t]+|-)(?P<word>{WORD}|{LETTER}\.?)(?![\w])")
_LEFT = re.compile(rf"(?<![\w.'’-])(?P<word>{WORD}|{LETTER}\.?)(?P<gap>(?:[ \t]+{_PARTICLE})*[ \t]+|-|,[ \t]*){NAME}")
_PARTICLE_LEFT = re.compile(rf"(?<![\w])(?i:{_PARTICLE})(?:[ \t]+(?i:{_PARTICLE}))?[ \t]+{NAME}")
_LISTED = re.compile(
    rf"{NAME}(?P<gap>[ \t]*(?:,|/|;|&|\band\b)[ \t]*(?:and[ \t]+)?)(?P<word>(?:{_INITIAL}[ \t]*)?{WORD})"
    rf"(?=[ \t]*(?:[,.;)/\]\n{MARKS}]|$|\band\b|&))"
)
_LISTED_BEFORE = re.compile(
    rf"(?P<lead>[(\[:,/;&]|\band\b)(?P<gap>[ \t]*)(?P<word>(?:{_INITIAL}[ \t]*)?{WORD})(?P<link>[ \t]*(?:,|/|;|&|"
    rf"\band\b)[ \t]*){NAME}"
)
_NUMBER_AFTER = re.compile(rf"(?<=[{NAME}])[ \t]+\d[\d ./-]{{3,}}\d(?![\w,.]?\d|[ \t]?(?:mm|cm|HU|years?|yrs?|y/?o)\b)")
_SHORT_NUMBER_AFTER = re.compile(rf"(?m)(?<={NAME})[ \t]+\d{{3,5}}(?=[ \t]*(?:$|[,.;)\n{MARKS}](?!\d)))")
_HOUSE_BEFORE = re.compile(
    rf"(?<![\w.,/-])\d{{1,6}}[A-Za-z]?,?[ \t]+[{NAME}{ADDRESS}](?:[ \t]+(?:{STREET_KINDS})\b\.?)?(?:[ \t]*,?[ \t]*["
    rf"{ADDRESS}])*",
    re.IGNORECASE,
)
_POSTCODE_AFTER = re.compile(rf"(?<=[{NAME}{ADDRESS}]),?[ \t]+(?:[A-Z]{{2}},?[ \t]+)?\d{{5}}(?:-\d{{4}})?(?![\w.,]?\d)")
_FIRM = (
    r"(?i:NHS|hospitals?|clinics?|imaging|radiology|associates|trust|foundation|group|partners|infirmary|medical|"
    r"cent(?:er|re)|"
    r"health(?:care)?|memorial|regional|community|general|county|diagnostics|pllc|llc|inc|ltd|university|institute|"
    r"practice|surgery)\b\.?"
)
_HOSPITAL_GOES_ON = re.compile(rf"{HOSPITAL}(?:(?:[ \t]+|[ \t]*,[ \t]*){_FIRM})+")
_NAMED_FIRM = re.compile(
    rf"(?:{WORD}[ \t]*&[ \t]*)?(?:{NAME}|(?<=& )[{UPPER}]{WORD})(?:[ \t]*(?:&|"
    rf"and)[ \t]*{NAME})?(?:[ \t]*,?[ \t]+{_FIRM})*[ \t]*,?[ \t]+"
    r"(?i:hospitals?|clinics?|associates|radiology|trust|infirmary|cent(?:er|re)|pllc|llc|partners|diagnostics|"
    r"health(?:care)?)\b"
)
_STREET_AFTER = re.compile(
    rf"(?<=[{MARKS}])[ \t]+(?:[{UPPER}]\w+[ \t]+){{1,2}}(?-i:(?=[{UPPER}])){STREET_KINDS}\b", re.IGNORECASE
)
_LONE_INITIAL = re.compile(rf"{NAME}[ \t]+[{UPPER}](?=[ \t]*(?:$|[\n,;.)/{MARKS}]))", re.MULTILINE)
_RUN = re.compile(rf"{NAME}(?:(?:[ \t]*[,-][ \t]*|[ \t]+){NAME})+")
_CAPITAL_PLACE = re.compile(
    rf"(?<!\w)(?i:Lake|Port|Fort|Mount|New|North|South|East|West|Saint|St\.?|San|Santa|Upper|Lower|Great|Old|Little|"
    rf"El|Los|Las)[ \t]+{NAME}"
)


def replace_beside(text: str) -> str:
    """Grow the marks of names, until nothing beside them leans on them any more."""
    before = None
    while before != text:
        before = text
        text = _PARTICLE_LEFT.sub(NAME, text)
        text = _CAPITAL_PLACE.sub(NAME, text)
        text = _RIGHT.sub(lambda match: NAME if _leans(match["word"], text_after(match)) else match.group(0), text)
        text = _LEFT.sub(_left, text)
        text = _LISTED.sub(
            lambda match: f"{NAME}{match['gap']}{NAME}" if _listed(match["word"]) else match.group(0), text
        )
        text = _LISTED_BEFORE.sub(
            lambda match: (
                f"{match['lead']}{match['gap']}{NAME}{match['link']}{NAME}"
                if _listed(match["word"])
                else match.group(0)
            ),
            text,
        )
        text = _LONE_INITIAL.sub(NAME, text)
        text = _RUN.sub(NAME, text)
    text = _SHORT_NUMBER_AFTER.sub(f" {IDENTIFIER}", _NUMBER_AFTER.sub(f" {IDENTIFIER}", text))
    text = _HOSPITAL_GOES_ON.sub(HOSPITAL, _NAMED_FIRM.sub(HOSPITAL, text))
    text = _STREET_AFTER.sub(
        lambda match: match.group(0) if is_ordinary(match.group(0).split()[0]) else f" {ADDRESS}", text
    )
    text = _HOUSE_BEFORE.sub(ADDRESS, text)
    return _POSTCODE_AFTER.sub(f" {ADDRESS}", text)


def _leans(word: str, after: str = "") -> bool:
    """What beside a name belongs to it: an initial, a given name, or a capitalised word that medicine does not know.

    Among capitals every word is one, so there English words belong to a name only where the line or sentence ends.
    """
    if len(word.rstrip(".")) == 1:
        return word[0].isupper() and word.endswith(".")
    if is_also_surname(word) and word[0].isupper() and not word.isupper():
        return re.match(rf"['’]s|[ \t]*(?:$|[(,.;:\n)/{MARKS}]|(?:on|at|by|who|was|is)\b)", after) is not None
    if not may_be_name(word) or BEFORE_A_SIGN.match(after):
        return False
    if not word.isupper():
        return True
    ends = (
        re.match(rf"[ \t]*(?:$|[\n,;)/{MARKS}]|(?:ON|BY|AT|WHO|WAS|IS|DOB|MRN|MD|ACC|SEX|AGE|ID)\b)", after) is not None
    )
    return is_given_name(word) or ends or (len(word) > 3 and not is_known(word))


def _left(match: re.Match[str]) -> str:
    word = match["word"]
    start = match.string[: match.start()].rstrip(" \t")
    if "," in match["gap"]:
        leads = not start or start[-1] in ":=\n|/(["
        return NAME if may_be_name(word) and (leads or not is_english(word)) else match.group(0)
    opens = not start or start[-1] in ".:;!?\n"
    if opens and is_english(word) and not is_given_name(word):
        return match.group(0)
    return NAME if _leans(word) else match.group(0)


def _listed(word: str) -> bool:
    last = word.split()[-1] if word.split() else word
    last = re.sub(rf"^(?:{LETTER}\.)+", "", last)
    return (
        bool(last)
        and (may_be_name(last) or (is_also_surname(last) and last.istitle()))
        and (is_english(last) or is_eponym(last) or not is_known(last))
    )

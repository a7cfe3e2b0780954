"""The last net, which fails closed: what no rule took stays only if it is known to be no identifier.

A word stays that reports use (`text_words`), an abbreviation of `abbreviations.txt`, a surname before the disease, sign
or tool that is named after it. A word of reports that is somebody's name too (`also_names.txt`) stays small, and
capitalised only where a sentence begins or beside another word of reports. Numbers: `text_measures`.
Everything else gives way to a surrogate, misspelt medicine included: what that costs is in docs/deidentification.md.
"""

from __future__ import annotations

import re

from privacy.surrogates import DATE, HOSPITAL, MARKS, NAME
from privacy.text_measures import replace_unmeasured
from privacy.text_words import (
    BEFORE_A_SIGN,
    LETTER,
    UPPER,
    is_abbreviation,
    is_also_name,
    is_also_rare_name,
    is_english,
    is_eponym,
    is_filler,
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
_SAYS = re.compile(
    r"[ \t]+(?:also[ \t]+|then[ \t]+)?(?:noted?s?|sa(?:id|ys?|w)|mention(?:ed|s)|describe[ds]|state[ds]|feels?|felt|"
    r"thinks?|thought|agree[ds]?|suggest(?:ed|s)|quer(?:ied|ies)|ask(?:ed|s)|wr(?:ote|ites)|call(?:ed|s)|told|wonder(?:ed|s)|"
    r"wants?(?:ed)?|request(?:ed|s)|rang|phoned|operated|wishes|recommends?)\b",
    re.IGNORECASE,
)
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
_PART_OF = re.compile(
    r"\b(?:pouch|veins?|circle|foram(?:en|ina)|ligament|artery|triangle|space|fissure|canal|angle|ampulla|nodes?|ducts?|"
    r"aqueduct|gland|sphincter|cave|crypts?|fascia|islets?|loop|tail|valves?|organ|column)[ \t]+of[ \t]+$",
    re.IGNORECASE,
)
_NAMES_THOUGH_SMALL = frozenset("green young day wade ward gill rich".split())
_BEFORE_A_GRADE = re.compile(r"(?:['’]s)?(?:[ \t-](?i:[a-z]+)(?:['’]s)?)?[ \t]+(?:[IVX]+[a-cF]?\b|\d\+\d)")


def replace_unlisted(text: str) -> str:
    """The text with every word and number replaced that is not known to be harmless."""
    return _WORD.sub(_word, replace_unmeasured(_PARTICLES.sub(NAME, text)))


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
    sign = sign or _PART_OF.search(before) is not None
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
    return any(is_eponym(other) and not is_also_name(other) for other in _beside(before, after))


def _beside(before: str, after: str) -> list[str]:
    """The words next to this one that nothing but space, hyphen or slash divides from it."""
    return [found[1] for found in (_LETTERS_BEFORE.search(before), _LETTERS_AFTER.match(after)) if found]


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
    if word in _NAMES_THOUGH_SMALL:
        return not (_OF_AGE.match(after) and word == "young") and bool(_BEHIND_A_NAME.search(before))
    if not word[0].isupper():
        return False
    if is_also_name(word) and _SAYS.match(after):
        return True
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
        and not is_filler(found[1])
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
    return any(
        not is_filler(other)
        and ((is_ordinary(other) and not is_also_name(other)) or (other.isupper() and is_abbreviation(other)))
        for other in _beside(before, after)
    )


def _begins_a_sentence(before: str, after: str) -> bool:
    if not _BEGINS.search(before):
        return False
    found = _LETTERS_AFTER.match(after)
    return (found is not None and found[1].islower() and is_known(found[1])) or bool(re.match(r"[ \t]+\d", after))

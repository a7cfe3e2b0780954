"""Identifiers that have a shape: dates, telephone numbers, addresses, numbers of patients and examinations, great ages.

Each rule is a pattern and its surrogate, applied in the order of `NUMBER_RULES`; what must survive (sizes, vertebrae,
Hounsfield units, doses, ratios) is excluded in the pattern that would take it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from privacy.surrogates import ADDRESS, DATE, IDENTIFIER, PHONE
from privacy.text_words import is_ordinary

OLDEST: Final = 89
"""Ages above this are identifying (45 CFR 164.514)."""

_UNIT = (
    r"(?!\s?(?:[-x×]\s?)?(?:[.,]\d+\s?)?"
    r"(?:mm|cm|ml|cc|mg|mcg|µg|ug|g|kg|l|hu|kv|kvp|ma|mas|ms|msec|mgy|mci|mbq|iu|u|bpm|mmhg|hz|cells?|copies|%|/|[x×]\s?\d)"
    r"(?:\b|(?<=[%/\d])))"
)
_MEASURE = r"(?!\s?(?:mm|cm|ml|mg|kg|HU|ms|x)\b)"
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
STREET_KINDS: Final = (
    r"(?:street|str|st|road|rd|avenue|ave?|lane|ln|drive|dr|boulevard|blvd|court|ct|place|pl|square|sq|terrace|ter|"
    r"crescent|cres|close|way|parkway|pkwy|highway|hwy|circle|cir|row|gardens?|grove|mews|walk|quay|hills?|alley|plaza|loop|"
    r"trail|trl|"
    # the suffixes of USPS Publication 28, appendix C1, that are no words of reports
    r"annex|arcade|bayou|beach|bend|bluffs?|bottom|branch|bridge|brooks?|burgs?|bypass|camp|canyon|cape|causeway|cliffs?|club|"
    r"commons?|corners?|course|coves?|creek|crest|crossing|crossroads?|curve|dale|dam|divide|estates?|expressway|extensions?|"
    r"falls?|ferry|fields?|flats?|fords?|forest|forges?|forks?|fort|freeway|gateway|glens?|greens?|groves?|harbors?|haven|"
    r"heights|hollow|inlet|islands?|isle|junctions?|keys?|knolls?|lakes?|land|landing|lights?|loaf|locks?|lodge|mall|manors?|"
    r"meadows?|mills?|mission|motorway|mount|mountains?|orchard|oval|overpass|parks?|passage|path|pike|pines?|plains?|points?|"
    r"ports?|prairie|ramp|ranch|rapids?|rest|ridges?|river|roads|route|run|rue|shoals?|shores?|skyway|springs?|spurs?|station|"
    r"stravenue|stream|summit|throughway|trace|track|trafficway|tunnel|turnpike|underpass|unions?|valleys?|viaduct|views?|"
    r"villages?|ville|vista|walls?|wells?)"
)

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _rule(pattern: str, surrogate: str | Callable[[re.Match[str]], str], *, exact_case: bool = False) -> Rule:
    return re.compile(pattern, 0 if exact_case else re.IGNORECASE), surrogate


def _over_oldest(match: re.Match[str]) -> str:
    return match.group(0) if int(match["age"]) <= OLDEST else match.group(0).replace(match["age"], f"over {OLDEST}", 1)


_FULL_MONTHS = "(?:january|february|april|june|july|august|september|october|november|december)"
_DATES: tuple[Rule, ...] = (
    _rule(rf"\b(?:{_MONTHS}|{_MAY})[/.-]{_DAY}[/.-](?:19|20)\d{{2}}(?!\d)", DATE),
    _rule(rf"\b(?:{_MONTHS}|{_MAY})\s+the\s+{_DAY}\b(?:,?\s*{_YEAR}\b)?", DATE),
    _rule(rf"\b(?:{_WEEKDAY}\s+)?the\s+(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)(?:,|\s+of)?\s+(?:{_MONTHS}|{_MAY})\b(?:,?\s*{_YEAR}\b)?", DATE),
    _rule(rf"(?<![\w.]){_DAY}(?:{_MONTHS}|{_MAY})(?:19|20)\d{{2}}(?!\w)", DATE),
    _rule(r"(?<![\d.])(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|1[0-2])(?!\1)[-/.](?:19|20)\d{2}(?!\d)", DATE),
    _rule(r"(?<![\d./-])0[1-9]/\d{2}(?![\d/.%])" + _MEASURE, DATE),
    _rule(rf"\b{_DAY}(?:st|nd|rd|th)?\s+day\s+of\s+(?:{_MONTHS}|{_MAY})\b,?(?:\s*{_YEAR}\b)?", DATE),
    _rule(rf"(?<![\d.])(?:0?[1-9]|[12]\d|3[01])([|:_])(?:0?[1-9]|1[0-2])\1(?:19|20)\d{{2}}(?!\d)", DATE),
    _rule(rf"\b(?:19|20)\d{{2}}[-/. ,]+(?:{_MONTHS}|{_MAY})[-/. ]+{_DAY}\b", DATE),
    _rule(rf"(?<![\d.])(?:0?[1-9]|1[0-2])\.(?:0?[1-9]|[12]\d|3[01])\.\d{{2}}(?![\d.]\d|\d){_UNIT}{_CLOCK}", DATE),
    _rule(
        rf"\b(?:19|20)\d{{2}}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?\b"
        rf"{_CLOCK}",
        DATE,
    ),
    _rule(r"(?<![\d.])(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6}(?:\.\d+)?)?(?!\d)", DATE),
    _rule(rf"(?<![\d.])\d{{1,2}}\s?([-/.])\s?\d{{1,2}}\s?\1\s?(?:19|20)\d{{2}}(?!\d){_CLOCK}", DATE),
    _rule(rf"(?<![\d.])\d{{1,2}}([-/])\d{{1,2}}\1\d{{2}}(?![\d-]){_UNIT}{_CLOCK}", DATE),
    _rule(rf"(?<![\d.])(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d{{2}}(?![\d.]){_UNIT}{_CLOCK}", DATE),
    _rule(rf"(?<![\d.])(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.\d{{2}}(?![\d.]\d|\d){_UNIT}{_CLOCK}", DATE),
    _rule(rf"\b(?:{_MONTHS}|{_MAY})\.?\s(?:[1-9]|[12]\d|3[01])(?:st|nd|rd|th)\b(?:,?\s{_YEAR}\b)?{_CLOCK}", DATE),
    _rule(rf"\b{_DAY}[-\s./]*(?:of\s+|de\s+)?{_MONTHS}\b[-\s.,/]*(?:de\s+)?{_YEAR}\b{_CLOCK}", DATE),
    _rule(rf"\b{_DAY}[-/\s]?{_MONTHS}[-/\s]?\d{{2}}\b{_UNIT}{_CLOCK}", DATE),
    _rule(rf"\b{_DAY}\.?[-\s/]*(?:of\s+|de\s+)?{_MAY}[-\s.,/]*(?:de\s+)?{_YEAR}\b{_CLOCK}", DATE),
    _rule(rf"\b{_DAY}[-/]{_MAY}[-/]{_SHORT_YEAR}\b{_CLOCK}", DATE),
    _rule(rf"\b(?:{_MONTHS}|{_MAY})[-\s.]*{_DAY}(?:\s?,\s?|\s+|-){_YEAR}\b{_CLOCK}", DATE),
    _rule(rf"\b(?:{_MONTHS}|{_MAY})[-\s.,/]*(?:of\s+)?{_YEAR}\b", DATE),
    _rule(rf"(?<![\d.-])\b{_DAY}\s(?:of\s+)?{_CAPITAL_MONTH}\b\.?", DATE, exact_case=True),
    _rule(
        rf"\b(?:on|since|from|until|till|dated|of|to|by|and|in|last|early|late|mid|est|seit|vom|am)\s+"
        rf"(?-i:(?=[A-Z]))(?:{_MONTHS}|may)(?:[\s.]+{_DAY})?\b(?!\s?\d)",
        lambda match: _after_first_word(match),
    ),
    _rule(
        rf"\b(?:ON|DATED|SINCE|FROM|OF|TO|BY|WITH)\s+{_DAY}\s+MAY\b(?!\s[A-Z])",
        lambda match: _after_first_word(match),
        exact_case=True,
    ),
    _rule(rf"\b{_CAPITAL_MONTH}[-/' ]{{1,2}}['’]?\d{{2}}\b(?![-./]?\d){_UNIT}", DATE, exact_case=True),
    _rule(r"(?<![\d./-])(?:0?[1-9]|1[0-2])/(?:19|20)\d{2}(?![\d/])", DATE),
    _rule(rf"\b{_WEEKDAY}\s(?:the\s)?\d{{1,2}}[-/.]\d{{1,2}}\b(?![-/.]\d)", DATE),
    _rule(rf"(?<![\d.-])\b\d{{1,2}}(?:st|nd|rd|th)\s+(?:of\s+)?(?:{_MONTHS}|{_MAY})\b(?:,?\s*{_YEAR}\b)?", DATE),
    _rule(rf"(?<![\d.-])\b{_DAY}\s+{_FULL_MONTHS}\b", DATE),
    _rule(rf"{DATE},?[ \t]+\d{{1,2}}h\d{{2}}(?!\w)", DATE),
    _rule(rf"\b{_CAPITAL_MONTH}\.?\s{_DAY}\b(?![-.,]?\d){_UNIT}", DATE, exact_case=True),
    _rule(
        r"\b(?:on|dated|since|from|vs|versus|study of|exam of|compared (?:to|with))\s+(?:0?[1-9]|[12]\d|3[01])/"
        r"(?:0?[1-9]|[12]\d|3[01])\b(?!/)",
        lambda match: _after_first_word(match, last=True),
    ),
    _rule(
        r"(?:(?<=\bat )|(?<=@ )|(?<=@))(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\s?(?:[ap]\.?m\b\.?|hrs|"
        r"hours|h\b))?",
        DATE,
    ),
    _rule(r"\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d|(?::[0-5]\d)?\s?(?:[ap]\.?m\b\.?|hrs|hours))(?!\d)", DATE),
    _rule(r"(?<![\d:.])(?:[01]\d|2[0-3]):[0-5]\d(?![\d:])", DATE),
    _rule(r"\bat\s+(?:[01]\d|2[0-3])[0-5]\d\s?(?:hrs|hours|h)\b", f"at {DATE}"),
    _rule(rf"[{DATE}{IDENTIFIER}],?[ \t]+(?:[01]?\d|2[0-3])[:h][0-5]\d(?::[0-5]\d)?(?!\d)", DATE),
    _rule(rf"\b{_WEEKDAY}[ \t]*(?:the[ \t]+)?{DATE}", DATE),
    _rule(rf"{DATE}[ \t]*\(?{_WEEKDAY}\)?(?!\w)", DATE),
)


def _after_first_word(match: re.Match[str], *, last: bool = False) -> str:
    """Keep the preposition, replace what follows."""
    words = match.group(0).rsplit(maxsplit=1) if last else match.group(0).split(maxsplit=1)
    return f"{words[0]} {DATE}"


_NETWORK: tuple[Rule, ...] = (
    _rule(r"(?<![\w.+-])[\w.+-]{1,64}\s?(?:@|\(at\)|\[at\])\s?[\w-]+(?:\.[\w-]+)+", IDENTIFIER),
    _rule(r"\b(?:https?|ftps?|sftp|dicom)://\S+|\bwww\.\S+", IDENTIFIER),
    _rule(
        r"(?<![\w.-])[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,4}\.(?:org|com|net|edu|gov|nhs\.uk|ac\.uk|co\.uk|health)(?:/\S*)"
        r"?(?!\w)",
        IDENTIFIER,
    ),
    _rule(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)", IDENTIFIER),
    _rule(r"(?<![\d.])\d+(?:\.\d+){4,}(?!\d)", IDENTIFIER),
)

_PHONES: tuple[Rule, ...] = (
    _rule(r"(?<![\w.])\d{3}/\d{3}[-/ ]\d{4}(?!\d)", PHONE),
    _rule(
        r"(?<!\w)(?:\+|00)\d{1,3}[\s.\-/]?(?:\(\d{1,5}\)[\s.\-/]?)?\d(?:[\s.\-/]?\d){5,12}(?:\s?(?:x|"
        r"ext\.?)\s?\d+)?(?!\d)",
        PHONE,
    ),
    _rule(r"(?<!\w)\(\d{2,5}\)[\s.\-]?\d{2,4}(?:[\s.\-]?\d{2,6}){1,3}(?:\s?(?:x|ext\.?)\s?\d+)?(?!\d)", PHONE),
    _rule(r"(?<![\w.])\d{3}[-.\s]\d{3}[-.\s]\d{4}(?:\s?(?:x|ext\.?)\s?\d+)?(?!\d)", PHONE),
    _rule(r"(?<![\w.])0\d{1,4}[\s\-/]\d{2,4}(?:[\s\-]?\d{2,6}){1,3}(?!\d)", PHONE),
    _rule(r"(?<![\w.])\d{3}-\d{4}(?![\d-])", PHONE),
    _rule(r"(?<![\w.,/])\d{3}[ .]\d{4}(?![\d-]|[.,]\d)", PHONE),
    _rule(r"(?<![\w.])1\.\d{3}\.\d{3}\.\d{4}(?!\d)", PHONE),
    _rule(r"(?<![\w.])\(?\d{3} ?\)?(?: ?- ?| )\d{3} ?- ?\d{4}(?!\d)", PHONE),
    _rule(r"(?<!\w)x\d{3,6}\b(?!\s?(?:mm|cm|x))", PHONE),
    _rule(r"\b(?:ext(?:ension)?|pager|bleep|beeper|extn)\.?\s*(?:no\.?|number|#|:)?\s*#?\d{2,7}\b", PHONE),
    _rule(
        r"\b(?:phone|telephone|tel|fax|mobile|cell|call(?:ed)? (?:on|at))\.?\s*(?:no\.?|number|#|:)"
        r"?\s*\+?\(?\d[\d\s().\-/]{3,18}\d",
        PHONE,
    ),
)

_ADDRESSES: tuple[Rule, ...] = (
    _rule(
        rf"\b\d{{1,6}}[a-z]?,?[ \t]+(?:(?:north|south|east|west|[nsew])\.?[ \t]+)?"
        rf"(?P<street>(?:(?-i:[A-Z])[\w'’.-]*[ \t]+){{1,4}})(?-i:(?=[A-Z])){STREET_KINDS}\b\.?"
        rf"(?:,?[ \t]*(?:apt|apartment|suite|ste|unit|flat|floor|fl|room)\.?[ \t]*#?\d\w{{0,4}}\b)?",
        lambda match: _if_named(match),
    ),
    _rule(r"\b(?:apt|apartment|suite|ste|flat|studio)\.?\s*#?\d{1,5}[a-z]?\b", ADDRESS),
    _rule(r"\bp\.?\s?o\.?\s?box\s+\d+", ADDRESS),
    _rule(
        r"\b(?-i:[A-ZÄÖÜ])[\wäöüß-]{0,40}(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|laan|straat)"
        r"\s+\d{1,4}[a-z]?\b",
        ADDRESS,
    ),
    _rule(
        r"\b\d{1,4}(?:\s?bis)?,?\s+(?:rue|avenue|boulevard|chemin|place|via|viale|calle|avenida|piazza|rua)\s+(?:d[eu]s?\s+|del(?:la|l')?\s*|la\s+|l')*"
        r"(?-i:[A-ZÀ-Ý])[\w'’-]+(?:\s+(?-i:[A-ZÀ-Ý])[\w'’-]+){0,3}",
        ADDRESS,
    ),
    _rule(
        r"\b(?:rue|via|viale|calle|avenida|piazza|rua)\s+(?:d[eu]s?\s+|del(?:la|l')?\s*|la\s+|l')"
        r"*(?-i:[A-ZÀ-Ý])[\w'’-]+(?:\s+(?-i:[A-ZÀ-Ý])[\w'’-]+){0,3},?\s+\d{1,4}\b",
        ADDRESS,
    ),
    _rule(
        r"\b(?:(?:[A-Z][a-z'’-]+\s){0,2}[A-Z][a-z'’-]+,\s*)?(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])"
        r",?\s+\d{5}(?:-\d{4})?\b",
        ADDRESS,
        exact_case=True,
    ),
    _rule(r"(?<=[,\n ])[A-Z]{2} \d{5}(?:-\d{4})?(?![\w-])", ADDRESS, exact_case=True),
    _rule(
        r"\b(?:GIR ?0AA|[A-PR-UWYZ][A-HK-Y]?\d[\dA-HJKPSTUW]? ?\d(?!(?:MM|CM|ML|MG|KG|ND|RD|TH|ST|HU)\b)"
        r"[ABD-HJLNP-UW-Z]{2})\b",
        ADDRESS,
        exact_case=True,
    ),
    _rule(r"\b[ABCEGHJ-NPRSTVXY]\d[A-Z][ -]\d[A-Z]\d\b", ADDRESS, exact_case=True),
    _rule(r"\b(?:zip|post(?:al)?\s?code|plz)\s*(?:code)?\s*[:#]?\s*[a-z0-9]{2,5}[ -]?[a-z0-9]{2,4}\b", ADDRESS),
    _rule(r"\b(?:[A-Z]{1,2}-)?\d{5}\s+[A-ZÄÖÜ][a-zäöüß]+(?:-[A-Z][a-z]+)?(?=\s*(?:$|[,\n]))", ADDRESS, exact_case=True),
)



def _if_named(match: re.Match[str]) -> str:
    """A street has a name: `12 Elm Road`, but not `3 RIGHT LUNG FIELDS`."""
    words = re.findall(r"[^\W\d_]+", match["street"])
    plain = re.search(r"(?i)\b(?:street|roads?|rd|avenue|lane|drive|boulevard|blvd)\b", match.group(0)) is not None
    long = re.match(r"\d{4}", match.group(0)) is not None
    return ADDRESS if plain or long or not all(map(is_ordinary, words)) else match.group(0)


_IDENTIFIERS: tuple[Rule, ...] = (
    _rule(r"(?<![\w.,])\d{2,}-[A-Z]{1,3}-\d{3,}(?!\w)|(?<![\w.,])\d{6,}\.\d{1,2}(?!\d)", IDENTIFIER),
    _rule(r"\b\d{3}[- ]\d{2}[- ]\d{4}\b", IDENTIFIER),
    _rule(
        rf"\b(?!(?:COVID|SARS|NCOV|COV|ISO|ICD|HLA|RECIST|TNM|H1N1)\b)[A-Z]{{1,8}}(?:[-_/:#.]?\d)"
        rf"{{5,}}[A-Z]?\b(?!\s?(?:mm|cm|ml|mg|HU)\b)",
        IDENTIFIER,
    ),
    _rule(r"\b(?!COVID|SARS|NCOV|ISO)[A-Z]{1,5}[-_]?\d{4}[A-Z]?\b(?!\s?(?:mm|cm))", IDENTIFIER, exact_case=True),
    _rule(
        rf"(?<![\d.,])(?!2019-?n?cov)\d{{4,}}[-_/]?[A-Z]{{1,4}}(?<!mm)(?<!cm)(?<!ml)(?<!mg)(?<!hu)(?<!kg)"
        rf"(?<!ms)\d*\b{_UNIT}",
        IDENTIFIER,
    ),
    _rule(
        r"\b(?=(?:[A-Z-]*\d){4})(?=(?:[\d-]*[A-Z]){2})(?!COVID|SARS)[A-Z0-9]+(?:[-_][A-Z0-9]+)*\b(?<!mm)"
        r"(?<!cm)",
        IDENTIFIER,
        exact_case=True,
    ),
    _rule(
        r"(?<![\w.,])(?:[A-Z]{1,4}[-/_. ]?)?\d{1,20}(?:[-/_.]\d{1,20}){2,8}(?:[-/_.][A-Z]{1,3})?(?!\w|[.,]\d|\s?(?:mm|cm|ml|mg|HU|x)\b)",
        lambda match: _if_digits(match, least=6),
    ),
    _rule(r"(?<![\w.,])[A-Z]\d{1,3}[-/_]\d{4,}(?!\w)", IDENTIFIER, exact_case=True),
    _rule(r"\b(?:bed|room|bay|cubicle)\s+(?:no\.?\s*)?\d{3,6}[A-Z]?\b", IDENTIFIER),
    _rule(r"(?<![\w.,])\d{7,}(?![\w]|[.,]\d)", IDENTIFIER),
    _rule(rf"(?<![\d.,])\d+[-_/]\d{{5,}}(?!\d){_MEASURE}|(?<![\d.,])\d{{5,}}[-_/]\d+(?!\d){_MEASURE}", IDENTIFIER),
    _rule(rf"(?<![\w.,-])(?!(?:19|20)\d\d-(?:19|20)\d\d)\d{{4}}-\d{{4}}(?![\w-]){_MEASURE}", IDENTIFIER),
    _rule(rf"(?<![\w.,])\d{{2}} \d{{2}} \d{{2}}(?![\w.,]?\d){_MEASURE}", IDENTIFIER),
    _rule(r"(?<![\d.,/])\d{3} \d{3} \d{3,4}(?!\d)", IDENTIFIER),
    _rule(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.]?\d)", IDENTIFIER),
    _rule(r"(?<![\w.,])(?=(?:[A-Z]*\d){6})\d+[A-Z]{1,3}\d+[A-Z]?(?!\w)", IDENTIFIER, exact_case=True),
    _rule(rf"(?<![\d.,])\d{{6,}}(?![\d]|[.,]\d){_UNIT}", IDENTIFIER),
)


def _if_digits(match: re.Match[str], *, least: int) -> str:
    return IDENTIFIER if sum(letter.isdigit() for letter in match.group(0)) >= least else match.group(0)


_AGES: tuple[Rule, ...] = (
    _rule(r"(?<![\d.,/-])(?P<age>\d{2,3})(?=[\s-]?(?:years?\b|(?:yrs?|y)[\s-]?(?:old|of age|/?o\b)))", _over_oldest),
    _rule(r"(?<![\d.,/-])(?P<age>\d{2,3})(?=\s?(?:y/?o|yo|yrs?|y)\b)", _over_oldest),
    _rule(r"(?<![\d.,/-])\b(?P<age>\d{2,3})(?=\s?(?:[MF]\b|(?:female|male|man|woman|lady|gentleman)\b))", _over_oldest),
    _rule(r"\bage[ds]?\s*(?:[:=]|of|is|was)?\s*(?P<age>0?\d{2,3})\s?(?:Y\b|years?)?", _over_oldest),
    _rule(
        r"\b(?:ninety|(?:one )?hundred)(?:[\s-](?:and[\s-])?\w+)?(?=[\s-]years?[\s-](?:old|"
        r"of age))",
        f"over {OLDEST}",
    ),
    _rule(rf"\b(?P<article>a)(?= over {OLDEST}\b)", r"\g<article>n"),
)

NUMBER_RULES: tuple[Rule, ...] = (*_NETWORK, *_DATES, *_ADDRESSES, *_PHONES, *_IDENTIFIERS, *_AGES)


def replace_numbers(text: str) -> str:
    """Every date, telephone number, address, identifying number and great age, replaced by its surrogate."""
    for pattern, surrogate in NUMBER_RULES:
        text = pattern.sub(surrogate, text)
    return text

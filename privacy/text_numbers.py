"""Identifiers that have a shape: dates, telephone numbers, addresses, numbers of patients and examinations, great ages.

Each rule is a pattern and its surrogate, applied in the order of `NUMBER_RULES`; what must survive (sizes, vertebrae,
Hounsfield units, doses, ratios) is excluded in the pattern that would take it.
"""

from __future__ import annotations

import re
from typing import Final

from privacy.surrogates import ADDRESS, IDENTIFIER, PHONE
from privacy.text_dates import DATE_RULES
from privacy.text_rules import MEASURE, UNIT, Rule, rule
from privacy.text_words import is_ordinary

OLDEST: Final = 89
"""Ages above this are identifying (45 CFR 164.514)."""

STREET_KINDS: Final = (
    r"(?:street|str|st|road|rd|avenue|ave?|lane|ln|drive|dr|boulevard|blvd|court|ct|place|pl|square|sq|terrace|ter|"
    r"crescent|cres|close|way|parkway|pkwy|highway|hwy|circle|cir|row|gardens?|grove|mews|walk|quay|hills?|alley|"
    r"plaza|loop|"
    r"trail|trl|"
    # the suffixes of USPS Publication 28, appendix C1, that are no words of reports
    r"annex|arcade|bayou|beach|bend|bluffs?|bottom|branch|bridge|brooks?|burgs?|bypass|camp|canyon|cape|causeway|"
    r"cliffs?|club|"
    r"commons?|corners?|course|coves?|creek|crest|crossing|crossroads?|curve|dale|dam|divide|estates?|expressway|"
    r"extensions?|"
    r"falls?|ferry|fields?|flats?|fords?|forest|forges?|forks?|fort|freeway|gateway|glens?|greens?|groves?|harbors?|"
    r"haven|"
    r"heights|hollow|inlet|islands?|isle|junctions?|keys?|knolls?|lakes?|land|landing|lights?|loaf|locks?|lodge|mall|"
    r"manors?|"
    r"meadows?|mills?|mission|motorway|mount|mountains?|orchard|oval|overpass|parks?|passage|path|pike|pines?|plains?|"
    r"points?|"
    r"ports?|prairie|ramp|ranch|rapids?|rest|ridges?|river|roads|route|run|rue|shoals?|shores?|skyway|springs?|spurs?|"
    r"station|"
    r"stravenue|stream|summit|throughway|trace|track|trafficway|tunnel|turnpike|underpass|unions?|valleys?|viaduct|"
    r"views?|"
    r"villages?|ville|vista|walls?|wells?)"
)


def _over_oldest(match: re.Match[str]) -> str:
    return match.group(0) if int(match["age"]) <= OLDEST else match.group(0).replace(match["age"], f"over {OLDEST}", 1)


_NETWORK: tuple[Rule, ...] = (
    rule(r"(?<![\w.+-])[\w.+-]{1,64}\s?(?:@|\(at\)|\[at\])\s?[\w-]+(?:\.[\w-]+)+", IDENTIFIER),
    rule(r"\b(?:https?|ftps?|sftp|dicom)://\S+|\bwww\.\S+", IDENTIFIER),
    rule(
        r"(?<![\w.-])[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,4}\.(?:org|com|net|edu|gov|nhs\.uk|ac\.uk|co\.uk|"
        r"health)(?:/\S*)"
        r"?(?!\w)",
        IDENTIFIER,
    ),
    rule(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)", IDENTIFIER),
    rule(r"(?<![\d.])\d+(?:\.\d+){4,}(?!\d)", IDENTIFIER),
)

_PHONES: tuple[Rule, ...] = (
    rule(r"(?<![\w.])\d{3}/\d{3}[-/ ]\d{4}(?!\d)", PHONE),
    rule(
        r"(?<!\w)(?:\+|00)\d{1,3}[\s.\-/]?(?:\(\d{1,5}\)[\s.\-/]?)?\d(?:[\s.\-/]?\d){5,12}(?:\s?(?:x|"
        r"ext\.?)\s?\d+)?(?!\d)",
        PHONE,
    ),
    rule(r"(?<!\w)\(\d{2,5}\)[\s.\-]?\d{2,4}(?:[\s.\-]?\d{2,6}){1,3}(?:\s?(?:x|ext\.?)\s?\d+)?(?!\d)", PHONE),
    rule(r"(?<![\w.])\d{3}[-.\s]\d{3}[-.\s]\d{4}(?:\s?(?:x|ext\.?)\s?\d+)?(?!\d)", PHONE),
    rule(r"(?<![\w.])0\d{1,4}[\s\-/]\d{2,4}(?:[\s\-]?\d{2,6}){1,3}(?!\d)", PHONE),
    rule(r"(?<![\w.])\d{3}-\d{4}(?![\d-])", PHONE),
    rule(r"(?<![\w.,/])\d{3}[ .]\d{4}(?![\d-]|[.,]\d)", PHONE),
    rule(r"(?<![\w.])1\.\d{3}\.\d{3}\.\d{4}(?!\d)", PHONE),
    rule(r"(?<![\w.])\(?\d{3} ?\)?(?: ?- ?| )\d{3} ?- ?\d{4}(?!\d)", PHONE),
    rule(r"(?<!\w)x\d{3,6}\b(?!\s?(?:mm|cm|x))", PHONE),
    rule(r"\b(?:ext(?:ension)?|pager|bleep|beeper|extn)\.?\s*(?:no\.?|number|#|:)?\s*#?\d{2,7}\b", PHONE),
    rule(
        r"\b(?:phone|telephone|tel|fax|mobile|cell|call(?:ed)? (?:on|at))\.?\s*(?:no\.?|number|#|:)"
        r"?\s*\+?\(?\d[\d\s().\-/]{3,18}\d",
        PHONE,
    ),
)

_ADDRESSES: tuple[Rule, ...] = (
    rule(
        rf"\b\d{{1,6}}[a-z]?,?[ \t]+(?:(?:north|south|east|west|[nsew])\.?[ \t]+)?"
        rf"(?P<street>(?:(?-i:[A-Z])[\w'’.-]*[ \t]+){{1,4}})(?-i:(?=[A-Z])){STREET_KINDS}\b\.?"
        rf"(?:,?[ \t]*(?:apt|apartment|suite|ste|unit|flat|floor|fl|room)\.?[ \t]*#?\d\w{{0,4}}\b)?",
        lambda match: _if_named(match),
    ),
    rule(r"\b(?:apt|apartment|suite|ste|flat|studio)\.?\s*#?\d{1,5}[a-z]?\b", ADDRESS),
    rule(r"\bp\.?\s?o\.?\s?box\s+\d+", ADDRESS),
    rule(
        r"\b(?-i:[A-ZÄÖÜ])[\wäöüß-]{0,40}(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|laan|straat)"
        r"\s+\d{1,4}[a-z]?\b",
        ADDRESS,
    ),
    rule(
        r"\b\d{1,4}(?:\s?bis)?,?\s+(?:rue|avenue|boulevard|chemin|place|via|viale|calle|avenida|piazza|"
        r"rua)\s+(?:d[eu]s?\s+|del(?:la|l')?\s*|la\s+|l')*"
        r"(?-i:[A-ZÀ-Ý])[\w'’-]+(?:\s+(?-i:[A-ZÀ-Ý])[\w'’-]+){0,3}",
        ADDRESS,
    ),
    rule(
        r"\b(?:rue|via|viale|calle|avenida|piazza|rua)\s+(?:d[eu]s?\s+|del(?:la|l')?\s*|la\s+|l')"
        r"*(?-i:[A-ZÀ-Ý])[\w'’-]+(?:\s+(?-i:[A-ZÀ-Ý])[\w'’-]+){0,3},?\s+\d{1,4}\b",
        ADDRESS,
    ),
    rule(
        r"\b(?:(?:[A-Z][a-z'’-]+\s){0,2}[A-Z][a-z'’-]+,\s*)?(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|"
        r"M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])"
        r",?\s+\d{5}(?:-\d{4})?\b",
        ADDRESS,
        exact_case=True,
    ),
    rule(r"(?<=[,\n ])[A-Z]{2} \d{5}(?:-\d{4})?(?![\w-])", ADDRESS, exact_case=True),
    rule(
        r"\b(?:GIR ?0AA|[A-PR-UWYZ][A-HK-Y]?\d[\dA-HJKPSTUW]? ?\d(?!(?:MM|CM|ML|MG|KG|ND|RD|TH|ST|HU)\b)"
        r"[ABD-HJLNP-UW-Z]{2})\b",
        ADDRESS,
        exact_case=True,
    ),
    rule(r"\b[ABCEGHJ-NPRSTVXY]\d[A-Z][ -]\d[A-Z]\d\b", ADDRESS, exact_case=True),
    rule(r"\b(?:zip|post(?:al)?\s?code|plz)\s*(?:code)?\s*[:#]?\s*[a-z0-9]{2,5}[ -]?[a-z0-9]{2,4}\b", ADDRESS),
    rule(r"\b(?:[A-Z]{1,2}-)?\d{5}\s+[A-ZÄÖÜ][a-zäöüß]+(?:-[A-Z][a-z]+)?(?=\s*(?:$|[,\n]))", ADDRESS, exact_case=True),
)


def _if_named(match: re.Match[str]) -> str:
    """A street has a name: `12 Elm Road`, but not `3 RIGHT LUNG FIELDS`."""
    words = re.findall(r"[^\W\d_]+", match["street"])
    plain = re.search(r"(?i)\b(?:street|roads?|rd|avenue|lane|drive|boulevard|blvd)\b", match.group(0)) is not None
    long = re.match(r"\d{4}", match.group(0)) is not None
    return ADDRESS if plain or long or not all(map(is_ordinary, words)) else match.group(0)


_IDENTIFIERS: tuple[Rule, ...] = (
    rule(r"(?<![\w.,])\d{2,}-[A-Z]{1,3}-\d{3,}(?!\w)|(?<![\w.,])\d{6,}\.\d{1,2}(?!\d)", IDENTIFIER),
    rule(r"\b\d{3}[- ]\d{2}[- ]\d{4}\b", IDENTIFIER),
    rule(
        r"\b(?!(?:COVID|SARS|NCOV|COV|ISO|ICD|HLA|RECIST|TNM|H1N1)\b)[A-Z]{1,8}(?:[-_/:#.]?\d)"
        r"{5,}[A-Z]?\b(?!\s?(?:mm|cm|ml|mg|HU)\b)",
        IDENTIFIER,
    ),
    rule(r"\b(?!COVID|SARS|NCOV|ISO)[A-Z]{1,5}[-_]?\d{4}[A-Z]?\b(?!\s?(?:mm|cm))", IDENTIFIER, exact_case=True),
    rule(
        rf"(?<![\d.,])(?!2019-?n?cov)\d{{4,}}[-_/]?[A-Z]{{1,4}}(?<!mm)(?<!cm)(?<!ml)(?<!mg)(?<!hu)(?<!kg)"
        rf"(?<!ms)\d*\b{UNIT}",
        IDENTIFIER,
    ),
    rule(
        r"\b(?=(?:[A-Z-]*\d){4})(?=(?:[\d-]*[A-Z]){2})(?!COVID|SARS|[CTLSD]\d{1,2}-[CTLSD]\d{1,2}\b)[A-Z0-9]+(?:[-_][A-Z0-9]+)*\b(?<!mm)"
        r"(?<!cm)",
        IDENTIFIER,
        exact_case=True,
    ),
    rule(
        r"(?<![\w.,])(?:[A-Z]{1,4}[-/_. ]?)?\d{1,20}(?:[-/_.]\d{1,20}){2,8}(?:[-/_.][A-Z]{1,3})?(?!\w|[.,]\d|\s?(?:mm|"
        r"cm|ml|mg|HU|x)\b)",
        lambda match: _if_digits(match, least=6),
    ),
    rule(r"(?<![\w.,])[A-Z]\d{1,3}[-/_]\d{4,}(?!\w)", IDENTIFIER, exact_case=True),
    rule(r"\b(?:bed|room|bay|cubicle)\s+(?:no\.?\s*)?\d{3,6}[A-Z]?\b", IDENTIFIER),
    rule(r"(?<![\w.,])\d{7,}(?![\w]|[.,]\d)", IDENTIFIER),
    rule(rf"(?<![\d.,])\d+[-_/]\d{{5,}}(?!\d){MEASURE}|(?<![\d.,])\d{{5,}}[-_/]\d+(?!\d){MEASURE}", IDENTIFIER),
    rule(rf"(?<![\w.,-])(?!(?:19|20)\d\d-(?:19|20)\d\d)\d{{4}}-\d{{4}}(?![\w-]){MEASURE}", IDENTIFIER),
    rule(rf"(?<![\w.,])\d{{2}} \d{{2}} \d{{2}}(?![\w.,]?\d){MEASURE}", IDENTIFIER),
    rule(r"(?<![\d.,/])\d{3} \d{3} \d{3,4}(?!\d)", IDENTIFIER),
    rule(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.]?\d)", IDENTIFIER),
    rule(r"(?<![\w.,])(?=(?:[A-Z]*\d){6})\d+[A-Z]{1,3}\d+[A-Z]?(?!\w)", IDENTIFIER, exact_case=True),
    rule(rf"(?<![\d.,])\d{{6,}}(?![\d]|[.,]\d){UNIT}", IDENTIFIER),
)


def _if_digits(match: re.Match[str], *, least: int) -> str:
    return IDENTIFIER if sum(letter.isdigit() for letter in match.group(0)) >= least else match.group(0)


_AGES: tuple[Rule, ...] = (
    rule(r"(?<![\d.,/-])(?P<age>\d{2,3})(?=[\s-]?(?:years?\b|(?:yrs?|y)[\s-]?(?:old|of age|/?o\b)))", _over_oldest),
    rule(r"(?<![\d.,/-])(?P<age>\d{2,3})(?=\s?(?:y/?o|yo|yrs?|y)\b)", _over_oldest),
    rule(r"(?<![\d.,/-])\b(?P<age>\d{2,3})(?=\s?(?:[MF]\b|(?:female|male|man|woman|lady|gentleman)\b))", _over_oldest),
    rule(r"\bage[ds]?\s*(?:[:=]|of|is|was)?\s*(?P<age>0?\d{2,3})\s?(?:Y\b|years?)?", _over_oldest),
    rule(
        r"\b(?:ninety|(?:one )?hundred)(?:[\s-](?:and[\s-])?\w+)?(?=[\s-]years?[\s-](?:old|"
        r"of age))",
        f"over {OLDEST}",
    ),
    rule(rf"\b(?P<article>a)(?= over {OLDEST}\b)", r"\g<article>n"),
)

NUMBER_RULES: tuple[Rule, ...] = (*_NETWORK, *DATE_RULES, *_ADDRESSES, *_PHONES, *_IDENTIFIERS, *_AGES)


def replace_numbers(text: str) -> str:
    """Every date, telephone number, address, identifying number and great age, replaced by its surrogate."""
    for pattern, surrogate in NUMBER_RULES:
        text = pattern.sub(surrogate, text)
    return text

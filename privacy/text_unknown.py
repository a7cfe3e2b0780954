"""Names without title or label: capitalised words that are no words, and what stands beside a name already found.

In a report, a capitalised word that neither medicine nor English knows is a person, a place or a firm: it goes,
wherever it stands and without any title or label. A word that English does know (`Hall`, `Young`) goes where it touches
a name, does what only people do, or stands alone on a line with other such words. Unknown abbreviations of three
letters are left to `text_closed`; longer unknown words in capitals go. The price is a rare word of medicine now and
then (docs/deidentification.md).
"""

from __future__ import annotations

import re
from collections import Counter

from privacy.surrogates import DATE, HOSPITAL, IDENTIFIER, MARKS, NAME, PHONE
from privacy.text_words import (
    BEFORE_A_SIGN,
    LETTER,
    TOKEN,
    UPPER,
    WORD,
    is_abbreviation,
    is_also_name,
    is_also_surname,
    is_eponym,
    is_given_name,
    is_known,
    is_ordinary,
    may_be_name,
    text_after,
)

_LEAST_IN_CAPITALS = 4
_NOT_SHOUTED = re.compile(r"[AEIOUYÄÖÜÅØÆÉÈÊÁÀÂÍÓÚ]")
_DOER = re.compile(
    rf"(?<![\w{MARKS}-])(?P<word>{WORD})(?P<rest>(?:['’]s team)?[ \t]+(?:(?:was|were|is|has been|"
    rf"have been)[ \t]+(?:\w+ly[ \t]+)?"
    r"(?:notified|informed|paged|called|contacted|told|telephoned|phoned|alerted|present|aware|consulted|made aware|"
    r"consented)|"
    r"agrees?|agreed|concurs?|concurred|dictated|signed|notified|telephoned|phoned|attended|consented|verbali[sz]ed|"
    r"states that|stated that|requested|requests|confirmed by phone|to biopsy|to discuss|"
    r"to follow up with the patient|RN|MD|DO)\b)",
    re.IGNORECASE,
)
_OWNER = re.compile(
    rf"(?<![\w{MARKS}-])(?P<word>{WORD})(?=['’]s[ \t]+(?:note|prior|team|clinic|report|office|request|list|patient|"
    rf"read|opinion|dictation)\b)"
)
_LINE_OF_NAMES = re.compile(
    rf"(?m)^(?P<lead>[ \t]*)(?P<line>(?:{WORD}|{LETTER}\.|{NAME})(?:(?:,[ \t]*|[ \t]+|-)(?:{WORD}|{LETTER}\.|"
    rf"{NAME})){{0,3}}),?[ \t]*$"
)
_BEFORE_A_MARK = re.compile(
    rf"(?P<lead>(?:^|[.\n!?)\]{MARKS}])[ \t]*)(?P<line>{WORD}(?:[ \t]+(?:{WORD}|"
    rf"{LETTER}\.)){{1,2}})(?=[ \t]*[,\n]?[ \t]*[{DATE}{PHONE}{HOSPITAL}{IDENTIFIER}])"
)
_GLUED = re.compile(rf"(?<![\w{MARKS}])[a-zà-ÿ]{{2,6}}[{UPPER}][a-zà-ÿ]{{2,}}(?:-[a-zà-ÿ]{{0,6}}{WORD})*(?!\w)")
_MID_SENTENCE = re.compile(
    rf"(?P<lead>(?<![\w.])[a-z]{{2,}}[ \t]+)(?P<word>[{UPPER}][a-zß-ÿ]+(?:['’-][{UPPER}]?[a-zß-ÿ]+)*)(?P<owner>['’]s"
    rf")?(?![\w-]|[ \t]+(?-i:[{UPPER}]))"
)
_TAIL = re.compile(
    rf"(?P<lead>(?:^|[.\n])[ \t]*)(?P<word>[{UPPER}][a-zß-ÿ]+(?:-[{UPPER}]?[a-zß-ÿ]+)*)[ \t]+[{UPPER}]\.?(?=[ \t]*("
    rf"?:$|\n))"
)
_ROLES = re.compile(
    r"(?:.*(?:ology|surgery|ician|ologist|surgeon|team|service|department|nurse|patient|family|mother|father|doctor|"
    r"care|"
    r"provider|staff|medicine|pharmacy|police|who|she|he|they|we|i))$",
    re.IGNORECASE,
)
_BY = re.compile(
    rf"\b(?P<lead>(?:(?i:by|thanks|thank[ \t]you|regards|sincerely|cc|attn|"
    rf"attention),?[ \t]*[:,]?[ \t]+))(?P<word>{WORD})"
)
_FOR = re.compile(
    rf"\b(?P<lead>(?i:for|re|of|about|regarding)[ \t]+)(?P<word>[{UPPER}]{WORD})(?=,?[ \t]*(?i:room|bed|ward|dob|"
    rf"mrn|aged?|born|bay)\b)"
)
_LOW_CONTACT = re.compile(
    rf"\b(?P<lead>(?i:spoke|spoken|talked|discussed|reviewed|d/w|agreed|conferred|seen|informed|paged|called|"
    rf"texted)[ \t]+(?i:w/|with|to|by)?[ \t]*)"
    rf"(?P<words>{WORD}(?:[ \t]+{WORD}){{0,3}})"
)
_BRACKETED = re.compile(
    rf"(?P<lead>(?:[\[(]|//|--)[ \t]*)(?P<word>{WORD})(?=[ \t]*,?[ \t]*(?:[{MARKS}]|$))", re.MULTILINE
)
_ADDRESSED = re.compile(rf"(?<![\w.])@(?P<word>{WORD})(?![\w.@-])")
_NOBLE = re.compile(
    rf"(?<!\w)(?:van|von|vom|de|der|del|della|di|dos|da|ten|ter|ibn|bin|af)(?:[ \t]+(?:de|der|den|la|las|"
    rf"los))?[ \t]+(?P<word>[{UPPER}]{WORD})"
)
_MONTH_OR_DAY = re.compile(
    r"(?:jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|mon|tue|tues|wed|thu|thurs|fri|sat|sun)\w*|may|june|july|"
    r"street|road|lane|"
    r"drive|avenue|court|suite|hospital|clinic|north|south|east|west|new|lake|port|saint",
    re.IGNORECASE,
)


def replace_unknown(text: str) -> str:
    """Every capitalised word that no list knows, and every word that leans on a name, replaced by the name's mark."""
    text = _ADDRESSED.sub(NAME, _GLUED.sub(NAME, text))
    text = TOKEN.sub(_unknown, text)
    text = _MID_SENTENCE.sub(
        lambda match: f"{match['lead']}{NAME}{match['owner'] or ''}" if _stands_out(match) else match.group(0), text
    )
    text = _LOW_CONTACT.sub(_low_contact, text)
    text = _BRACKETED.sub(lambda match: match["lead"] + NAME if _in_brackets(match["word"]) else match.group(0), text)
    text = _FOR.sub(lambda match: match["lead"] + NAME if may_be_name(match["word"]) else match.group(0), text)
    text = _TAIL.sub(lambda match: match["lead"] + NAME if may_be_name(match["word"]) else match.group(0), text)
    text = _NOBLE.sub(lambda match: NAME if _noble(match) else match.group(0), text)
    text = _BY.sub(
        lambda match: match["lead"] + NAME if _named_by(match["word"], text_after(match)) else match.group(0), text
    )
    text = _LINE_OF_NAMES.sub(_line_of_names, text)
    text = _BEFORE_A_MARK.sub(_line_of_names, text)
    text = _DOER.sub(lambda match: NAME + match["rest"] if _does(match) else match.group(0), text)
    return _OWNER.sub(lambda match: NAME if may_be_name(match["word"]) else match.group(0), text)


def replace_again(text: str, original: str) -> str:
    """Whoever was found once is found everywhere: capitalised words of the original that are gone somewhere, and that
    are no words of medicine, go wherever else they stand capitalised (but before `disease`, `sign` and their like)."""
    left = set(_capitalised(text))
    gone = {word.lower() for word, count in _counted(original).items() if count > _counted(text)[word]} & {
        w.lower() for w in left
    }
    gone = {word for word in gone if len(word) > 2 and not is_ordinary(word) and not _MONTH_OR_DAY.fullmatch(word)}
    if not gone:
        return text
    return TOKEN.sub(lambda match: _gone_elsewhere(match, gone), text)


def _gone_elsewhere(match: re.Match[str], gone: set[str]) -> str:
    word = match.group(0)
    bare = re.sub(r"['’]s$", "", word)
    if not word[0].isupper() or bare.lower() not in gone or BEFORE_A_SIGN.match(match.string, match.end()):
        return word
    return NAME + word[len(bare) :]


def _capitalised(text: str) -> list[str]:
    found = (re.sub(r"['’]s$", "", word) for word in TOKEN.findall(text))
    return [word for word in found if word[0].isupper()]


def _counted(text: str) -> Counter[str]:
    return Counter(word for word in _capitalised(text))


def _unknown(match: re.Match[str]) -> str:
    word = match.group(0)
    if not word[0].isupper() or len(word) < 3 or is_known(word) or BEFORE_A_SIGN.match(match.string, match.end()):
        return word
    bare = re.sub(r"['’]s$", "", word)
    if bare.isupper() and is_abbreviation(bare):
        return word
    if bare.isupper():
        long = max(map(len, re.split(r"['’-]", bare))) >= _LEAST_IN_CAPITALS
        return NAME + word[len(bare) :] if long and _NOT_SHOUTED.search(bare) else word
    return NAME + word[len(bare) :] if _title_case(bare) else word


def _title_case(word: str) -> bool:
    """Smith, McArdle, O'Neil, Smith-Jones, DiMarco; not SUVmax, mAs, HbA."""
    return all(
        re.fullmatch(rf"(?:[^\W\d_]['’`])?(?:[^\W\d_][a-zß-öø-ÿ]{{1,3}}(?=[{UPPER}]))?[^\W\d_][^\W\d_]*", part)
        is not None
        and not re.search(r"[A-Z]{2}", part)
        for part in word.split("-")
        if part
    )


def _named_by(word: str, after: str) -> bool:
    """Behind `by` or `thank you,`: a capitalised word that is not shouted and that medicine does not know."""
    return may_be_name(word) and not word.isupper() and not _ROLES.fullmatch(word) and not BEFORE_A_SIGN.match(after)


def _in_brackets(word: str) -> bool:
    return may_be_name(word) if word.isupper() else word[0].isupper() and (may_be_name(word) or is_also_surname(word))


def _low_contact(match: re.Match[str]) -> str:
    """`spoke w/ anna kowalska from neurosurgery`: as many small words as no list knows, and given names."""
    words = re.split(r"([ \t]+)", match["words"])
    count = 0
    for word in words[::2]:
        if is_given_name(word) or not is_known(word):
            count += 1
        else:
            break
    if count and count < len(words[::2]) and not is_ordinary(words[2 * count]) and is_given_name(words[0]):
        count += 1  # `john hall`
    return match["lead"] + NAME + "".join(words[2 * count - 1 :]) if count else match.group(0)


def _stands_out(match: re.Match[str]) -> bool:
    """A capitalised English word inside a sentence, which is no word of medicine, eponym or role."""
    word = match["word"]
    if is_eponym(word) or _ROLES.fullmatch(word) or BEFORE_A_SIGN.match(match.string, match.end()):
        return False
    return may_be_name(word) or (is_also_surname(word) and match["lead"].strip() in ("mr", "dr", "for", "by"))


def _noble(match: re.Match[str]) -> bool:
    return may_be_name(match["word"]) and not is_eponym(match["word"])


def _does(match: re.Match[str]) -> bool:
    """The subject of what only people do, unless it is a service or a role."""
    word = match["word"]
    if not word[0].isupper() or _ROLES.fullmatch(word):
        return False
    alone = not word.isupper() and (
        is_also_surname(word) or is_also_name(word) or bool(re.match(r"[ \t]+(?:agree|concur)", match["rest"]))
    )
    return may_be_name(word) or alone


def _line_of_names(match: re.Match[str]) -> str:
    """Nothing but capitalised words of which medicine knows none (or a given name leads): somebody signed."""
    words = [word for word in re.split(r"[ \t,]+", match["line"]) if word]
    if not all(word == NAME or word[0].isupper() for word in words) or words == [NAME]:
        return match.group(0)
    own = [word for word in words if word == NAME or (len(word.rstrip(".")) > 1 and may_be_name(word))]
    given = words[0] == NAME or is_given_name(words[0])
    if not own or len(words) == 1 and is_ordinary(words[0]):
        return match.group(0)
    if any(is_ordinary(word) and len(word.rstrip(".")) > 1 for word in words if word != NAME) and not given:
        return match.group(0)
    if all(is_eponym(word) for word in words if word != NAME) and not given:
        return match.group(0)
    return match["lead"] + NAME

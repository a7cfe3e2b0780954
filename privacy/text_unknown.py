"""The last net for names: capitalised words that are no words at all, and what stands beside a name already found.

In a report, a capitalised word that neither medicine nor English knows is a person, a place or a firm: it goes, wherever
it stands and without any title or label. A word that English does know (`Hall`, `Young`) goes where it touches a name,
does what only people do, or stands alone on a line with other such words. Unknown abbreviations of three letters stay;
longer unknown words in capitals go. The price is a rare word of medicine now and then (docs/deidentification.md).
"""

from __future__ import annotations

import re
from collections import Counter

from privacy.surrogates import ADDRESS, DATE, HOSPITAL, IDENTIFIER, MARKS, NAME, PHONE
from privacy.text_numbers import STREET_KINDS
from privacy.text_words import is_also_surname, is_english, is_eponym, is_given_name, is_known, is_ordinary

_UPPER = "A-ZÀ-ÖØ-ÞĀ-ŽȘȚ"  # Latin Extended-A mixes cases: `_capitalised` asks again
_LETTER = r"[^\W\d_]"
_WORD = rf"{_LETTER}+(?:['’`-]{_LETTER}+)*"
_TOKEN = re.compile(rf"(?<![\w{MARKS}@.])(?<![A-Za-z]['’]){_WORD}(?![\w@])")
_PARTICLE = r"(?:mac|nic|an|van|von|der|den|de|del|della|di|da|dos|das|du|la|le|el|al|bin|bint|ibn|ter|ten|zu|zum|und|af|av|y|e|i|ap|o)"
_INITIAL = rf"{_LETTER}\.(?:\s?{_LETTER}\.)?"
_LEAST_IN_CAPITALS = 4
_NOT_SHOUTED = re.compile(r"[AEIOUYÄÖÜÅØÆÉÈÊÁÀÂÍÓÚ]")

_RIGHT = re.compile(rf"{NAME}(?P<gap>(?:[ \t]+{_PARTICLE})*[ \t]+|-)(?P<word>{_WORD}|{_LETTER}\.?)(?![\w])")
_LEFT = re.compile(rf"(?<![\w.'’-])(?P<word>{_WORD}|{_LETTER}\.?)(?P<gap>(?:[ \t]+{_PARTICLE})*[ \t]+|-|,[ \t]*){NAME}")
_PARTICLE_LEFT = re.compile(rf"(?<![\w])(?i:{_PARTICLE})(?:[ \t]+(?i:{_PARTICLE}))?[ \t]+{NAME}")
_LISTED = re.compile(
    rf"{NAME}(?P<gap>[ \t]*(?:,|/|;|&|\band\b)[ \t]*(?:and[ \t]+)?)(?P<word>(?:{_INITIAL}[ \t]*)?{_WORD})"
    rf"(?=[ \t]*(?:[,.;)/\]\n{MARKS}]|$|\band\b|&))"
)
_LISTED_BEFORE = re.compile(
    rf"(?P<lead>[(\[:,/;&]|\band\b)(?P<gap>[ \t]*)(?P<word>(?:{_INITIAL}[ \t]*)?{_WORD})(?P<link>[ \t]*(?:,|/|;|&|\band\b)[ \t]*){NAME}"
)
_DOER = re.compile(
    rf"(?<![\w{MARKS}-])(?P<word>{_WORD})(?P<rest>(?:['’]s team)?[ \t]+(?:(?:was|were|is|has been|have been)[ \t]+(?:\w+ly[ \t]+)?"
    r"(?:notified|informed|paged|called|contacted|told|telephoned|phoned|alerted|present|aware|consulted|made aware|consented)|"
    r"agrees?|agreed|concurs?|concurred|dictated|signed|notified|telephoned|phoned|attended|consented|verbali[sz]ed|"
    r"states that|stated that|requested|requests|confirmed by phone|to biopsy|to discuss|to follow up with the patient|RN|MD|DO)\b)",
    re.IGNORECASE,
)
_OWNER = re.compile(rf"(?<![\w{MARKS}-])(?P<word>{_WORD})(?=['’]s[ \t]+(?:note|prior|team|clinic|report|office|request|list|patient|read|opinion|dictation)\b)")
_LINE_OF_NAMES = re.compile(
    rf"(?m)^(?P<lead>[ \t]*)(?P<line>(?:{_WORD}|{_LETTER}\.|{NAME})(?:(?:,[ \t]*|[ \t]+|-)(?:{_WORD}|{_LETTER}\.|{NAME})){{0,3}}),?[ \t]*$"
)
_BEFORE_A_MARK = re.compile(
    rf"(?P<lead>(?:^|[.\n!?)\]{MARKS}])[ \t]*)(?P<line>{_WORD}(?:[ \t]+(?:{_WORD}|{_LETTER}\.)){{1,2}})(?=[ \t]*[,\n]?[ \t]*[{DATE}{PHONE}{HOSPITAL}{IDENTIFIER}])"
)
_SIGNS = (
    r"(?:diseases?|syndromes?|signs?|fractures?|nodes?|nodules?|cysts?|lines?|lesions?|deformit(?:y|ies)|classification|grades?|"
    r"grading|types?|stages?|scores?|scale|criteria|index|indices|angles?|law|ligaments?|ducts?|spaces?|pouch|fossa|canal|foramen|loop|"
    r"tumou?rs?|lymphoma|sarcoma|anomal(?:y|ies)|malformations?|hernias?|tubes?|catheters?|lines?|ports?|stents?|shunts?|drains?|filters?|"
    r"procedure|operation|view|rings?|bod(?:y|ies)|contracture|aneurysms?|ulcers?|o?esophagus|pals(?:y|ies)|phenomenon|triad|"
    r"sulcus|gyrus|area|arter(?:y|ies)|veins?|plexus|capsule|fascia|pad|ganglion|cave|triangle|thyroiditis|arthropathy|"
    r"dementia|cell|cells|fissures?|membrane|rods?|nails?|screws?|wires?|plates?|prosthesis|valve|formula|ratio|units?|"
    r"transition|maneuver|manoeuvre|test|stain|method|equation)"
)
_BEFORE_A_SIGN = re.compile(rf"(?:['’]s)?(?:[ \t-]{_WORD}(?:['’]s)?)?[ \t]+{_SIGNS}\b", re.IGNORECASE)
_GLUED = re.compile(rf"(?<![\w{MARKS}])[a-zà-ÿ]{{2,6}}[{_UPPER}][a-zà-ÿ]{{2,}}(?:-[a-zà-ÿ]{{0,6}}{_WORD})*(?!\w)")
_MID_SENTENCE = re.compile(
    rf"(?P<lead>(?<![\w.])[a-z]{{2,}}[ \t]+)(?P<word>[{_UPPER}][a-zß-ÿ]+(?:['’-][{_UPPER}]?[a-zß-ÿ]+)*)(?P<owner>['’]s)?(?![\w-]|[ \t]+(?-i:[{_UPPER}]))"
)
_TAIL = re.compile(rf"(?P<lead>(?:^|[.\n])[ \t]*)(?P<word>[{_UPPER}][a-zß-ÿ]+(?:-[{_UPPER}]?[a-zß-ÿ]+)*)[ \t]+[{_UPPER}]\.?(?=[ \t]*(?:$|\n))")
_ROLES = re.compile(
    r"(?:.*(?:ology|surgery|ician|ologist|surgeon|team|service|department|nurse|patient|family|mother|father|doctor|care|"
    r"provider|staff|medicine|pharmacy|police|who|she|he|they|we|i))$", re.IGNORECASE
)
_BY = re.compile(rf"\b(?P<lead>(?:(?i:by|thanks|thank[ \t]you|regards|sincerely|cc|attn|attention),?[ \t]*[:,]?[ \t]+))(?P<word>{_WORD})")
_FOR = re.compile(
    rf"\b(?P<lead>(?i:for|re|of|about|regarding)[ \t]+)(?P<word>[{_UPPER}]{_WORD})(?=,?[ \t]*(?i:room|bed|ward|dob|mrn|aged?|born|bay)\b)"
)
_LOW_CONTACT = re.compile(
    rf"\b(?P<lead>(?i:spoke|spoken|talked|discussed|reviewed|d/w|agreed|conferred|seen|informed|paged|called|texted)[ \t]+(?i:w/|with|to|by)?[ \t]*)"
    rf"(?P<words>{_WORD}(?:[ \t]+{_WORD}){{0,3}})"
)
_BRACKETED = re.compile(rf"(?P<lead>(?:[\[(]|//|--)[ \t]*)(?P<word>{_WORD})(?=[ \t]*,?[ \t]*(?:[{MARKS}]|$))", re.MULTILINE)
_ADDRESSED = re.compile(rf"(?<![\w.])@(?P<word>{_WORD})(?![\w.@-])")
_NUMBER_AFTER = re.compile(rf"(?<=[{NAME}])[ \t]+\d[\d ./-]{{3,}}\d(?![\w,.]?\d|[ \t]?(?:mm|cm|HU|years?|yrs?|y/?o)\b)")
_SHORT_NUMBER_AFTER = re.compile(rf"(?m)(?<={NAME})[ \t]+\d{{3,5}}(?=[ \t]*(?:$|[,.;)\n{MARKS}](?!\d)))")
_HOUSE_BEFORE = re.compile(
    rf"(?<![\w.,/-])\d{{1,6}}[A-Za-z]?,?[ \t]+[{NAME}{ADDRESS}](?:[ \t]+(?:{STREET_KINDS})\b\.?)?(?:[ \t]*,?[ \t]*[{ADDRESS}])*", re.IGNORECASE
)
_POSTCODE_AFTER = re.compile(rf"(?<=[{NAME}{ADDRESS}]),?[ \t]+(?:[A-Z]{{2}},?[ \t]+)?\d{{5}}(?:-\d{{4}})?(?![\w.,]?\d)")
_FIRM = (
    r"(?i:NHS|hospitals?|clinics?|imaging|radiology|associates|trust|foundation|group|partners|infirmary|medical|cent(?:er|re)|"
    r"health(?:care)?|memorial|regional|community|general|county|diagnostics|pllc|llc|inc|ltd|university|institute|practice|surgery)\b\.?"
)
_HOSPITAL_GOES_ON = re.compile(rf"{HOSPITAL}(?:(?:[ \t]+|[ \t]*,[ \t]*){_FIRM})+")
_NAMED_FIRM = re.compile(
    rf"(?:{_WORD}[ \t]*&[ \t]*)?(?:{NAME}|(?<=& )[{_UPPER}]{_WORD})(?:[ \t]*(?:&|and)[ \t]*{NAME})?(?:[ \t]*,?[ \t]+{_FIRM})*[ \t]*,?[ \t]+"
    r"(?i:hospitals?|clinics?|associates|radiology|trust|infirmary|cent(?:er|re)|pllc|llc|partners|diagnostics|health(?:care)?)\b"
)
_STREET_AFTER = re.compile(rf"(?<=[{MARKS}])[ \t]+(?:[{_UPPER}]\w+[ \t]+){{1,2}}(?-i:(?=[{_UPPER}])){STREET_KINDS}\b", re.IGNORECASE)
_NOBLE = re.compile(rf"(?<!\w)(?:van|von|vom|de|der|del|della|di|dos|da|ten|ter|ibn|bin|af)(?:[ \t]+(?:de|der|den|la|las|los))?[ \t]+(?P<word>[{_UPPER}]{_WORD})")
_LONE_INITIAL = re.compile(rf"{NAME}[ \t]+[{_UPPER}](?=[ \t]*(?:$|[\n,;.)/{MARKS}]))", re.MULTILINE)
_RUN = re.compile(rf"{NAME}(?:(?:[ \t]*[,-][ \t]*|[ \t]+){NAME})+")
_CAPITAL_PLACE = re.compile(
    rf"(?<!\w)(?i:Lake|Port|Fort|Mount|New|North|South|East|West|Saint|St\.?|San|Santa|Upper|Lower|Great|Old|Little|El|Los|Las)[ \t]+{NAME}"
)


def replace_unknown(text: str) -> str:
    """Every capitalised word that no list knows, and every word that leans on a name, replaced by the mark of a name."""
    text = _ADDRESSED.sub(NAME, _GLUED.sub(NAME, text))
    text = _TOKEN.sub(_unknown, text)
    text = _MID_SENTENCE.sub(
        lambda match: f"{match['lead']}{NAME}{match['owner'] or ''}" if _stands_out(match) else match.group(0), text
    )
    text = _LOW_CONTACT.sub(_low_contact, text)
    text = _BRACKETED.sub(
        lambda match: match["lead"] + NAME if _in_brackets(match["word"]) else match.group(0), text
    )
    text = _FOR.sub(lambda match: match["lead"] + NAME if _may_be_name(match["word"]) else match.group(0), text)
    text = _TAIL.sub(lambda match: match["lead"] + NAME if _may_be_name(match["word"]) else match.group(0), text)
    text = _NOBLE.sub(lambda match: NAME if _noble(match) else match.group(0), text)
    text = _BY.sub(lambda match: match["lead"] + NAME if _named_by(match["word"], text_after(match)) else match.group(0), text)
    text = _LINE_OF_NAMES.sub(_line_of_names, text)
    text = _BEFORE_A_MARK.sub(_line_of_names, text)
    text = _DOER.sub(lambda match: NAME + match["rest"] if _does(match) else match.group(0), text)
    text = _OWNER.sub(lambda match: NAME if _may_be_name(match["word"]) else match.group(0), text)
    before = None
    while before != text:
        before = text
        text = _PARTICLE_LEFT.sub(NAME, text)
        text = _CAPITAL_PLACE.sub(NAME, text)
        text = _RIGHT.sub(lambda match: NAME if _leans(match["word"], text_after(match)) else match.group(0), text)
        text = _LEFT.sub(_left, text)
        text = _LISTED.sub(lambda match: f"{NAME}{match['gap']}{NAME}" if _listed(match["word"]) else match.group(0), text)
        text = _LISTED_BEFORE.sub(
            lambda match: f"{match['lead']}{match['gap']}{NAME}{match['link']}{NAME}" if _listed(match["word"]) else match.group(0),
            text,
        )
        text = _LONE_INITIAL.sub(NAME, text)
        text = _RUN.sub(NAME, text)
    text = _SHORT_NUMBER_AFTER.sub(f" {IDENTIFIER}", _NUMBER_AFTER.sub(f" {IDENTIFIER}", text))
    text = _HOSPITAL_GOES_ON.sub(HOSPITAL, _NAMED_FIRM.sub(HOSPITAL, text))
    text = _STREET_AFTER.sub(lambda match: match.group(0) if is_ordinary(match.group(0).split()[0]) else f" {ADDRESS}", text)
    text = _HOUSE_BEFORE.sub(ADDRESS, text)
    return _POSTCODE_AFTER.sub(f" {ADDRESS}", text)


def replace_again(text: str, original: str) -> str:
    """Whoever was found once is found everywhere: capitalised words of the original that are gone somewhere, and that are no
    words of medicine, go wherever else they stand capitalised (but before `disease`, `sign` and their like)."""
    left = set(_capitalised(text))
    gone = {word.lower() for word, count in _counted(original).items() if count > _counted(text)[word]} & {w.lower() for w in left}
    gone = {word for word in gone if len(word) > 2 and not is_ordinary(word) and not _MONTH_OR_DAY.fullmatch(word)}
    if not gone:
        return text
    return _TOKEN.sub(lambda match: _gone_elsewhere(match, gone), text)


def _gone_elsewhere(match: re.Match[str], gone: set[str]) -> str:
    word = match.group(0)
    bare = re.sub(r"['’]s$", "", word)
    if not word[0].isupper() or bare.lower() not in gone or _BEFORE_A_SIGN.match(match.string, match.end()):
        return word
    return NAME + word[len(bare) :]


def _capitalised(text: str) -> list[str]:
    found = (re.sub(r"['’]s$", "", word) for word in _TOKEN.findall(text))
    return [word for word in found if word[0].isupper()]


def _counted(text: str) -> Counter[str]:
    return Counter(word for word in _capitalised(text))


_MONTH_OR_DAY = re.compile(
    r"(?:jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|mon|tue|tues|wed|thu|thurs|fri|sat|sun)\w*|may|june|july|street|road|lane|"
    r"drive|avenue|court|suite|hospital|clinic|north|south|east|west|new|lake|port|saint", re.IGNORECASE
)


def _unknown(match: re.Match[str]) -> str:
    word = match.group(0)
    if not word[0].isupper() or len(word) < 3 or is_known(word) or _BEFORE_A_SIGN.match(match.string, match.end()):
        return word
    bare = re.sub(r"['’]s$", "", word)
    if bare.isupper():
        long = max(map(len, re.split(r"['’-]", bare))) >= _LEAST_IN_CAPITALS
        return NAME + word[len(bare) :] if long and _NOT_SHOUTED.search(bare) and not is_given_or_short(bare) else word
    return NAME + word[len(bare) :] if _title_case(bare) else word


def is_given_or_short(word: str) -> bool:
    """Letters that spell nothing: abbreviations with one vowel and fewer than five letters."""
    return len(word) < 5 and len(_NOT_SHOUTED.findall(word)) < 1


def text_after(match: re.Match[str]) -> str:
    """A little of what follows a match."""
    return match.string[match.end() : match.end() + 60]


def _title_case(word: str) -> bool:
    """Smith, McArdle, O'Neil, Smith-Jones, DiMarco; not SUVmax, mAs, HbA."""
    return all(
        re.fullmatch(rf"(?:[^\W\d_]['’`])?(?:[^\W\d_][a-zß-öø-ÿ]{{1,3}}(?=[{_UPPER}]))?[^\W\d_][^\W\d_]*", part) is not None
        and not re.search(r"[A-Z]{2}", part)
        for part in word.split("-")
        if part
    )


def _named_by(word: str, after: str) -> bool:
    """Behind `by` or `thank you,`: a capitalised word that is not shouted and that medicine does not know."""
    return _may_be_name(word) and not word.isupper() and not _ROLES.fullmatch(word) and not _BEFORE_A_SIGN.match(after)


def _in_brackets(word: str) -> bool:
    return _may_be_name(word) if word.isupper() else word[0].isupper() and (_may_be_name(word) or is_also_surname(word))


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
    if is_eponym(word) or _ROLES.fullmatch(word) or _BEFORE_A_SIGN.match(match.string, match.end()):
        return False
    return _may_be_name(word) or (is_also_surname(word) and match["lead"].strip() in ("mr", "dr", "for", "by"))


def _noble(match: re.Match[str]) -> bool:
    return _may_be_name(match["word"]) and not is_eponym(match["word"])


def _does(match: re.Match[str]) -> bool:
    """The subject of what only people do, unless it is a service or a role."""
    word = match["word"]
    if not word[0].isupper() or _ROLES.fullmatch(word):
        return False
    alone = not word.isupper() and (is_also_surname(word) or bool(re.match(r"[ \t]+(?:agree|concur)", match["rest"])))
    return _may_be_name(word) or alone


def _may_be_name(word: str) -> bool:
    """Capitalised, and no word of medicine."""
    return word[0].isupper() and len(word) > 1 and (is_given_name(word) or not is_ordinary(word))


def _leans(word: str, after: str = "") -> bool:
    """What beside a name belongs to it: an initial, a given name, or a capitalised word that medicine does not know.

    Among capitals every word is one, so there English words belong to a name only where the line or sentence ends.
    """
    if len(word.rstrip(".")) == 1:
        return word[0].isupper() and word.endswith(".")
    if is_also_surname(word) and word[0].isupper() and not word.isupper():
        return re.match(rf"['’]s|[ \t]*(?:$|[(,.;:\n)/{MARKS}]|(?:on|at|by|who|was|is)\b)", after) is not None
    if not _may_be_name(word) or _BEFORE_A_SIGN.match(after):
        return False
    if not word.isupper():
        return True
    ends = re.match(rf"[ \t]*(?:$|[\n,;)/{MARKS}]|(?:ON|BY|AT|WHO|WAS|IS|DOB|MRN|MD|ACC|SEX|AGE|ID)\b)", after) is not None
    return is_given_name(word) or ends or (len(word) > 3 and not is_known(word))


def _left(match: re.Match[str]) -> str:
    word = match["word"]
    start = match.string[: match.start()].rstrip(" \t")
    if "," in match["gap"]:
        leads = not start or start[-1] in ":=\n|/(["
        return NAME if _may_be_name(word) and (leads or not is_english(word)) else match.group(0)
    opens = not start or start[-1] in ".:;!?\n"
    if opens and is_english(word) and not is_given_name(word):
        return match.group(0)
    return NAME if _leans(word) else match.group(0)


def _listed(word: str) -> bool:
    last = word.split()[-1] if word.split() else word
    last = re.sub(rf"^(?:{_LETTER}\.)+", "", last)
    return bool(last) and (_may_be_name(last) or (is_also_surname(last) and last.istitle())) and (is_english(last) or is_eponym(last) or not is_known(last))


def _line_of_names(match: re.Match[str]) -> str:
    """Nothing but capitalised words of which medicine knows none (or a given name leads): somebody signed."""
    words = [word for word in re.split(r"[ \t,]+", match["line"]) if word]
    if not all(word == NAME or word[0].isupper() for word in words) or words == [NAME]:
        return match.group(0)
    own = [word for word in words if word == NAME or (len(word.rstrip(".")) > 1 and _may_be_name(word))]
    given = words[0] == NAME or is_given_name(words[0])
    if not own or len(words) == 1 and is_ordinary(words[0]):
        return match.group(0)
    if any(is_ordinary(word) and len(word.rstrip(".")) > 1 for word in words if word != NAME) and not given:
        return match.group(0)
    if all(is_eponym(word) for word in words if word != NAME) and not given:
        return match.group(0)
    return match["lead"] + NAME


assert {ADDRESS, DATE, HOSPITAL, IDENTIFIER, PHONE, NAME} == set(MARKS)

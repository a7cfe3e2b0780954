"""De-identification of report text: identifiers out, medicine in. Rules tuned for recall, surrogates in their place.

    "Patient: DOE, JANE  MRN: 1234567\\nSeen by Dr. Roe on 3 May 2021. There is a 36 mm nodule at T12."
    ->  with_surrogates
    "Patient: [NAME]  MRN: [ID]\\nSeen by Dr. [NAME] on [DATE]. There is a 36 mm nodule at T12."
    ->  deidentify: what a site keeps
    "There is a 36 mm nodule at T12."

In order: the words that the patient's own DICOM headers give away, labelled fields, what has a shape (`text_numbers`),
names by where they stand (`text_names`), words that are no words (`text_unknown`); then, failing closed, whatever is
not known to be harmless (`text_closed`, `text_measures`); and at last every sentence that holds a surrogate
(`text_sentences`).

Not promised: a lone surname that is also a word of reports, in running prose without title, label or given name beside
it; a person recognised by a story. De-identification comes before differential privacy and is no substitute for it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from privacy.surrogates import ADDRESS, DATE, HOSPITAL, IDENTIFIER, MARKS, NAME, PHONE, marked, written
from privacy.text_beside import replace_beside
from privacy.text_closed import replace_unlisted
from privacy.text_names import replace_names
from privacy.text_numbers import replace_numbers
from privacy.text_sentences import kept_sentences
from privacy.text_unknown import replace_again, replace_unknown
from privacy.text_words import is_ordinary

LONGEST_WORD = 80
"""What is longer and has no space is no word of medicine; it goes, and keeps no rule busy."""

_ROUNDS = 4

_NUMBER = r"(?:\s*(?:no\.?|nr\.?|num(?:ber)?|id|code|#))"
_STAFF = (
    r"(?:(?:referring|ordering|attending|requesting|reading|reporting|primary(?: care)?|admitting|"
    r"consulting|performing|"
    r"interpreting|responsible|treating|supervising|family|referred)\s*)?"
    r"(?:physician|doctor|provider|clinician|radiologist|consultant|surgeon|technologist|radiographer|resident|"
    r"registrar|"
    r"operator|transcriptionist|author|attending|fellow|secretary|nurse|technician|sonographer|typist|scribe|guarantor|"
    r"requester|referrer|reader|chair|trainee|interpreter|reporter|reviewer|witness|carer|by|gp|pcp)s?"
)
_NAME_LABEL = (
    r"(?:(?:(?:patient|pt|legal|full|maiden|family|last|first|given|middle|mother['’]?s|father['’]?s|"
    r"guardian)\.?['’]?s?\s*)?"
    r"(?:(?<!procedure )(?<!study )(?<!exam )(?<!series )name|surname|forename)s?(?:\s*\((?:last|"
    r"first|family|given)[^)\n]*\))?|"
    rf"(?:next of kin|emergency contact|nok|patient|pt|cc|attn|attention|dear|re|{_STAFF}|"
    r"(?:electronically\s+)?(?:dictated|signed|reported|read|verified|approved|authenticated|transcribed|interpreted|"
    r"typed|requested|ordered|referred|reviewed|finali[sz]ed)(?:\s+(?:electronically|and (?:signed|"
    r"verified|approved)))?\s+by|(?:authori[sz]ed|approved|reported|signed|verified|dictated|copy to|from|to)(?=\s*:)))"
)
_DATE_LABEL = (
    r"(?:d\.?o\.?b\.?|date of (?:birth|exam(?:ination)?|service|study|report|scan|admission|discharge|dictation|visit)|"
    r"birth\s?date|born(?: on)?|geb\.?|(?:exam(?:ination)?|study|report|service|scan|admission|"
    r"discharge|dictation|visit|"
    r"collection|acquisition|signed|print(?:ed)?)\s+date(?:/time)?|date(?:/time)?|dictated|transcribed|admitted|"
    r"discharged|d/t|time)"
)
_ID_LABEL = (
    rf"(?:m\.?r\.?n\.?{_NUMBER}?|medical record{_NUMBER}?|(?:hospital|patient|pat|pt|hosp|unit|"
    rf"national|member|subscriber|"
    rf"account|acct|visit|encounter|insurance|policy|study|exam(?:ination)?|case|order|specimen|licen[sc]e|passport|"
    rf"serial|"
    rf"device|request|report|record|file|chart|requisition|registration|health card|our ref|your ref|"
    rf"document){_NUMBER}|"
    rf"(?:accession|nhs|ssn|social security|nino|pid|csn|fin|npi|chi|episode){_NUMBER}?|acc(?:ession)"
    rf"?\.?{_NUMBER}?\s*[:#]|"
    rf"(?<![\w-])id{_NUMBER}?\s*[:#]|(?:our |your )?ref(?:erence)?{_NUMBER}?\s*[:#]|(?:order|case|account|policy|room|"
    rf"bed|chart)\s*[:#])"
)
_HOSPITAL_LABEL = (
    r"(?:hospital|institution|facility|clinic|practice|organi[sz]ation|health system|referring (?:site|facility))"
)
_ADDRESS_LABEL = r"(?:(?:home|street|mailing|postal|patient)?\s*address|residence)"
_PHONE_LABEL = r"(?:(?:home|work|cell|mobile|contact)?\s*(?:tele)?(?:phone|fax|tel|mobile)|call\s?back)"
_ANY_LABEL = (
    rf"(?:{_NAME_LABEL}|{_DATE_LABEL}|{_ID_LABEL}|{_HOSPITAL_LABEL}|{_ADDRESS_LABEL}|{_PHONE_LABEL}|age|sex|gender|"
    r"e-?mail|exam(?:ination)?|study|procedure|modality|department|ward|location|g\.?p\.?|radiographer|tel|telephone|"
    r"phone|fax|forenames?|title|signed|findings?|impression|indication|"
    r"history|technique|comparison|conclusion|report|clinical\s\w+)"
)
_END = rf"(?=\s*(?:$|[\n\t;|({MARKS}]|[ ]{{2}}|(?:[,/]\s*)?\b{_ANY_LABEL}\s*[:#]))"
_LETTERS = r"[^\W\d_]"

_NAMED = re.compile(rf"(?P<label>\b{_NAME_LABEL}\s*[:=#]\s*)(?P<value>[^\n\t;|{MARKS}]{{2,80}}?){_END}", re.IGNORECASE)
_DATED = re.compile(
    rf"(?P<label>\b{_DATE_LABEL}\s*[:=]?\s*)(?P<value>(?:\w{{3,9}}\.?\s+)?\d[\w/.:-]*(?:[ "
    rf",]+(?:\w*\d[\d:/.-]*|[ap]\.?m\.?|"
    r"jan\w*|feb\w*|mar\w*|apr\w*|may|jun\w*|jul\w*|aug\w*|sep\w*|oct\w*|nov\w*|dec\w*)\b)*)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    rf"(?P<label>\b{_ID_LABEL}\s*[:=#]?\s*#?)(?P<value>(?=[\w/.-]*\d)[a-z0-9][\w/.-]*\w(?:[ ]\d{{2,}})*|\d)",
    re.IGNORECASE,
)
_PLACED = re.compile(rf"(?P<label>\b{_HOSPITAL_LABEL}\s*[:=]\s*)(?P<value>[^\n\t;|]{{2,80}}?){_END}", re.IGNORECASE)
_HOUSED = re.compile(
    rf"(?P<label>\b{_ADDRESS_LABEL}\s*[:=]?\s+)(?P<value>[^\n\t;|]{{0,40}}\d[^\n\t;|]{{0,80}}?){_END}", re.IGNORECASE
)
_CALLED = re.compile(
    rf"(?P<label>\b{_PHONE_LABEL}{_NUMBER}?\s*[:=]?\s*)(?P<value>[+(]?\d[\d\s().\-/]{{2,}}\d(?:\s?(?:x|"
    rf"ext\.?)\s?\d+)?)",
    re.IGNORECASE,
)
_STRONG = re.compile(
    r"name|surname|kin|by\b|physician|radiologist|contact|technologist|transcriptionist|attending|resident|secretary|"
    r"radiographer|"
    r"\bcc\b|registrar|fellow|operator",
    re.IGNORECASE,
)


def deidentify(text: str, *, known: Iterable[str] = ()) -> str:
    """What a site keeps of a report: its sentences about medicine in which nothing was found. Perhaps the empty string.

    `known` are words to strike wherever they stand (see `deidentify.known_words`).
    """
    return kept_sentences(with_surrogates(text, known=known))


def with_surrogates(text: str, *, known: Iterable[str] = ()) -> str:
    """The whole text, a surrogate in place of every identifier that was found; less than `deidentify` removes.

    Doing it twice changes nothing.
    """
    text = _plain(marked(text))
    original = text
    text = _strike(text, known)
    for _ in range(_ROUNDS):  # what one rule finds tells another where to look
        before = text
        text = _labelled_names(replace_numbers(_labelled_numbers(text)))
        text = replace_again(replace_beside(replace_unknown(replace_names(text))), original)
        text = replace_unlisted(text)
        if text == before:
            break
    return written(text)


def _plain(text: str) -> str:
    """One spelling for every space, hyphen and invisible character, so that none of them hides an identifier."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"[\u00ad\u200b-\u200f\u2060\ufeff]", "", text)
    text = re.sub(r"\n\s*\n\s*", "\n\n", text)
    text = re.sub(r"[ \t]{16,}", " " * 16, text)
    text = re.sub(r"([-_=*.~#+])\1{8,}", r"\1" * 8, text)
    text = re.sub(rf"[!-~]{{{LONGEST_WORD + 1},}}", IDENTIFIER, text)
    return re.sub(r"[\u2010-\u2013\u2212]", "-", re.sub(r"[\u00a0\u2000-\u200a\u202f\u3000]", " ", text))


def _strike(text: str, known: Iterable[str]) -> str:
    """Words from the patient's own headers; single words of medicine among them stay (`Chest`, of a ward's name)."""
    for word in sorted({word.strip() for word in known}, key=len, reverse=True):
        if len(word) < 3 or (word.isalpha() and is_ordinary(word)):
            continue
        surrogate = NAME if not any(letter.isdigit() for letter in word) else IDENTIFIER
        pattern = r"[\s,^]+".join(map(re.escape, re.split(r"[\s^]+", word)))
        text = re.sub(rf"(?<!\w){pattern}(?!\w)", surrogate, text, flags=re.IGNORECASE)
    return text


def _labelled_numbers(text: str) -> str:
    text = _HOUSED.sub(rf"\g<label>{ADDRESS}", text)
    text = _CALLED.sub(rf"\g<label>{PHONE}", text)
    text = _DATED.sub(_dated, text)
    return _NUMBERED.sub(rf"\g<label>{IDENTIFIER}", text)


def _labelled_names(text: str) -> str:
    text = _NAMED.sub(_named, text)
    return _PLACED.sub(_placed, text)


def _dated(match: re.Match[str]) -> str:
    """`Date: 12.3.21` but not `time 3 months` or `born at 28 weeks`."""
    label, value = match["label"], match["value"]
    separated = re.search(r"[:=]\s*$", label) or re.match(r"(?i)d\.?o|birth|born|geb", label)
    if (
        not separated
        or (value.isdigit() and len(value) < 4)
        or re.match(r"\d+\s*-?\s*(?:weeks?|months?|hours?|days?)", value)
    ):
        return match.group(0)
    return f"{label}{DATE}"


def _named(match: re.Match[str]) -> str:
    """The value is a name if it is short and stands behind a strong label, or if its words are none of medicine."""
    value = match["value"].strip()
    words = value.replace(",", " ").replace("^", " ").split()
    if not words or value[0] in MARKS or not re.search(_LETTERS, value):
        return match.group(0)
    if len(words) <= 6 and _STRONG.search(match["label"]) and not re.search(r"\d|:|\.\s+[A-Z]\w{3}", value):
        return f"{match['label']}{NAME}"
    count = 0
    for word in words:
        if word[0].isdigit() or (
            is_ordinary(word) and not re.fullmatch(r"(?:[A-Z]\.?|Drs?\.?|M[rs]s?\.?|[Jj]r\.?)", word)
        ):
            break
        count += 1
    if count == 0 or (count == 1 and words[0].islower() and len(words) > 1):
        return match.group(0)
    rest = re.split(r"[\s,^]+", value, maxsplit=count)[count:]
    return f"{match['label']}{NAME}" + (f" {rest[0]}" if rest else "")


def _placed(match: re.Match[str]) -> str:
    value = match["value"]
    return (
        match.group(0) if all(map(is_ordinary, re.findall(rf"{_LETTERS}+", value))) else f"{match['label']}{HOSPITAL}"
    )

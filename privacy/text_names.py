"""Names of people and hospitals in report text: behind a label, beside a title or degree, after "discussed with", in
letterheads, and, without any of those, where two capitalised words in a row are no words of medicine.

No list holds everybody's name, so the rules ask where a name stands and not whether it is known; `clinical_words.txt`
and `eponyms.txt` protect what is not a name, `given_names.txt` catches what stands alone.
"""

from __future__ import annotations

import re
from typing import Final

from privacy.surrogates import ADDRESS, DATE, HOSPITAL, MARKS, NAME
from privacy.text_words import is_also_surname, is_english, is_eponym, is_given_name, is_known, is_ordinary

_UPPER = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĘĚĞĢĪĮİĶŁĻĽŃŅŇŐŒŘŚŞŠŢŤŪŮŰŲŹŻŽ"
_LETTER = rf"{_UPPER}a-zß-öø-ÿāăąćčďđēęěğģīįıķłļľńņňőœřśşšţťūůűųźżž"
_PARTICLE = (
    r"(?:mac|mc|ní|nic|ui|uí|ó|an|van|von|der|den|de|del|della|di|da|dos|du|la|le|el|al|bin|bint|ibn|ter|ten|zu|af|y|e)"
)
_SUFFIX = r"(?:Jr|Sr|II|III|IV)\b\.?"
CAPITAL: Final = rf"(?:(?:[OD]['’]|Ma?c|[Aa]l-)?[{_UPPER}][{_LETTER}'’]{{0,40}}(?:-[{_LETTER}\d'’]{{1,40}}){{0,4}})"
"""One capitalised word: Smith, O'Neil, McArdle, Al-Sayed, Smith-Jones, VANDERBERG."""
INITIAL: Final = rf"[{_UPPER}]\."
_DEGREE = (
    r"(?:M\.?D\.?|D\.?O\.?|M\.?B\.?B\.?S\.?|M\.?B\.?Ch\.?B\.?|FRCR|FRCS|FRCP|FRANZCR|MRCP|FACR|Ph\.?D\.?|R\.?N\.?|"
    r"P\.?A\.?-?C?|N\.?P\.?|R\.?T\.?(?:\s?\(R\))?|B\.?Sc\.?|M\.?Sc\.?|DMRD|FFR|CRNP|DNP|MPH)"
)
_PERSON = (
    rf"(?:{INITIAL}\s?|{_PARTICLE}\s+){{0,3}}{CAPITAL}"
    rf"(?:[ \t]+(?:{INITIAL}|{_SUFFIX}|{_PARTICLE}(?=\s)|{CAPITAL})){{0,4}}"
)
_TITLE = (
    r"(?:(?:Dr|DR|Prof|PROF|Mr|MR|Mrs|MRS|Ms|MS|Mx|Drs|Sr|Sra|Hr|Fr|Rev|Mme|Mlle|Dott|Pr)\.|Dr|Drs|Prof|Professor|"
    r"PROFESSOR|Mr|Mrs|MRS|Ms|Mx|Miss|MISS|Doctor|Nurse|Sister|Matron|Sir|Dame|Lord|Lady|Herr|Frau|Señora?|Monsieur|"
    r"Madame|Mme|Mlle|Signora?|Dottore(?:ssa)?)"
)
_HOSPITAL_KINDS = (
    "(?:Hospitals?|Clinics?|Infirmary|Medical (?:Cent(?:er|re)|Group|Associates|School)|"
    "Health(?:care)? (?:System|Services?|Trust|Board|Cent(?:er|re)|Network|Group|Partners)|"
    "Healthcare|Imaging (?:Cent(?:er|re)|Associates|Group|Partners)|Radiology (?:Associates|Group|Partners)|"
    "NHS (?:Foundation )?Trust|Foundation Trust|University|Institute|Klinikum|Klinik|Krankenhaus|Spital|"
    "(?:Breast |Women's |Advanced |Open |Diagnostic )Imaging|(?:Orthopaedic|Orthopedic|Spine|Heart|Eye|MRI|"
    "Imaging) (?:Cent(?:er|re)|Institute)|Health District|"
    "(?:Cardiology|Orthop(?:a)?edics?|Neurology|Pulmonary|Oncology|Cancer|Family|Surgical|Women's|"
    "Vascular) (?:Partners|Associates|Group|Practice)|"
    "Ziekenhuis|Sanatorium|Hospice|Polyclinic|Surgery Cent(?:er|re)|Cancer Cent(?:er|re)|Diagnostics)"
)
_HOSPITAL_WORD = f"(?:{_HOSPITAL_KINDS}|{_HOSPITAL_KINDS.upper()})"
_CONTACT = (
    r"(?:(?:discussed|reviewed|communicated|spoken|spoke|talked|agree[ds]?|concur(?:red|s)?|conferred|relayed|shared|"
    r"correlated|co-?signed|phoned)\s+(?:\w+\s+){0,3}?(?:with|to|by|w/)|"
    r"(?:telephoned|informed|notified|called|paged|phoned|contacted|alerted|told|emailed)(?:\s+(?:to|by))?|"
    r"(?:dictated|signed|reported|read|interpreted|verified|approved|authenticated|transcribed|typed|referred|"
    r"requested|"
    r"ordered|performed|seen|examined|finali[sz]ed|authori[sz]ed|attested|supervised|accompanied|treated|operated|"
    r"injected|scanned|protocolled|prepared|entered|checked|written|consented)\s+(?:electronically\s+)?(?:on\s+"
    + DATE
    + r"\s+)?by|"
    r"(?:daughter|son|wife|husband|mother|father|sister|brother|spouse|partner|carer|guardian|aunt|uncle|niece|nephew|"
    r"colleague|neighbou?r|next of kin|attn|attention|cc|care of|c/o|on behalf of|dear|named|known as|called|patient)|"
    r"(?:surgeon|radiologist|consultant|registrar|resident|physician|radiographer|technologist|sonographer|operator|"
    r"attending|fellow|GP|PCP|oncologist|neurologist|cardiologist|pulmonologist|nurse|transcriptionist|author))"
)


def _person_end(words: list[str], *, first_is_name: bool) -> int:
    """How many of these words are the name: it ends where a word of medicine begins (but `Jane White` has two)."""
    count = 0
    for word in words:
        bare = word.strip(".,")
        before = [one.strip(".,") for one in words[:count]]
        after_given = count > 0 and (all(len(one) == 1 or is_given_name(one) for one in before) or len(before[-1]) == 1)
        if (
            count > 0
            and all(len(one) == 1 for one in before)
            or (count == 0 and bare.istitle() and is_also_surname(bare))
        ):
            count += 1
            continue
        shouted = count > 0 and bare.isupper() and len(bare) > 1 and is_english(bare) and not is_given_name(bare)
        known = len(bare) > 1 and (is_ordinary(bare) or shouted)
        if known and not (after_given and not shouted) and not (first_is_name and count == 0):
            break
        count += 1
    return count


def _replace_person(match: re.Match[str], *, first_is_name: bool) -> str:
    person = match["person"]
    pieces = re.split(r"(\s+)", person)
    words = pieces[::2]
    count = _person_end(words, first_is_name=first_is_name)
    if count == 0:
        return match.group(0)
    rest = "".join(pieces[2 * count - 1 :])
    lead = match.group(0)[: match.start("person") - match.start()]
    return f"{lead}{NAME}{rest}{match.group(0)[match.end('person') - match.start() :]}"


_CARET = re.compile(rf"\b[{_LETTER}'’-]{{2,}}\^[{_LETTER}][{_LETTER}'’.-]*(?:\^[{_LETTER}'’.-]*)*")
_DEGREED = re.compile(rf"\b(?P<person>{_PERSON})(?:,?\s+{_DEGREE}(?![\w])\.?)+")
_TITLED = re.compile(rf"\b{_TITLE}[ \t]*(?:{_TITLE}[ \t]*)*(?P<person>{_PERSON})")
_TITLED_LOW = re.compile(
    rf"\b(?:dr|prof|mr|mrs|ms|miss)\.?\s+(?:{_PARTICLE}\s+){{0,2}}(?P<person>[{_LETTER}][{_LETTER}'’-]+)", re.IGNORECASE
)
_CONTACTED = re.compile(
    rf"\b(?i:{_CONTACT})\b\s*[:,]?\s*(?:(?i:with|by|is|was|the|his|her|nurse|sister|doctor|dr\.?|prof\.?|mr\.?|"
    rf"mrs\.?|ms\.?|attending|resident|radiologist|surgeon|consultant|registrar|RN|NP|"
    rf"PA)\s+){{0,3}}(?P<person>{_PERSON}(?:,\s+{_PERSON})?)"
)
_REVERSED = re.compile(
    rf"(?m)\b(?P<person>{CAPITAL},[ \t]+{CAPITAL}(?:[ \t]+(?:{INITIAL}|[{_UPPER}]\b|{CAPITAL})){{0,2}})"
    rf"(?=\s*(?:$|[{MARKS}]|\(|;|\||\d|[ \t]{{2}}))"
)
_RUN = re.compile(rf"(?<!\w){CAPITAL}(?:[ \t]+(?:{INITIAL}|{_PARTICLE}(?=\s+{CAPITAL})|{CAPITAL}))+(?![\w'’-])(?!\s*:)")
_INITIALLED = re.compile(rf"(?<![\w.])(?:{INITIAL}\s?){{1,3}}{CAPITAL}(?:-{CAPITAL})?")
_SINGLE = re.compile(rf"(?<!\w){CAPITAL}(?!\w)")
_HOSPITAL = re.compile(
    rf"\b(?:(?P<lead>(?:(?:St|ST|Mt|Ft)\.?|(?:[Oo]f|[Tt]he|de|la|&|and)|{CAPITAL})[ \t]+){{1,6}}){_HOSPITAL_WORD}\b"
    rf"(?:[ \t]+(?:of|de|at|in)(?:[ \t]+(?:the|{CAPITAL}))+|[ \t]+for[ \t]+(?:Sick[ \t]+)?(?:Children|"
    rf"Women|Neurology)|(?:,?[ \t]+{_HOSPITAL_WORD})+)*"
)
_HOSPITAL_OF = re.compile(
    rf"\b(?:Hospital|Clinic|University|Institute|Hôpital|Hospices?|Ospedale|Policlinico|CHU|Universitätsklinikum|"
    rf"Klinikum|"
    rf"Krankenhaus|Clinique|Clínica|Azienda)(?:[ \t]+(?:of|de|del|della|di|the|la|St\.?|Saint|San|"
    rf"Santa|{CAPITAL})){{1,5}}"
)


_PLACE_PREFIX = frozenset(
    "st saint mount mt fort ft port new north south east west lake old great upper lower royal".split()
)


def _replace_hospital(match: re.Match[str]) -> str:
    """Leading words of prose stay ("At the Emergency Department of Mercy Hospital")."""
    pieces = re.split(r"(\s+)", match.group(0))
    words = pieces[::2]
    strange = [
        i for i, word in enumerate(words) if not is_ordinary(word) or (is_also_surname(word) and not word.isupper())
    ]
    if not strange:
        return match.group(0)
    start = strange[0]
    while start > 0 and words[start - 1].lower().rstrip(".") in _PLACE_PREFIX:
        start -= 1
    first_kind = next((i for i, word in enumerate(words) if re.fullmatch(_HOSPITAL_WORD, word)), start)
    start = min(start, first_kind)
    return "".join(pieces[: 2 * start]) + HOSPITAL


_PLACE_BESIDE = re.compile(
    rf"(?:(?<={ADDRESS})[ \t]*,?[ \t]*(?P<after>{CAPITAL}(?:[ \t]+{CAPITAL}){{0,2}}(?:,[ "
    rf"\t]*[{_UPPER}]{{2}}\b)?)(?=[ \t]*(?:[,.;\n{MARKS}]|$)))"
    rf"|(?P<before>(?<=\n){CAPITAL}(?:[ \t]+{CAPITAL}){{0,2}})(?=,?[ \t]*{ADDRESS})"
)
_PLACE_IN = re.compile(
    rf"(?P<lead>\b(?:in|at|from|near|(?:resident|native|citizen) of|(?:travel\w*|trip|moved|"
    rf"transferred|flown|visit) to)[ \t]+)(?P<place>[{_UPPER}][a-zß-öø-ÿ]{{2,}}(?:[- "
    rf"][{_UPPER}][a-zß-öø-ÿ]{{2,}}){{0,2}})\b"
)


def _replace_place(match: re.Match[str]) -> str:
    """`in Brackenford`; `in Crohn disease` and `from Neurosurgery` stay."""
    words = re.split(r"[- ]", match["place"])
    if all(is_ordinary(word) for word in words) or any(is_eponym(word) for word in words):
        return match.group(0)
    count = next((i for i, word in enumerate(words) if is_ordinary(word) and i > 0), len(words))
    if is_ordinary(words[0]) and words[0].lower() not in _PLACE_PREFIX:
        return match.group(0)
    count = max(count, 2) if words[0].lower() in _PLACE_PREFIX and len(words) > 1 else count
    length = len(" ".join(words[:count]))
    return f"{match['lead']}{ADDRESS}{match['place'][length:]}"


def _replace_run(match: re.Match[str]) -> str:
    """Two or more capitalised words: the stretch between words of medicine is a name if it has two words of its own."""
    pieces = re.split(r"(\s+)", match.group(0))
    words = pieces[::2]
    ordinary = [(is_known(word) if word.isupper() else is_ordinary(word)) and not is_given_name(word) for word in words]
    first = next((i for i, known in enumerate(ordinary) if not known), None)
    if first is None:
        return match.group(0)
    last = max(i for i, known in enumerate(ordinary) if not known)
    stretch = words[first : last + 1]
    strange = [word for word in stretch if not (is_known(word) if word.isupper() else is_ordinary(word))]
    if len(stretch) < 2 or any(word.isupper() and len(word) > 2 for word in strange) and not _shouted_name(strange):
        return match.group(0)
    if all(is_eponym(word) or is_ordinary(word) for word in stretch) and not is_given_name(stretch[0]):
        return match.group(0)
    if len(strange) < 2 and not any(map(is_given_name, strange)):
        return match.group(0)
    return "".join(pieces[: 2 * first]) + NAME + "".join(pieces[2 * last + 1 :])


def _shouted_name(words: list[str]) -> bool:
    """Capital letters all through: abbreviations too look like that, so one of the words must be a known name."""
    return any(map(is_given_name, words)) or all(len(word) > 4 for word in words)


def replace_names(text: str) -> str:
    """Every name of a person or a hospital that the rules find, replaced by its surrogate."""
    text = _CARET.sub(NAME, text)
    text = _HOSPITAL.sub(_replace_hospital, text)
    text = _HOSPITAL_OF.sub(lambda match: match.group(0) if _all_ordinary(match) else HOSPITAL, text)
    text = _DEGREED.sub(lambda match: match.group(0) if is_ordinary(match["person"].split()[0]) else NAME, text)
    text = _TITLED.sub(lambda match: _replace_person(match, first_is_name=True), text)
    text = _TITLED_LOW.sub(
        lambda match: match.group(0) if is_ordinary(match["person"]) else _replace_person(match, first_is_name=True),
        text,
    )
    text = _CONTACTED.sub(lambda match: _replace_person(match, first_is_name=False), text)
    text = _REVERSED.sub(lambda match: match.group(0) if _any_ordinary(match) else NAME, text)
    text = _PLACE_BESIDE.sub(
        lambda match: match.group(0) if _all_ordinary(match) and not match["after"] else f" {ADDRESS}", text
    )
    text = _INITIALLED.sub(lambda match: match.group(0) if _only_ordinary(match) else NAME, text)
    text = _RUN.sub(_replace_run, text)
    text = _SINGLE.sub(lambda match: NAME if is_given_name(match.group(0)) else match.group(0), text)
    return _PLACE_IN.sub(_replace_place, text)


def _all_ordinary(match: re.Match[str]) -> bool:
    words = [word for word in re.findall(rf"[{_LETTER}'’-]+", match.group(0)) if len(word) > 1]
    return all(is_ordinary(word) or is_eponym(word) for word in words)


def _only_ordinary(match: re.Match[str]) -> bool:
    words = [word for word in re.findall(rf"[{_LETTER}'’-]+", match.group(0)) if len(word) > 1]
    return all(map(is_ordinary, words))


def _any_ordinary(match: re.Match[str]) -> bool:
    return any(is_ordinary(word) for word in re.findall(rf"[{_LETTER}'’-]+", match.group(0)) if len(word) > 1)

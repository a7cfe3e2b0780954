"""Which words of a report are words: of medicine, of English, of signs named after people, or a common given name.

The lists beside this file: `clinical_words.txt` (words of reports), `english_words.txt` (SCOWL, small letters only,
without words that are names), `eponyms.txt`, `abbreviations.txt` and `given_names.txt`; `also_names.txt` and
`also_rare_names.txt` say which words of reports are names too. Whatever is in none of the first four and has no medical
shape may be a name.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

from privacy.surrogates import MARKS

UPPER: Final = "A-ZÀ-ÖØ-ÞĀ-ŽȘȚ"  # Latin Extended-A mixes cases: `_capitalised` asks again
LETTER: Final = r"[^\W\d_]"
WORD: Final = rf"{LETTER}+(?:['’`-]{LETTER}+)*"
TOKEN: Final = re.compile(rf"(?<![\w{MARKS}@.])(?<![A-Za-z]['’]){WORD}(?![\w@])")
_SIGNS = (
    r"(?:diseases?|syndromes?|signs?|fractures?|nodes?|nodules?|cysts?|lines?|lesions?|deformit(?:y|ies)|"
    r"classification|grades?|"
    r"grading|types?|stages?|scores?|scale|criteria|index|indices|angles?|law|ligaments?|ducts?|spaces?|pouch|fossa|"
    r"canal|foramen|loop|"
    r"tumou?rs?|lymphoma|sarcoma|anomal(?:y|ies)|malformations?|hernias?|tubes?|catheters?|lines?|ports?|stents?|"
    r"shunts?|drains?|filters?|"
    r"procedure|operation|view|rings?|bod(?:y|ies)|contracture|aneurysms?|ulcers?|o?esophagus|pals(?:y|ies)|"
    r"phenomenon|triad|"
    r"sulcus|gyrus|area|arter(?:y|ies)|veins?|plexus|capsule|fascia|pad|ganglion|cave|triangle|thyroiditis|arthropathy|"
    r"dementia|cell|cells|fissures?|membrane|rods?|nails?|screws?|wires?|plates?|prosthesis|valve|formula|ratio|units?|"
    r"transition|maneuver|manoeuvre|test|stain|methods?|equation|diverticul(?:um|a)|staging|bands?|muscle|tendon|bursa|"
    r"gland|nerve|enzyme|virus|balloon|needle|cannula|clips?|cage|coils?|splint|brace|hole|stroke|program|protocol|"
    r"society|guidelines?|point|hip|dissection|repair|lobe|granulomatosis|vasculitis)"
)
BEFORE_A_SIGN: Final = re.compile(rf"(?:['’]s?)?(?:[ \t-]{WORD}(?:['’]s)?)?[ \t]+{_SIGNS}\b", re.IGNORECASE)
"""What stands between a surname and the disease, sign or tool that is named after it."""


@cache
def _words(name: str) -> frozenset[str]:
    lines = files("privacy").joinpath(name).read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


_MEDICAL_ENDING = re.compile(
    r"\w{3}(?:graph(?:y|ic|s)?|grams?|(?<!a)itis|itides|os[ie]s|omas?|omata|ectas[ie]s|path(?:y|ies|ic)|tomy|stomy|"
    r"scop(?:y|ic)|"
    r"log(?:y|ist|ists|ical)|a?emi[ac]|plast[yi]\w*|megaly|penia|algia|cytes?|cytic|genic|trophy|plasia|pnoea|pnea|"
    r"rrh(?:age|agic|oea|ea)|metry|metric|axial|bilateral|lateral|ectatic|otic|sclerotic|thoracic|sternal|costal|"
    r"phrenic|vertebral|cranial|spinal|hilar|basilar|cardial|vascular|pulmonary|ventricular|arterial|venous|"
    r"pleural|peritoneal|abdominal|pelvic|renal|hepatic|splenic|gastric|ileal|jejunal|colonic|osseous|articular|"
    r"muscular|cutaneous|dural|arachnoid|meningeal|hyoid|glottic|tracheal|bronchial|alveolar|lobar|lobular|acinar|"
    r"nodular|cystic|fibrotic|calcific|densit(?:y|ies)|intens(?:e|ity|ities)|dense|attenuat(?:ed|ing|ion)|lucen(?:t|"
    r"cy|cies)|"
    r"\w{2}(?:mab|nib|vir|cillin|mycin|azole|statin|pril|sartan|olol|floxacin|cycline|parin|dipine|tidine|gliptin|"
    r"gliflozin|glutide))$"
)
_ENGLISH_ENDING = re.compile(
    r"(?:tension|ation|ations|ing|edly?|ous|ular|ical|ated|ened|ized|ised|ments?|ness|ly|sions?|tions?|[it]ies)$"
)
_MEDICAL_BEGINNING = re.compile(
    r"(?:pneumo|hydro|cardio|hepat|nephr|haemo|hemo|intra|inter|periv|perit|perib|perih|perin|parav|parat|parah|parap|"
    r"supra|infra|retro|hyper|hypo|osteo|neuro|angio|broncho|pleuro|gastro|entero|chole|cysto|fibro|lympho|thrombo|"
    r"spondyl|craniot|cranio|ventriculo|vertebro|costo|sterno|thoraco|laparo|cortico|micro|macro|multi|postop|preop|"
    r"subcut|subseg|subph|subdi|subca|subpl|extra|endo|radio|electro|cerebro|cerebell|dextro|levo|kypho|scolio|arthro|"
    r"tracheo|oesoph|esoph|pancreat|duoden|splen|ureter|prostat|uter|arterio|atheros|metast|calcif|degenerat)\w*"
    r"(?:al|ally|ar|ic|ous|ed|ent|ary|ia|ias|is|es|ion|ions|ity|ive|oid|um|us|ae|a|ine|ing|ise|ize|ure|ures|ant|ex|"
    r"ces|ness|y|ate|s|ment|"
    r"gram|graphy|scope)$"
)
_PREFIXED = re.compile(
    r"(?:non|post|pre|sub|supra|semi|super|re|un|bi|tri|mid|trans|ultra|pseudo|anti|over|under)(?P<rest>[a-z]{5,})$"
)


def is_ordinary(word: str) -> bool:
    """A word of medicine or of any report."""
    if re.fullmatch(r"[a-z]{1,4}-rads", word.lower()):
        return True
    lower = word.lower().rstrip(".,'’s") if word.lower().endswith(("'s", "’s")) else word.lower().rstrip(".,")
    parts = [part for part in re.split(r"[-/]", lower) if part]
    short = 2 if any(len(part) > 2 and _of_medicine(part) for part in parts) else 1  # `Legionella-Ag`
    return all(len(part) <= short or part.isdigit() or _of_medicine(part) for part in parts)


def _of_medicine(word: str) -> bool:
    return (
        word in _words("clinical_words.txt")
        or bool(_MEDICAL_ENDING.search(word))
        or (len(word) >= 8 and bool(_MEDICAL_BEGINNING.match(word)))
        or (len(word) > 5 and bool(_ENGLISH_ENDING.search(word)) and word in _words("english_words.txt"))
        or _prefixed(word)
    )


def _prefixed(word: str) -> bool:
    """`nonobstructive`, `redemonstrated`: a prefix before a word of medicine of five letters or more."""
    match = _PREFIXED.match(word)
    return match is not None and _of_medicine(match["rest"])


def is_english(word: str) -> bool:
    """A word of general English, whether or not it is also somebody's name."""
    return all(part in _words("english_words.txt") for part in re.split(r"[-/]", _bare(word)) if len(part) > 2)


def is_eponym(word: str) -> bool:
    """A surname that in prose is mostly a sign or a disease."""
    return all(part in _words("eponyms.txt") for part in re.sub(r"['’]s$", "", word.lower()).split("-"))


_ALSO_SURNAMES = frozenset(
    "young white green rich short little long price hand head foot day march may april june august good small king pos"
    "t read sharp more "
    "man ward wall black brown gray grey stone wood hill best case field page power love hope mark marks burns park pa"
    "rks pain bone "
    "heart ray waters early deep house bond gross robin cross joy tia pons per bud manning fleming browning harding go"
    "lding keating downing dowling honing".split()
)


def is_also_surname(word: str) -> bool:
    """A word of reports that is a surname where it stands where surnames stand."""
    return word.lower() in _ALSO_SURNAMES


def is_listed(word: str) -> bool:
    """A word of medicine or of any report by the list itself, not by its ending or beginning."""
    return word.lower() in _words("clinical_words.txt")


def is_also_name(word: str) -> bool:
    """A word of reports or an eponym that is also a common surname or given name."""
    return re.sub(r"['’]s$", "", word.lower()) in _words("also_names.txt")


def is_also_rare_name(word: str) -> bool:
    """A word of reports or an eponym that is also somebody's name, however rare."""
    return is_also_name(word) or re.sub(r"['’]s$", "", word.lower()) in _words("also_rare_names.txt")


def is_abbreviation(word: str) -> bool:
    """An abbreviation that reports use, in any case, or a Roman number."""
    if re.fullmatch(r"[IVX]{2,5}[abc]?", word):
        return True
    return word.lower().rstrip("s") in _words("abbreviations.txt") or word.lower() in _words("abbreviations.txt")


_FILLERS = frozenset(
    """a an the and or of in on at to for from with by as is are was were be been has have had do does did can could may
    might must should will would no not but if then than that this these those there here it its he she they we you us
    our his her him who whom what when where why how which while so such too very about after before during since until
    up down out off into upon per via like well also again still now mr mrs ms dr prof miss sir madam told asked said
    says called phoned rang seen see saw spoke spoken discussed reviewed review reported agreed agrees informed notified
    contact contacted please thank thanks hello hi dear regards sincerely signed copy cc""".split()
)


def is_filler(word: str) -> bool:
    """An article, pronoun, preposition, form of address and the like: says nothing about the words beside it."""
    return word.lower() in _FILLERS


_STATIONERY = frozenset(
    """a age and am at attn author by cc clinic dear department dept dictated dob dr date birth electronically email e
    exam examination f fax female first family full gender given hospital id is last m male maiden mail md mr mrs ms
    mrn name nhs no nr number of on or order page patient phone physician pm prof pt radiology radiologist re read ref
    referring report reported sex signed ssn study tel telephone the time title to transcribed verified www accession
    acc account approved attending authenticated address admission admitted born consultant department discharge
    encounter facility finalized forename gp home imaging insurance institution interpreted kin next mobile ordering
    over pager printed provider record medical requested requesting referred resident registrar reviewed room service
    surname unit visit ward x year years yo y o old consultation fellow attested bed ext frcr phd mbbs d t location
    policy member contact emergency cell work this document was has been generated confidential diagnostic
    section center centre infirmary practice surgery health care trust associates university diagnostics
    hospitals clinics""".split()
)


def is_stationery(word: str) -> bool:
    """A word of letterheads, labels and signatures: with nothing else beside it, a line says nothing medical."""
    return word.lower() in _STATIONERY


def is_given_name(word: str) -> bool:
    """A common given name, in any case."""
    return word.lower() in _words("given_names.txt")


def is_known(word: str) -> bool:
    """In some list, or of a medical shape: whatever is not may be a name. Parts of a compound count each."""
    parts = [part for part in re.split(r"[-/]", _bare(word)) if len(part) > 2 or part in ("ng", "le", "li", "wu", "xu")]
    return is_ordinary(word) or all(_of_medicine(part) or is_english(part) or is_eponym(part) for part in parts)


def _bare(word: str) -> str:
    return re.sub(r"(?:['’]s|['’]|\.)$", "", word.lower())


def may_be_name(word: str) -> bool:
    """Capitalised, and no word of medicine."""
    return word[0].isupper() and len(word) > 1 and (is_given_name(word) or not is_ordinary(word))


def text_after(match: re.Match[str]) -> str:
    """A little of what follows a match."""
    return match.string[match.end() : match.end() + 60]

"""De-identification of headers: an allow-list decides what is read at all, and keyed hashes replace who it is about.

A deny-list forgets (of three public tools, two left 24 and 26 of 59 identifying elements in place), so nothing that is
not in `KEPT` or `IDENTIFYING` is ever parsed. `IDENTIFYING` elements are read for two purposes only, in memory: to make
keyed hashes, and to know which words to strike from the patient's own reports. Free text in `KEPT` (descriptions) is
looked at to choose a flow and is never stored: what is stored comes out of the closed vocabularies below.

Text burned into pixels and faces are the readers' concern (`client.records.burned_text`, `deface`), under the site's
policy.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Elements that are read to make an image and to choose its flow: the reason first, then what it needs.
READ_FOR: Mapping[str, tuple[str, ...]] = {
    "how the pixels are laid out": (
        "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
        "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RedPaletteColorLookupTableDescriptor",
    ),
    "the pixels themselves": (
        "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    ),
    "what a stored value means: Hounsfield units, padding, the window of a radiograph": (
        "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleIntercept", "RescaleSlope", "RescaleType",
        "ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    ),
    "square pixels, and which way is up and left": (
        "PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio", "PatientOrientation", "ImageOrientationPatient",
    ),
    "what must be refused or defaced: captures, documents, burned-in text, synthetic images, scouts, faces": (
        "SOPClassUID", "ImageType", "ConversionType", "BurnedInAnnotation", "SyntheticData", "RecognizableVisualFeatur"
                                                                                             "es",
    ),
    "which flow, body part and view": (
        "SpecificCharacterSet", "Modality", "BodyPartExamined", "ViewPosition", "StudyDescription",
        "SeriesDescription", "ProtocolName",
    ),
    "which MRI sequence": (
        "SequenceName", "ScanningSequence", "SequenceVariant", "RepetitionTime", "EchoTime", "InversionTime",
        "DiffusionBValue", "AcquisitionContrast",
    ),
    "any of the above, frame by frame, in an enhanced multi-frame object": (
        "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    ),
}  # fmt: skip
KEPT = tuple(keyword for keywords in READ_FOR.values() for keyword in keywords)
"""All of them."""

IDENTIFYING = tuple(
    (
        "PatientID IssuerOfPatientID AccessionNumber StudyInstanceUID PatientName PatientBirthName OtherPatientIDs "
        "PatientMotherBirthName OtherPatientNames PatientBirthDate PatientAddress PatientTelephoneNumbers "
        "ReferringPhysicianName PerformingPhysicianName NameOfPhysiciansReadingStudy OperatorsName StationName "
        "RequestingPhysician PhysiciansOfRecord InstitutionName InstitutionAddress StudyID DeviceSerialNumber"
    ).split()
)
"""Elements that are read only to be hashed, or struck from reports."""

_HASH_BYTES = 16

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DOCUMENTS = ("1.2.840.10008.5.1.4.1.1.88", "1.2.840.10008.5.1.4.1.1.104")  # structured reports; PDF, CDA, models
_CAPTURED = ("SCREEN SAVE", "SCREEN_SAVE", "SCREENSAVE", "SCREEN CAPTURE", "SCREENSHOT", "DOSE_INFO")


def refusal_of_text(*, sop_class: str, burned_in: str = "", image_type: Iterable[str] = ()) -> str | None:
    """Why an object may show or hold identifying text, or None: `secondary-capture`, `burned-in-annotation` or
    `document` (structured report, encapsulated PDF).

    Takes the values of SOPClassUID, BurnedInAnnotation and ImageType as they stand. An absent BurnedInAnnotation is
    not held against an image: few scanners write it.
    """
    kind = sop_class.strip(" \0")
    if kind.startswith(_DOCUMENTS):
        return "document"
    words = {word.strip().upper() for word in image_type}
    if kind == _SECONDARY_CAPTURE or kind.startswith(f"{_SECONDARY_CAPTURE}.") or words & set(_CAPTURED):
        return "secondary-capture"
    return "burned-in-annotation" if burned_in.strip(" \0").upper() == "YES" else None


@dataclass(frozen=True, repr=False)
class Identity:
    """Who a file is about. Prints nothing; never stored, logged or sent."""

    patient_id: str = ""
    issuer: str = ""
    examination: str = ""
    """Accession number, or else the study's UID."""
    known: tuple[str, ...] = ()
    """Identifying words to strike from this patient's reports."""

    def __repr__(self) -> str:
        return "Identity(hidden)"


class Pseudonyms:
    """Keyed hashes (HMAC-SHA256, 128 bits, hex) under the site's pseudonym key; without it nobody can go back.

    A plain hash would not do: patient numbers are few enough to try them all.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Pseudonyms(hidden)"

    def patient(self, identity: Identity) -> str:
        """The pseudonym: equal for equal patient id and issuer."""
        return self.of("patient", identity.issuer.strip(), identity.patient_id.strip())

    def imaging_study(self, examination: str) -> str:
        """Equal for images and reports of one accession."""
        return self.of("imaging-study", examination.strip())

    def of(self, kind: str, *words: str | bytes) -> str:
        """A keyed hash of some words, never equal across kinds."""
        digest = hmac.new(self._key, digestmod=hashlib.sha256)
        for word in (kind, *words):
            content = word if isinstance(word, bytes) else word.encode()
            digest.update(len(content).to_bytes(8, "big"))
            digest.update(content)
        return digest.digest()[:_HASH_BYTES].hex()


def identity_of(header: Any, *, with_known: bool = False) -> Identity:
    """Who a pydicom data set read with `IDENTIFYING` is about. `with_known` also gathers the words to strike."""
    return Identity(
        patient_id=_word(header, "PatientID"),
        issuer=_word(header, "IssuerOfPatientID"),
        examination=_word(header, "AccessionNumber") or _word(header, "StudyInstanceUID"),
        known=tuple(known_words(_word(header, name) for name in IDENTIFYING)) if with_known else (),
    )


#: Parts of institutions and addresses that are also everyday words of a report; alone they name nobody.
_EVERYDAY = frozenset(
    "hospital hospitals clinic center centre university medical general health healthcare department dept radiology "
    "imaging institute saint street road lane avenue drive north south east west central city county state new old "
    "main chest head brain heart body spine xray x-ray mri scan scanner room unit ward anonymous unknown none test the "
    "and".split()
)
_LEAST_WORD, _LEAST_NUMBER = 3, 5


def known_words(values: Iterable[str]) -> list[str]:
    """Every value and every telling part of it, longest first."""
    words: set[str] = set()
    for value in values:
        parts = [value, value.replace("^", " ").strip(), *re.split(r"[\\^=,;/\s]+", value)]
        words.update(part.strip(" .:()") for part in parts)
    return sorted(filter(_telling, words), key=lambda word: (-len(word), word))


def _telling(word: str) -> bool:
    least = _LEAST_NUMBER if re.fullmatch(r"[\d\W]+", word) else _LEAST_WORD
    return len(word) >= least and word.lower() not in _EVERYDAY


def _word(header: Any, name: str) -> str:
    try:
        value = header.get(name)
    except Exception:  # a value that cannot be decoded says nothing about anybody
        return ""
    if value is None:
        return ""
    text = "\\".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text.strip(" \0")


#: Words by which a body part may be stored: what to look for, and what is stored for it. First match wins.
BODY_PARTS: Mapping[str, str] = {
    "cspine": "spine", "tspine": "spine", "lspine": "spine", "spine": "spine", "breast": "breast", "heart": "heart",
    "cardiac": "heart", "chest": "chest", "thorax": "chest", "lung": "chest", "abdomen": "abdomen", "abd": "abdomen",
    "pancreas": "abdomen", "liver": "abdomen", "kidney": "abdomen", "pelvis": "pelvis", "hip": "pelvis",
    "prostate": "pelvis", "brain": "brain", "head": "head", "skull": "head", "neck": "neck", "extremity": "extremity",
    "face": "head", "facial": "head", "sinus": "head", "sinuses": "head", "orbit": "head", "orbits": "head",
    "mandible": "head", "maxilla": "head", "jaw": "head", "dental": "head", "cranium": "head", "cranial": "head",
    "cerebral": "brain", "pituitary": "brain", "sella": "brain", "iac": "head", "mastoid": "head", "carotid": "neck",
    "larynx": "neck", "thyroid": "neck", "hand": "extremity", "wrist": "extremity", "foot": "extremity",
    "ankle": "extremity", "knee": "extremity", "elbow": "extremity", "shoulder": "extremity", "arm": "extremity",
    "leg": "extremity", "femur": "extremity",
}  # fmt: skip
VIEW_POSITIONS: Mapping[str, str] = {
    "PA": "PA", "AP": "AP", "L": "LATERAL", "LL": "LATERAL", "RL": "LATERAL", "LAT": "LATERAL", "LATERAL": "LATERAL",
}  # fmt: skip


def body_part(*sayings: str) -> str:
    """The first body part of the vocabulary named in these words, or nothing."""
    for saying in sayings:
        words = re.findall(r"[a-z]+", saying.lower())
        for word in words:
            if word in BODY_PARTS:
                return BODY_PARTS[word]
    return ""


def view_position(saying: str) -> str:
    """`PA`, `AP`, `LATERAL` or nothing."""
    first, *_ = [*re.findall(r"[A-Z]+", saying.upper()), ""]
    return VIEW_POSITIONS.get(first, "")

"""Headers: nothing outside the allow-list is read, nobody goes back from a pseudonym, text in pixels is refused."""

from __future__ import annotations

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from privacy.deidentify import (
    IDENTIFYING,
    KEPT,
    READ_FOR,
    Pseudonyms,
    identity_of,
    known_words,
    refusal_of_text,
)

_NEVER = (
    "PatientComments ImageComments AdditionalPatientHistory PatientAge PatientSex StudyDate StudyTime ContentDate "
    "OverlayData OverlayDescription IconImageSequence RequestAttributesSequence PrivateInformation "
    "EncapsulatedDocument ContentSequence CurveData AcquisitionDateTime Occupation EthnicGroup"
).split()


def _header() -> Dataset:
    header = Dataset()
    header.PatientID, header.IssuerOfPatientID = "PH01234567", "Mercy"
    header.PatientName, header.AccessionNumber = "OKONKWO^AMARA", "ACC1234567C"
    header.StudyInstanceUID, header.InstitutionName = "1.2.3.4", "St. Petrova Hospital"
    return header


def test_every_keyword_is_a_dicom_element_and_stands_once() -> None:
    names = [*KEPT, *IDENTIFYING]
    assert len(set(names)) == len(names)
    assert all(tag_for_keyword(name) is not None for name in names)
    assert all(reason and keywords for reason, keywords in READ_FOR.items())


def test_nothing_that_only_identifies_is_on_the_allow_list() -> None:
    assert not set(_NEVER) & {*KEPT, *IDENTIFYING}
    assert not set(KEPT) & set(IDENTIFYING)
    assert not [
        name for name in KEPT if name.startswith(("Patient", "Referring", "Institution")) and "Orient" not in name
    ]


def test_a_hash_never_equals_one_of_another_kind_or_another_division_of_words() -> None:
    names = Pseudonyms(b"a" * 32)
    hashes = [
        names.of("patient", "ab", "c"), names.of("patient", "a", "bc"), names.of("patient", "abc"),
        names.of("patient", "", "abc"), names.of("imaging-study", "abc"), names.imaging_study("abd"),
    ]  # fmt: skip
    assert len(set(hashes)) == len(hashes)
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in hashes)


def test_known_words_hold_every_part_of_every_identifying_value() -> None:
    known = identity_of(_header(), with_known=True).known
    assert {"OKONKWO", "AMARA", "PH01234567", "ACC1234567C", "Petrova", "OKONKWO AMARA"} <= set(known)
    assert list(known) == sorted(known, key=lambda word: (-len(word), word))
    assert known_words(["", "a", "  "]) == []
    assert identity_of(_header()).known == ()


@pytest.mark.parametrize(
    ("sop_class", "burned_in", "image_type", "why"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "NO", ("ORIGINAL", "PRIMARY", "AXIAL"), None),
        ("1.2.840.10008.5.1.4.1.1.2", "", (), None),
        ("1.2.840.10008.5.1.4.1.1.77.1.6", "", (), None),
        ("1.2.840.10008.5.1.4.1.1.1", " yes", (), "burned-in-annotation"),
        ("1.2.840.10008.5.1.4.1.1.7", "NO", (), "secondary-capture"),
        ("1.2.840.10008.5.1.4.1.1.7.2\0", "NO", (), "secondary-capture"),
        ("1.2.840.10008.5.1.4.1.1.2", "", ("DERIVED", "SECONDARY", "Screen Save"), "secondary-capture"),
        ("1.2.840.10008.5.1.4.1.1.88.33", "", (), "document"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "", (), "document"),
    ],
)
def test_objects_that_may_hold_text_are_refused(
    sop_class: str, burned_in: str, image_type: tuple[str, ...], why: str | None
) -> None:
    assert refusal_of_text(sop_class=sop_class, burned_in=burned_in, image_type=image_type) == why

"""Headers: nothing outside the allow-list is read, nobody goes back from a pseudonym, text in pixels is refused."""

from __future__ import annotations

import itertools

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from privacy.deidentify import (
    BODY_PARTS,
    IDENTIFYING,
    KEPT,
    READ_FOR,
    Identity,
    Pseudonyms,
    body_part,
    identity_of,
    known_words,
    refusal_of_text,
    view_position,
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


def test_equal_patients_have_equal_pseudonyms_and_others_do_not() -> None:
    ours, theirs = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    people = [
        Identity(patient_id=one, issuer=issuer) for one, issuer in itertools.product(("1", "2", "12"), ("", "2", "A"))
    ]
    assert len({ours.patient(person) for person in people}) == len(people)
    assert ours.patient(Identity(patient_id=" 1 ")) == ours.patient(Identity(patient_id="1"))
    assert ours.patient(people[0]) != theirs.patient(people[0])


def test_a_hash_never_equals_one_of_another_kind_or_another_division_of_words() -> None:
    names = Pseudonyms(b"a" * 32)
    hashes = [
        names.of("patient", "ab", "c"), names.of("patient", "a", "bc"), names.of("patient", "abc"),
        names.of("patient", "", "abc"), names.of("imaging-study", "abc"), names.imaging_study("abd"),
    ]  # fmt: skip
    assert len(set(hashes)) == len(hashes)
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in hashes)


def test_an_identity_and_its_key_print_nothing() -> None:
    identity = identity_of(_header(), with_known=True)
    shown = f"{identity!r} {identity} {Pseudonyms(b'secret' * 6)!r}"
    assert not any(word.lower() in shown.lower() for word in (*identity.known, "secret"))


def test_known_words_hold_every_part_of_every_identifying_value() -> None:
    known = identity_of(_header(), with_known=True).known
    assert {"OKONKWO", "AMARA", "PH01234567", "ACC1234567C", "Petrova", "OKONKWO AMARA"} <= set(known)
    assert list(known) == sorted(known, key=lambda word: (-len(word), word))
    assert known_words(["", "a", "  "]) == []
    assert identity_of(_header()).known == ()


def test_the_examination_is_the_accession_number_or_else_the_study() -> None:
    header = _header()
    assert identity_of(header).examination == "ACC1234567C"
    header.AccessionNumber = ""
    assert identity_of(header).examination == "1.2.3.4"
    assert identity_of(Dataset()) == Identity()


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


def test_only_words_of_the_vocabularies_come_out_of_free_text() -> None:
    sayings = ("OKONKWO AMARA", "CHEST of Mr. Doe", "Schädel/Head 12.3.2021", "")
    assert {body_part(saying) for saying in sayings} <= {*BODY_PARTS.values(), ""}
    assert body_part("Mr. Handy") == "" and body_part("", "THORAX routine") == "chest"
    assert [view_position(one) for one in ("PA", "lat", "DOE", "")] == ["PA", "LATERAL", "", ""]

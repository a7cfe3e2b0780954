"""Only listed elements of a header are parsed, names become keyed hashes, and what may be stored is a word of ours."""

from __future__ import annotations

import hashlib
import hmac
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_has_tag, tag_for_keyword
from pydicom.dataset import Dataset

from privacy.deidentify import (
    BODY_PARTS,
    IDENTIFYING,
    KEPT,
    VIEW_POSITIONS,
    Identity,
    Pseudonyms,
    body_part,
    identity_of,
    known_words,
    view_position,
)


def test_the_lists_name_real_elements_and_do_not_overlap() -> None:
    for name in (*KEPT, *IDENTIFYING):
        tag = tag_for_keyword(name)
        assert tag is not None and dictionary_has_tag(tag), name
    assert not set(KEPT) & set(IDENTIFYING)


@pytest.mark.parametrize(
    "name",
    ["PatientName", "PatientID", "PatientBirthDate", "PatientAddress", "PatientComments", "OtherPatientIDs",
     "ReferringPhysicianName", "InstitutionName", "AccessionNumber", "StudyInstanceUID", "DeviceSerialNumber",
     "ImageComments", "OverlayData", "IconImageSequence", "PatientAge", "StudyDate"],
)  # fmt: skip
def test_nothing_identifying_is_among_the_kept(name: str) -> None:
    assert name not in KEPT


def test_a_pseudonym_needs_the_key_and_is_no_plain_hash() -> None:
    who = Identity(patient_id="4711", issuer="North")
    one, same, other = Pseudonyms(b"a" * 32), Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    assert one.patient(who) == same.patient(who) != other.patient(who)
    assert len(one.patient(who)) == 32 and set(one.patient(who)) <= set(string.hexdigits)
    guesses = {hashlib.sha256(b"4711").hexdigest()[:32], hmac.new(b"", b"4711", hashlib.sha256).hexdigest()[:32]}
    assert one.patient(who) not in guesses


def test_patients_of_two_issuers_are_two_and_padding_makes_no_third() -> None:
    names = Pseudonyms(b"a" * 32)
    assert names.patient(Identity("1", "A")) != names.patient(Identity("1", "B"))
    assert names.patient(Identity(" 1 ", "A")) == names.patient(Identity("1", "A"))
    assert names.patient(Identity("12", "3")) != names.patient(Identity("2", "31"))


@given(st.lists(st.text(), min_size=1, max_size=3), st.lists(st.text(), min_size=1, max_size=3))
def test_different_words_never_run_together_into_one_hash(first: list[str], second: list[str]) -> None:
    names = Pseudonyms(b"a" * 32)
    assert (names.of("kind", *first) == names.of("kind", *second)) == (first == second)
    assert names.of("kind", *first) != names.of("other", *first)


def test_the_accession_number_names_the_examination_and_the_uid_where_there_is_none() -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "7", "1.2.3"
    assert identity_of(header).examination == "1.2.3"
    header.AccessionNumber = "A9"
    assert identity_of(header).examination == "A9"


def test_every_part_of_a_name_is_struck_and_everyday_words_are_not() -> None:
    words = known_words(["Roe^Jane^Q", "St. Bramble General Hospital", "1", "4711", "123456"])
    assert {"Roe", "Jane", "Bramble", "St. Bramble General Hospital", "123456"} <= set(words)
    assert not {"General", "Hospital", "1", "4711", "Q"} & set(words)


def test_an_identity_prints_nothing() -> None:
    who = Identity("4711", "North", "A9", ("Roe",))
    assert not any(word in repr(who) + str([who]) for word in ("4711", "North", "A9", "Roe"))
    assert "a" * 32 not in repr(Pseudonyms(b"a" * 32))


@given(st.text())
def test_whatever_a_header_says_only_our_words_come_out(saying: str) -> None:
    assert body_part(saying) in {"", *BODY_PARTS.values()}
    assert view_position(saying) in {"", *VIEW_POSITIONS.values()}


@pytest.mark.parametrize(
    ("saying", "part"),
    [("CHEST", "chest"), ("brain (skull-stripped, MNI space)", "brain"), ("CSPINE", "spine"), ("ROE JANE", "")],
)
def test_body_parts_are_found_in_what_is_said(saying: str, part: str) -> None:
    assert body_part(saying) == part

"""Naming a patient to the site: by the hospital's own id, with or without its issuer, or by pseudonym.

A line reads `ID`, `ID^^^ISSUER` (as HL7 and DICOM write it) or a pseudonym. What is kept of it are keyed hashes, so
that neither file names anybody to whoever takes it without the site's pseudonym key. An id without an issuer means that
id under every issuer: opting out must not fail because a scanner writes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from client.errors import ClientError
from privacy.deidentify import Identity, Pseudonyms

_PSEUDONYM = re.compile(r"[0-9a-f]{32}")
_ISSUER = "^^^"
_ANY_ISSUER = "patient-of-any-issuer"


class ListUnreadable(ClientError):
    """A list of patients cannot be read; nobody may train while nobody knows who opted out."""


def names_in(line: str, pseudonyms: Pseudonyms) -> frozenset[str]:
    """The keyed hashes under which the patient of one line is known."""
    if _PSEUDONYM.fullmatch(line):
        return frozenset({line})
    patient_id, _, issuer = (part.strip() for part in line.partition(_ISSUER))
    own = pseudonyms.patient(Identity(patient_id=patient_id, issuer=issuer))
    return frozenset({own} if issuer else {own, pseudonyms.of(_ANY_ISSUER, patient_id)})


def names_of(identity: Identity, pseudonyms: Pseudonyms) -> frozenset[str]:
    """The keyed hashes of somebody whom a file is about, to be looked for among those of the lines."""
    return frozenset({pseudonyms.patient(identity), pseudonyms.of(_ANY_ISSUER, identity.patient_id.strip())})


def lines_of(path: Path) -> list[str]:
    """The patients of a file, one a line, each once; empty lines and comments left out. Raises ListUnreadable."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ListUnreadable(f"{path} cannot be read: make it a text file in UTF-8 with one patient a line.") from None
    return list(dict.fromkeys(_patients(text.splitlines())))


def _patients(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if (patient := line.strip()) and not patient.startswith("#"):
            yield patient

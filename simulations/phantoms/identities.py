"""Invented identifiers, realistic on purpose: what de-identification must find and remove. No one in them exists."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from simulations.phantoms.anatomy import Patient, Region

_FAMILY = (
    "OKONKWO",
    "LINDQVIST",
    "MARCHETTI",
    "HERRERA",
    "NAKAMURA",
    "DUBOIS",
    "KOWALSKI",
    "ADEYEMI",
    "VANDERBERG",
    "PETROVA",
)
_GIVEN = {"F": ("AMARA", "INGRID", "CHIARA", "LUCIA", "YUKI"), "M": ("EMEKA", "LARS", "MATTEO", "DIEGO", "KENJI")}
_STREETS = ("Elm Street", "Harbour Road", "Mill Lane", "Station Avenue")


@dataclass(frozen=True)
class Identity:
    """Invented identifiers of one patient and visit."""

    patient_id: str
    name: str
    birth_date: str
    accession: str
    """Of the visit; each region is a study of its own (`accession_of`)."""
    study_date: str
    institution: str
    physician: str
    address: str

    def accession_of(self, region: Region) -> str:
        """The accession number of one region's imaging study."""
        return f"{self.accession}{region[0].upper()}"

    def strings(self) -> list[str]:
        """Every planted identifier, for tests that search for them."""
        family, given = self.name.split("^")
        return [
            self.patient_id,
            family,
            given,
            self.birth_date,
            self.accession,
            self.institution,
            self.physician,
            self.address,
        ]


def identify(patient: Patient, *, rng: np.random.Generator, index: int, seed: int, population: str) -> Identity:
    """Identifiers of the index-th patient of an export."""
    number = int(hashlib.sha256(f"{population}/{seed}/{index}".encode()).hexdigest()[:8], 16)
    family, given = _FAMILY[int(rng.integers(len(_FAMILY)))], _GIVEN[patient.sex][patient.seed % 5]
    return Identity(
        patient_id=f"PH{number % 10**8:08d}",
        name=f"{family}^{given}",
        birth_date=f"{2025 - patient.age}{patient.seed % 12 + 1:02d}{patient.seed % 28 + 1:02d}",
        accession=f"ACC{number % 10**7:07d}{index:04d}",
        study_date=f"2025{int(rng.integers(1, 13)):02d}{int(rng.integers(1, 29)):02d}",
        institution=f"St. {_FAMILY[number % 7].title()} {population.removeprefix('hospital-').title()} Hospital",
        physician=f"Dr. {_FAMILY[(number // 7) % 10].title()}-{number % 97}",
        address=f"{number % 900 + 10} {_STREETS[number % 4]}",
    )

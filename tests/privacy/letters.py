"""Invented hospital letters with planted identifiers, for the tests of de-identification. Templates and names are other
than the phantoms', and few of the names stand in `given_names.txt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

GIVEN = (
    "Thandiwe Xochitl Bjarki Oluwaseun Siobhan Nguyet Zdenka Aurelio Maeve Tuan Ilse Ravindra Perpetua Casimir Maria "
    "Yevgenia Anselm Makoto Farouk Grainne José Zoë Élodie Søren Łukasz John Peter"
).split()
FAMILY = (
    "Nkosana O'Shaughnessy Vandekerckhove McAllister Szczepanski Gudmundsson Abdulrahman Featherstonehaugh Ito Ng "
    "Quispe-Mamani Al-Rashid Thistlewood Brzezinski Oyelaran Fitzwilliam D'Angelo Müller Østergaard Lê Papadakis Wilson"
).split()
TOWNS = ("Brackenford", "Ostrava Heights", "Port Lennox", "Wexcombe", "Silverdale")
STREETS = ("Juniper", "Old Mill", "Kings", "Larkspur", "Saint Anselm")
KINDS = ("Street", "Rd", "Avenue", "Lane", "Blvd.", "Court")
HOSPITALS = ("{} General Hospital", "{} Medical Center", "St. {} Infirmary", "University Hospital of {}", "{} Clinic")
MONTHS = "January February March April May June July August September October November December".split()

CLINICAL = (
    "There is a 36 mm nodule in the right upper lobe with T2 hyperintense rim.",
    "Degenerative change at L4-L5 and C3 without cord compression.",
    "No pleural effusion. No pneumothorax. The heart is not enlarged.",
    "Mass of 12 x 10 x 8 mm in the left frontal lobe, 35 HU, with oedema.",
    "Kerley B lines and a Chiari I malformation are noted.",
    "Follow-up CT in 3-6 months is advised; segments 4/5 are spared.",
    "Patchy bilateral ground-glass opacities, consistent with COVID-19 pneumonia.",
    "FLAIR and T1 after gadolinium at 1.5 T show demyelinating plaques.",
    "Small left subdural haematoma, midline shift 4.5 mm.",
    "Endotracheal tube 3.2 cm above the carina.",
)


@dataclass(frozen=True)
class Letter:
    """A letter, what must not survive in it, and which sentences must."""

    text: str
    planted: tuple[str, ...]
    clinical: tuple[str, ...]


def _date(rng: Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1931, 2025)
    name = MONTHS[month - 1]
    return rng.choice(
        [
            f"{day:02d}/{month:02d}/{year}", f"{month}/{day}/{year % 100:02d}", f"{year}-{month:02d}-{day:02d}",
            f"{day:02d}.{month:02d}.{year}", f"{year}{month:02d}{day:02d}",
            f"{day} {name} {year}", f"{name} {day}, {year}",
            f"{day:02d}-{name[:3].upper()}-{year}", f"{day}th of {name} {year}", f"{name[:3]} {day}, {year}",
            f"{day:02d}-{name[:3]}-{year % 100:02d}", f"{year}/{month:02d}/{day:02d}",
            f"{day:02d}-{month:02d}-{year % 100:02d}",
        ]
    )  # fmt: skip


def _number(rng: Random) -> str:
    def digits(count: int) -> str:
        return "".join(rng.choice("0123456789") for _ in range(count - 1)) + rng.choice("123456789")

    return rng.choice(
        [f"1{digits(6)}", f"MR{digits(7)}", f"ACC{digits(7)}C", f"X{digits(5)}Q",
         f"2{digits(2)}-{digits(2)}-{digits(4)}",
         f"H-{digits(6)}", f"9{digits(2)} {digits(3)} {digits(4)}", f"RX{digits(4)}", f"4{digits(1)}-{digits(6)}"]
    )  # fmt: skip


def _phone(rng: Random) -> str:
    a, b, c = rng.randint(200, 989), rng.randint(200, 989), rng.randint(1000, 9999)
    return rng.choice(
        [f"({a}) {b}-{c}", f"{a}-{b}-{c}", f"+1 {a} {b} {c}", f"+44 20 7{a} {c}", f"0{a} {b}{c}", f"{a}.{b}.{c}"]
    )


def letter(seed: int) -> Letter:
    """One letter; the same seed, the same letter."""
    rng = Random(seed)

    def person() -> tuple[str, str]:
        return rng.choice(GIVEN), rng.choice(FAMILY)

    (given, family), (doctor, surname), (other, kin) = person(), person(), person()
    born, seen, prior, signed = (_date(rng) for _ in range(4))
    mrn, accession = _number(rng), _number(rng)
    phone, town = _phone(rng), rng.choice(TOWNS)
    street = f"{rng.randint(2, 9899)} {rng.choice(STREETS)} {rng.choice(KINDS)}"
    zip_code = f"{rng.choice(['MA', 'TX', 'CA'])} {rng.randint(10000, 99999)}"
    hospital = rng.choice(HOSPITALS).format(town)
    mail = f"{surname.lower().replace(chr(39), '')}@{town.split()[0].lower()}.org"
    age = rng.randint(90, 104)
    first, second, third = rng.sample(CLINICAL, 3)
    template = rng.choice(_TEMPLATES)
    text = template.format(**{name: value for name, value in locals().items() if isinstance(value, str)}, age=age,
                           FAMILY=family.upper(), GIVEN=given.upper(), DOCTOR=doctor.upper(), SURNAME=surname.upper(),
                           OTHER=other.upper(), KIN=kin.upper())  # fmt: skip
    values = [given, family, doctor, surname, other, kin, born, seen, prior, signed, mrn, accession, phone, street,
              zip_code, hospital, town, mail, f"{age}-year", f"{age} year"]  # fmt: skip
    return Letter(text, tuple(value for value in values if value.lower() in text.lower()), (first, second, third))


_TEMPLATES = (
    "{hospital}\n{street}, {town}, {zip_code}\nTel: {phone}\n\nPatient Name: {family}, {given}\nDOB: "
    "{born}\nMRN: {mrn}\n"
    "Accession #: {accession}\nReferring Physician: Dr. {doctor} {surname}\nDate of exam: {seen}\n\n"
    "HISTORY: {age}-year-old man.\n"
    "FINDINGS: {first} {second}\nIMPRESSION: {third}\n\nElectronically signed by {other} {kin}, MD on {signed}",
    "Dear Dr {surname},\n\nThank you for referring {given} {family} ({born}), of {street}, {town}, "
    "{zip_code}, who was seen on {seen}. "
    "{first} Compared with the study of {prior}, this is unchanged. {second} {third}\n\nYours "
    "sincerely,\nDr {other} {kin}\n"
    "Consultant Radiologist, {hospital}\n{phone}   {mail}",
    "RADIOLOGY REPORT\nNAME: {FAMILY}, {GIVEN}    SEX: F    DOB: {born}    MRN {mrn}\nORDERING: "
    "{DOCTOR} {SURNAME}, MD    ACC: {accession}\n"
    "FINDINGS: {first}\n{second}\nIMPRESSION: {third} Findings were discussed with Dr. {other} {kin} "
    "by telephone at 14:35 on {signed}.\n"
    "Dictated by: {doctor} {surname}",
    "Patient: {given} {family} MRN: {mrn} Accession: {accession} Exam date: {seen} {first} "
    "Comparison: {prior}. {second} {third} "
    "Signed by {doctor} {surname} on {signed}",
    "EXAMINATION: CT. CLINICAL HISTORY: {age} year old female. Mrs. {family} fell at home on {prior}. {first} {second} "
    "Her daughter {other} was informed ({phone}). {third} Case discussed with {doctor} {surname} of {hospital}.",
    "{FAMILY}^{GIVEN}\t{mrn}\t{born}\nStudy: {accession} performed {seen} at {hospital}\n{first}\n{second}\n{third}\n"
    "Report communicated to nurse {kin}, pager 4417, {signed}.\nTranscribed by: {other} {kin}  {mail}",
    "Re: {given} {family}, NHS No: {mrn}, {street}\n{first} Prof. {surname} reviewed the images. {second}\n"
    "Mr {kin} telephoned on {seen}; call back on {phone}. {third}\nVerified by {doctor} {surname}, FRCR, {signed}",
    "DEPARTMENT OF RADIOLOGY, {hospital}\nPt: {GIVEN} {FAMILY}, DOB {born}, {mrn}\nEXAM DATE {seen}\n"
    "{first} COMPARED WITH {prior}. {second}\n"
    "FINDINGS DISCUSSED WITH DR {SURNAME} ON {signed}. {third}\nDICTATED BY: DR. {OTHER} {KIN}",
    "{first} i spoke to dr {surname} about mr {family} on {seen}. {second} Images from {prior} were "
    "sent by {hospital}. {third} "
    "Contact: {mail}, {phone}. His wife {other} was present. Secretary: {doctor} {kin}",
    "To: {doctor} {surname}, {street}, {town} {zip_code}\nPatient's name {given} {family}; born "
    "{born}; Hospital No. {mrn}; Order number {accession}\n"
    "Indication: fall at {town} on {prior}.\n{first} {second}\nSeen with {other} {kin} RN. {third}\n"
    "{doctor} {surname} MD, {signed}",
)

"""The adversary of report de-identification: phantom reports in real-world clothes, with planted identifiers.

Written against the rules and not with them: names, addresses and numbers come from `faker` in many locales, layouts and
date formats from ten lists: the rules were tuned on the `first`; each later one was written before the one before it
was opened, run once, and only then tuned on as well. The last six have other authors, who never saw the rules. What
each gave when it was first run: docs/deidentification.md. A
planted value survives when a telling part of it stands in the result as a word more often than in the report without
anything planted.

    python tests/privacy/planted_reports.py first|second|...|tenth [reports] [first seed]
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

LOCALES = {
    "first": "en_US en_GB en_IN es_MX fr_FR de_DE it_IT pl_PL pt_BR nl_NL sv_SE tr_TR zu_ZA hr_HR".split(),
    "second": "en_US en_CA en_IE en_NZ es_ES fr_CA de_CH de_AT pt_PT cs_CZ da_DK fi_FI hu_HU ro_RO yo_NG no_NO fil_PH "
    "et_EE sk_SK lt_LT".split(),
    "third": "en_US en_AU en_GB en_NZ es_AR es_CO es_CL fr_BE nl_BE sl_SI lv_LV ga_IE it_IT pl_PL pt_BR az_AZ id_ID tw"
             "_GH "
    "de_DE sv_SE tr_TR".split(),
    "fourth": "en_US en_GB en_AU en_CA es_ES fr_CH de_AT it_IT nl_NL pl_PL ro_RO hu_HU hr_HR fi_FI no_NO da_DK pt_BR z"
              "u_ZA yo_NG "
    "en_IN tr_TR".split(),
    "fifth": "en_US en_US en_US en_CA fr_CA es_MX en_IN fil_PH id_ID pl_PL it_IT de_DE es_CO pt_BR ga_IE".split(),
    "sixth": "en_GB en_GB en_IE en_IN en_IN en_NZ en_AU zu_ZA yo_NG tw_GH fil_PH id_ID nl_NL sv_SE no_NO da_DK fi_FI "
    "de_CH it_IT ro_RO".split(),
    "seventh": "en_US en_GB en_CA en_AU en_IE en_IN fr_FR de_DE it_IT es_ES es_MX pt_BR nl_NL pl_PL sv_SE".split(),
    "eighth": "en_US en_GB en_GB en_CA en_AU en_NZ en_IE en_IN fil_PH es_MX fr_CA de_DE it_IT".split(),
    "ninth": "en_US en_GB en_CA en_AU en_NZ en_IE en_IN zu_ZA fr_CA es_MX it_IT de_DE nl_NL pl_PL fil_PH".split(),
    "tenth": "en_US en_GB en_CA en_AU en_NZ en_IE en_IN zu_ZA fr_CA es_MX it_IT de_DE sv_SE pl_PL fil_PH".split(),
}  # fmt: skip
#: Words of places and institutions that tell nothing alone.
GENERIC = frozenset(
    """street st road rd avenue ave lane ln drive dr boulevard blvd court ct place pl square sq terrace way parkway apt
    suite ste flat unit floor hospital clinic medical center centre general university health care infirmary regional
    community memorial of the saint new north south east west port lake mount county city old upper lower box and www
    http https com org net mail example pacs view edu studio rue via calle van von der den de del la le los las da dos
    san santa junior senior jr sr iii room ward house our lady day breast imaging district base affairs veterans
    orthopaedic associates radiology pllc llp nhs trust children children's infirmary diagnostics institute spine
    cardiology partners care holy acc mrn cross mri centro mater studio tel mid ext urgent nursing rehab cancer pavilion
    family surgery scan xray ray and universitair medisch centrum cell option early est hrs epi open sciences late home
    diagnostic women""".split()
)
#: Words of names that tell nothing alone. A `Ward` or `Day` that is somebody's name does.
PARTICLES = frozenset("van von der den de del la le los las da dos san santa the junior senior jr sr iii".split())
_SLOT = re.compile(r"\{(\w+?)(\d*)(?:\.(\w+))?\}")


@dataclass(frozen=True)
class PlantedReport:
    """A report, what was planted in it, and the same report with nothing in the places of what was planted."""

    text: str
    planted: tuple[tuple[str, str], ...]
    """(kind, value)"""
    bare: str
    clinical: tuple[str, ...]
    layout: int


@dataclass(frozen=True)
class Person:
    """One invented person, in every way in which reports write a name."""

    first: str
    last: str
    middle: str

    def written(self, form: str) -> str:
        """`full`, `comma`, `caret`, ...; a form in capitals gives capitals."""
        first, last, middle = self.first, self.last, self.middle
        value = {
            "full": f"{first} {last}", "comma": f"{last}, {first}", "commam": f"{last}, {first} {middle[0]}.",
            "caret": f"{last}^{first}^{middle[0]}", "init": f"{first[0]}. {last}", "first": first, "last": last,
            "middle": f"{first} {middle[0]}. {last}", "three": f"{first} {middle} {last}",
            "inits": f"{first[0]}.{middle[0]}. {last}", "tail": f"{last} {first[0]}",
        }[form.lower()]  # fmt: skip
        return value.upper() if form.isupper() else value.lower() if form.istitle() else value


@cache
def _faker(locale: str) -> Any:
    from faker import Faker

    return Faker(locale)


class _Values:
    """Values of slots: one per name, the same wherever the name stands in a report."""

    def __init__(self, rng: Random, which: str, layouts: ModuleType) -> None:
        self._rng, self._layouts = rng, layouts
        self._locales = LOCALES[which]
        self.made: dict[str, Any] = {}
        self.planted: list[tuple[str, str]] = []

    def fill(self, match: re.Match[str]) -> str:
        kind, number, form = match.groups()
        if kind in _CLINICAL:
            return match.group(0)
        if f"{kind}{number}" not in self.made:
            maker = self._person if kind in ("p", "a", "b", "c", "d", "r") else getattr(self, f"_{kind}")
            self.made[f"{kind}{number}"] = maker()
        value = self.made[f"{kind}{number}"]
        if isinstance(value, Person):
            value = value.written(form or "full")
        self.planted.append((kind if not form else "name", str(value)))
        return str(value)

    def _fake(self, locale: str | None = None) -> Any:
        fake = _faker(locale or self._rng.choice(self._locales))
        fake.seed_instance(self._rng.getrandbits(32))
        return fake

    def _person(self) -> Person:
        rng, fake = self._rng, self._fake()
        first, last = _latin(fake.first_name()), _latin(fake.last_name())
        if rng.random() < 0.12:
            last = f"{last}-{_latin(fake.last_name())}".replace(" ", "")
        if rng.random() < 0.06:
            first = f"{first}-{_latin(fake.first_name())}".replace(" ", "")
        return Person(first, last, _latin(fake.first_name()))

    def _date(self) -> str:
        rng = self._rng
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.choice([*range(1928, 1999), *range(2012, 2026)])
        name = "January February March April May June July August September October November December".split()[
            month - 1
        ]
        weekday = rng.choice("Monday Tuesday Wednesday Thursday Friday".split())
        ordinal = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in (11, 12, 13) else 0, "th")
        return rng.choice(self._layouts.DATES).format(
            d=day, m=month, year=year, yy=year % 100, name=name, mon=name[:3], MON=name[:3].upper(), weekday=weekday,
            wd=weekday[:3], ordinal=f"{day}{ordinal}",
        )  # fmt: skip

    def _digits(self, pattern: str) -> str:
        letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
        return "".join(
            self._rng.choice("123456789") if c == "#" else self._rng.choice(letters) if c == "?" else c for c in pattern
        )

    def _time(self) -> str:
        rng = self._rng
        return rng.choice(["{:02d}:{:02d}", "{}:{:02d} pm", "{:02d}:{:02d} hrs", "{:02d}:{:02d}:11"]).format(
            rng.randint(1, 12), rng.randint(10, 59)
        )

    def _mrn(self) -> str:
        return self._digits(self._rng.choice(self._layouts.RECORD_NUMBERS))

    def _acc(self) -> str:
        return self._digits(self._rng.choice(self._layouts.ACCESSION_NUMBERS))

    def _ssn(self) -> str:
        return self._digits("###-##-####")

    def _nhs(self) -> str:
        return self._digits(self._rng.choice(["### ### ####", "##########"]))

    def _policy(self) -> str:
        return self._digits(self._rng.choice(["???#########", "##?#-??#-??##", "### ### ### ?"]))

    def _uid(self) -> str:
        return self._digits("1.2.840.######.2.##.#########.###")

    def _phone(self) -> str:
        return self._digits(self._rng.choice(self._layouts.PHONES))

    def _ext(self) -> str:
        return self._digits(self._rng.choice(["####", "#####"]))

    def _street(self) -> str:
        return _latin(self._fake(self._rng.choice(("en_US", "en_GB", "en_CA"))).street_address()).replace("\n", ", ")

    def _city(self) -> str:
        return _latin(self._fake(self._rng.choice(("en_US", "en_GB", "en_CA"))).city())

    def _zip(self) -> str:
        made = self._digits("TX ##### MA ##### OH #####-#### LS# #QT K#A #B#").split()
        pairs = [f"{one} {two}" for one, two in zip(made[::2], made[1::2], strict=True)]
        return self._rng.choice([*pairs, self._digits("?? #####")])

    def _hospital(self) -> str:
        rng, fake = self._rng, self._fake(self._rng.choice(("en_US", "en_GB", "en_CA", "en_IE")))
        return rng.choice(self._layouts.HOSPITALS).format(_latin(fake.city()), _latin(fake.last_name()))

    def _email(self) -> str:
        return f"{_ascii(self._fake('en_US').user_name())}@{_ascii(self._fake('en_US').domain_name())}"

    def _url(self) -> str:
        return f"https://{_ascii(self._fake('en_GB').domain_name())}/pacs?id={self._digits('#####')}"

    def _age(self) -> str:
        return str(self._rng.randint(90, 105))

    def _ip(self) -> str:
        return f"10.{self._rng.randint(100, 255)}.{self._rng.randint(100, 255)}.{self._rng.randint(2, 255)}"


_CLINICAL = ("s", "findings", "impression", "body")


def _latin(value: str) -> str:
    return value.replace("\u2019", "'").strip()


def _ascii(value: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", value.lower())


@cache
def _phantom_reports() -> list[tuple[str, str, str]]:
    """(body, findings, impression) of phantom patients of every population."""
    from simulations.phantoms.draw import draw_patient
    from simulations.phantoms.population import POPULATIONS
    from simulations.phantoms.report import region_sentences, regions_of, report

    rng, flows, made = np.random.default_rng(20_261_124), ("xray", "ct", "mri_t1", "text"), []
    for _ in range(60):
        for population in POPULATIONS.values():
            patient = draw_patient(rng, population)
            for region in regions_of(patient, flows):
                made.append(
                    (
                        report(patient, population, region, flows),
                        *region_sentences(patient.finding(region), region, rng),
                    )
                )
    return made


def planted_report(seed: int, which: str) -> PlantedReport:
    """One report of the list of that name; the same seed, the same report."""
    layouts = import_module(f"planted_layouts_{which}")
    rng = Random(f"{which}/{seed}")
    values = _Values(rng, which, layouts)
    number = rng.randrange(len(layouts.LAYOUTS))
    layout = layouts.LAYOUTS[number]
    body, findings, impression = rng.choice(_phantom_reports())
    sentences = rng.sample(layouts.CLINICAL, 4)
    clinical = {"{body}": body, "{findings}": findings, "{impression}": impression}
    clinical |= {f"{{s{place}}}": sentence for place, sentence in enumerate(sentences, start=1)}

    def with_clinical(text: str) -> str:
        for slot, sentence in clinical.items():
            text = text.replace(slot, sentence)
        return text

    bare = with_clinical(_SLOT.sub(lambda m: m.group(0) if m.group(1) in _CLINICAL else " ", layout))
    text = with_clinical(_SLOT.sub(values.fill, layout))
    planted = values.planted
    used = tuple(sentence for slot, sentence in clinical.items() if slot in layout)
    chance = rng.random()
    if chance < 0.12:  # dictated in capitals
        text, bare, used = text.upper(), bare.upper(), tuple(sentence.upper() for sentence in used)
        planted = [(kind, value.upper()) for kind, value in planted]
    elif chance < 0.24:  # an export that lost its line breaks
        text, bare = " ".join(text.split()), " ".join(bare.split())
    return PlantedReport(text, tuple(dict.fromkeys(planted)), bare, used, number)


def telling_parts(kind: str, value: str) -> list[str]:
    """The words of a value that must not stand in the result."""
    parts = [part for part in re.split(r"[^\w]+|_", value) if part]
    if kind in ("age", "time"):
        return [value] if kind == "time" else parts
    generic = PARTICLES if kind == "name" else GENERIC
    kept = [
        part
        for part in parts
        if part.lower() not in generic and (len(part) >= 3 or (part.isdigit() and len(part) >= 4))
    ]
    return kept if kept else [value]


def survivors(report: PlantedReport, clean: str) -> list[tuple[str, str, str]]:
    """(kind, value, part) of whatever telling part stands in the result more often than in the bare report."""
    found = Counter(re.findall(r"\w+", clean.lower()))
    allowed = Counter(re.findall(r"\w+", report.bare.lower()))
    left = []
    for kind, value in report.planted:
        for part in telling_parts(kind, value):
            low = part.lower()
            if low.isdigit():
                pattern = rf"(?<!\d){low}(?!\d)"
                if len(re.findall(pattern, clean)) > len(re.findall(pattern, report.bare)):
                    left.append((kind, value, part))
            elif re.fullmatch(r"\w+", low):
                if found[low] > allowed[low]:
                    left.append((kind, value, part))
            elif low in clean.lower():
                left.append((kind, value, part))
    return left


def words_lost(report: PlantedReport, clean: str) -> tuple[int, int]:
    """(clinical words that are gone, clinical words)."""
    kept, lost, total = Counter(re.findall(r"\w+", clean.lower())), 0, 0
    for word, count in Counter(re.findall(r"\w+", " ".join(report.clinical).lower())).items():
        total += count
        lost += max(0, count - kept[word])
    return lost, total


def main(which: str, reports: int, first: int) -> None:
    """Print survivors by layout and kind, and the share of clinical words lost."""
    from privacy.report_text import deidentify

    failed, lost, total, planted = 0, 0, 0, 0
    kinds: Counter[str] = Counter()
    for seed in range(first, first + reports):
        report = planted_report(seed, which)
        clean = deidentify(report.text)
        planted += len(report.planted)
        gone, words = words_lost(report, clean)
        lost, total = lost + gone, total + words
        if left := survivors(report, clean):
            failed += 1
            kinds.update({f"{report.layout}:{kind}:{part}" for kind, _, part in left})
            if "-v" in sys.argv:
                print(f"--- {seed} layout {report.layout} {left}\n{report.text}\n>>>\n{clean}\n")
        elif "-w" in sys.argv and gone:
            print(f"--- {seed} lost {gone}\n{report.text}\n>>>\n{clean}\n")
    print(f"{which}: {reports} reports, {planted} planted values; {failed} reports with a survivor")
    print(f"clinical words lost: {lost} of {total} ({lost / total:.3%})")
    print(kinds.most_common(60))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    main(words[0], int(words[1]) if len(words) > 1 else 500, int(words[2]) if len(words) > 2 else 0)

"""Builds the sites of a study from real records, and holds whole patients out of them before anybody trains.

Sources, first that fits: `DATA/<site>`, a folder of that site's own (DICOM, NIfTI, images with an index); or
`DATA/index.csv`, an image folder of which a site takes the site_groups that its population names, joined by `+`.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from client.records.ingest import ingest
from client.records.rules import AS_THEY_ARE
from client.records.sources import Filters
from client.records.store import RecordStore
from privacy.deidentify import Identity, Pseudonyms
from privacy.keys import SiteKeys
from protocol.study import SiteSpec, Study
from simulations.errors import InputInvalid
from simulations.held_out_records import HeldOutRecords
from simulations.scenario import SimulatedSite, derived_pseudonym_key, prepare_site

HELD_OUT_SHARE = 0.15


def build_sites_from(
    study: Study,
    folder: Path,
    data: Path,
    *,
    size: int,
    keep: bool = False,
    on_site: Callable[[str], None] = lambda _: None,
) -> tuple[list[SimulatedSite], HeldOutRecords]:
    """Every site from real records in `data`, and the patients held out of them. Raises InputInvalid.

    keep: the sites stand already (a run is resumed); only the held-out patients are read again.
    """
    index = _Index.read(data / "index.csv") if (data / "index.csv").is_file() else None
    sites, held_out = [], HeldOutRecords(study)
    for spec in study.sites:
        own = data / spec.name
        if own.is_dir():
            road = _Road(study, spec, folder / spec.name, size, source=own)
        elif index is not None:
            road = _index_road(study, spec, folder / spec.name, size, index)
        else:
            raise InputInvalid(f"The data hold neither index.csv nor a folder {spec.name}: give each site its records.")
        if not keep:
            road.build()
        road.read_held_out(held_out)
        sites.append(SimulatedSite(spec, road.folder, road.patient_ids))
        on_site(spec.name)
    return sites, held_out


@dataclass(frozen=True)
class _Road:
    """How one site comes to its records: everything is ingested, then whole patients are taken out again."""

    study: Study
    spec: SiteSpec
    folder: Path
    size: int
    source: Path
    groups: frozenset[str] = frozenset()
    """Of an image folder: the site_groups to take; none for everything."""
    patients: Mapping[str, str] = field(default_factory=dict)
    """Of an image folder: patient to group, so that the same patients are held out in every run."""
    patient_ids: str = "real"

    def build(self) -> None:
        """Keys, policy, and a store without the held-out patients."""
        open_site = not (self.study.privacy.enabled and self.spec.private)
        key = derived_pseudonym_key(self.study, self.spec, "records") if open_site else None
        prepare_site(self.study, self.spec, self.folder, patient_ids=self.patient_ids, pseudonym_key=key)
        self._ingest(self.folder)
        with closing(RecordStore.open(self.folder)) as store:
            present = set(store.patients())
            named = self._pseudonyms() or {pseudonym: pseudonym for pseudonym in present}
            known = {name: self.patients.get(name, "") for name, pseudonym in named.items() if pseudonym in present}
            store.forget(named[name] for name in held_out_of(known, self.spec.declared_patients))

    def read_held_out(self, held_out: HeldOutRecords) -> None:
        """Whoever is in the source and not in the site's store, under the same pseudonyms."""
        with closing(RecordStore.open(self.folder)) as store:
            staying = set(store.patients())
        with self._apart() as apart:
            self._ingest(apart)
            with closing(RecordStore.open(apart)) as store:
                held_out.add(store, sorted(set(store.patients()) - staying), self.spec.flows)

    def _ingest(self, folder: Path) -> None:
        filters = Filters(site_groups=self.groups)
        ingest(folder, self.source, image_size=self.size, filters=filters, rules=AS_THEY_ARE)

    def _pseudonyms(self) -> dict[str, str]:
        """Patient id to pseudonym, for an image folder."""
        pseudonyms = Pseudonyms(SiteKeys.open(self.folder).pseudonym_key)
        return {patient: pseudonyms.patient(Identity(patient_id=patient)) for patient in self.patients}

    @contextmanager
    def _apart(self) -> Iterator[Path]:
        """A store beside the site's that lasts for the block."""
        apart = self.folder.with_name(f".held-out-{self.spec.name}")
        shutil.rmtree(apart, ignore_errors=True)
        key = SiteKeys.open(self.folder).pseudonym_key
        prepare_site(self.study, self.spec, apart, patient_ids=self.patient_ids, pseudonym_key=key)
        try:
            yield apart
        finally:
            shutil.rmtree(apart, ignore_errors=True)


def _index_road(study: Study, spec: SiteSpec, folder: Path, size: int, index: _Index) -> _Road:
    groups = frozenset(part for part in spec.population.split("+") if part)
    patients = index.patients(groups)
    if not patients:
        raise InputInvalid(f"No row of index.csv belongs to site {spec.name}: check its population, {spec.population}.")
    return _Road(
        study,
        spec,
        folder,
        size,
        source=index.folder,
        groups=groups,
        patients=patients,
        patient_ids="real" if index.known(groups) else "pseudo",
    )


@dataclass(frozen=True)
class _Index:
    """Who is in an image folder."""

    folder: Path
    rows: tuple[tuple[str, str, str], ...]
    """(site_group, patient_id, patient_id_kind)"""

    @classmethod
    def read(cls, path: Path) -> _Index:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
        if not rows or "patient_id" not in rows[0]:
            raise InputInvalid("index.csv has no rows with a patient_id: see the columns in the README.")
        named = ((row.get("site_group", ""), row["patient_id"], row.get("patient_id_kind", "source")) for row in rows)
        return cls(path.parent, tuple(named))

    def patients(self, groups: frozenset[str]) -> dict[str, str]:
        """Patients with a row in these groups (in any, for none), and the group of each."""
        return {patient: group for group, patient, _ in self.rows if not groups or group in groups}

    def known(self, groups: frozenset[str]) -> bool:
        """Whether every patient id of these groups comes from its source."""
        return all(kind in ("", "source") for group, _, kind in self.rows if not groups or group in groups)


def held_out_of(patients: Mapping[str, str], declared: int) -> list[str]:
    """A share of the patients, the same every time, of every group alike, as long as as many stay as were declared.

    patients: name to group.
    """
    spare = max(len(patients) - declared, 0)
    members: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(patients, key=lambda name: hashlib.sha256(f"held out {name}".encode()).digest()):
        members[patients[patient]].append(patient)
    places = [((n + 0.5) / len(own), name) for own in members.values() for n, name in enumerate(own)]
    return [name for _, name in sorted(places)][: min(round(HELD_OUT_SHARE * len(patients)), spare)]

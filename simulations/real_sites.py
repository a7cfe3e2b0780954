"""Builds the sites of a study from real records, and holds whole patients out of them before anybody trains.

Sources, first that fits: `DATA/<site>`, a folder of that site's own (DICOM, NIfTI, images with an index); or
`DATA/index.csv`, an image folder of which a site takes the site_groups that its population names, joined by `+`.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from client.records.ingest import ingest
from client.records.sources import Filters
from client.records.store import RecordStore
from privacy.keys import SiteKeys
from protocol.study import SiteSpec, Study
from simulations.errors import InputInvalid
from simulations.held_out_records import HeldOutRecords
from simulations.scenario import SimulatedSite, prepare_site

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
            road = _FolderRoad(study, spec, folder / spec.name, size, source=own)
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
class _FolderRoad:
    """A site from a folder of its own: everything is ingested, then whole patients are taken out again."""

    study: Study
    spec: SiteSpec
    folder: Path
    size: int
    source: Path
    patient_ids: str = "real"

    def build(self) -> None:
        """Keys, policy, store."""
        prepare_site(self.study, self.spec, self.folder, patient_ids=self.patient_ids)
        ingest(self.folder, self.source, image_size=self.size)
        with closing(RecordStore.open(self.folder)) as store:
            store.forget(held_out_of(store.patients(), self.spec.declared_patients))

    def read_held_out(self, held_out: HeldOutRecords) -> None:
        """Whoever is in the source and not in the site's store, under the same pseudonyms."""
        with closing(RecordStore.open(self.folder)) as store:
            staying = set(store.patients())
        with self._apart() as apart:
            ingest(apart, self.source, image_size=self.size)
            with closing(RecordStore.open(apart)) as store:
                held_out.add(store, sorted(set(store.patients()) - staying), self.spec.flows)

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


@dataclass(frozen=True)
class _IndexRoad(_FolderRoad):
    """A site from some groups of an image folder: the held-out patients never enter its store."""

    groups: frozenset[str] = frozenset()
    held_out_patients: frozenset[str] = frozenset()

    def build(self) -> None:
        prepare_site(self.study, self.spec, self.folder, patient_ids=self.patient_ids)
        filters = Filters(site_groups=self.groups, excluded_patients=self.held_out_patients)
        ingest(self.folder, self.source, image_size=self.size, filters=filters)

    def read_held_out(self, held_out: HeldOutRecords) -> None:
        if not self.held_out_patients:
            return
        with self._apart() as apart:
            filters = Filters(site_groups=self.groups, patients=self.held_out_patients)
            ingest(apart, self.source, image_size=self.size, filters=filters)
            with closing(RecordStore.open(apart)) as store:
                held_out.add(store, store.patients(), self.spec.flows)


def _index_road(study: Study, spec: SiteSpec, folder: Path, size: int, index: _Index) -> _IndexRoad:
    groups = frozenset(part for part in spec.population.split("+") if part)
    patients = index.patients(groups)
    if not patients:
        raise InputInvalid(f"No row of index.csv belongs to site {spec.name}: check its population, {spec.population}.")
    return _IndexRoad(
        study,
        spec,
        folder,
        size,
        source=index.folder,
        patient_ids="real" if index.known(groups) else "pseudo",
        groups=groups,
        held_out_patients=frozenset(held_out_of(patients, spec.declared_patients)),
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

    def patients(self, groups: frozenset[str]) -> list[str]:
        """Patients with a row in these groups (in any, for none), sorted."""
        return sorted({patient for group, patient, _ in self.rows if not groups or group in groups})

    def known(self, groups: frozenset[str]) -> bool:
        """Whether every patient id of these groups comes from its source."""
        return all(kind in ("", "source") for group, _, kind in self.rows if not groups or group in groups)


def held_out_of(patients: Sequence[str], declared: int) -> list[str]:
    """A share of the patients, the same every time, as long as the site keeps as many as it declared."""
    spare = max(len(patients) - declared, 0)
    ordered = sorted(patients, key=lambda patient: hashlib.sha256(f"held out {patient}".encode()).digest())
    return ordered[: min(round(HELD_OUT_SHARE * len(patients)), spare)]

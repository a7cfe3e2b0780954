"""Builds the sites of a study on this machine, each by the road a hospital takes: keys, policy, ingest into its store.

Sources, first that fits: `DATA/<site>` (a folder of that site's own: DICOM, NIfTI, images with an index),
`DATA/index.csv` (an image folder; a site takes the site_groups that its population names, joined by `+`), or phantoms
exported as DICOM.
From real records whole patients are held out before anybody trains.
"""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from client.records.ingest import ingest
from client.records.sources import Filters
from client.records.store import RecordStore
from client.site_config import SitePaths
from privacy.keys import SiteKeys
from privacy.policy import SitePolicy
from protocol.study import SiteSpec, Study
from simulations.errors import InputInvalid
from simulations.held_out_records import HeldOutRecords
from simulations.phantoms import PhysicsConfig, export_hospital

HELD_OUT_SHARE = 0.15
#: Phantom patients per site beyond those declared: a hospital declares fewer than it has.
BEYOND_DECLARED = 0
_PHANTOM_SEED = 1_000


@dataclass(frozen=True)
class SimulatedSite:
    """A site that stands ready on this machine."""

    spec: SiteSpec
    folder: Path
    patient_ids: str = "real"


@dataclass(frozen=True)
class _PhantomSite:
    """What a worker needs to build one phantom site."""

    study: Study
    spec: SiteSpec
    folder: Path
    population: str
    seed: int
    size: int
    physics: PhysicsConfig


def build_phantom_sites(
    study: Study,
    folder: Path,
    *,
    size: int,
    population: str | None = None,
    seed_offset: int = 0,
    physics: PhysicsConfig | None = None,
    processes: int | None = None,
    on_patient: Callable[[int], None] = lambda _: None,
) -> list[SimulatedSite]:
    """Every site from phantoms: DICOM export, ingest, export removed.

    population: every site's instead of its own, for a federation of public phantoms.
    on_patient: called now and then with the number of patients written since.
    """
    jobs = [
        _PhantomSite(
            study,
            spec,
            folder / spec.name,
            population or spec.population or "public",
            _PHANTOM_SEED + seed_offset + 100 * study.training.seed + number,
            size,
            physics or PhysicsConfig(),
        )
        for number, spec in enumerate(study.sites)
    ]
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    workers = min(len(jobs), processes or max(1, min(4, os.cpu_count() or 1)))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_count_into, initargs=(counter,)) as pool:
        built = [pool.submit(_build_phantom_site, job) for job in jobs]
        told = 0
        while not all(future.done() for future in built):
            time.sleep(0.2)
            on_patient(counter.value - told)
            told = counter.value
        return [future.result() for future in built]


_counter: object = None


def _count_into(counter: object) -> None:
    global _counter
    _counter = counter


def _count() -> None:
    if _counter is not None:
        with _counter.get_lock():  # type: ignore[attr-defined]
            _counter.value += 1  # type: ignore[attr-defined]


def _build_phantom_site(job: _PhantomSite) -> SimulatedSite:
    patients = job.spec.declared_patients + BEYOND_DECLARED
    # The pseudonyms of invented patients may be known, and must be the same in every run for runs to be the same.
    name = f"fedm2g phantoms {job.study.training.seed} {job.spec.name} {job.population}"
    prepare_site(job.study, job.spec, job.folder, pseudonym_key=hashlib.sha256(name.encode()).digest())
    export = job.folder / "export"
    try:
        export_hospital(
            export,
            patients=patients,
            seed=job.seed,
            population=job.population,
            flows=job.spec.flows,
            physics=job.physics,
            size=job.size,
            on_patient=_count,
        )
        ingest(job.folder, export, image_size=job.size)
    finally:
        shutil.rmtree(export, ignore_errors=True)
    return SimulatedSite(job.spec, job.folder)


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


def prepare_site(
    study: Study,
    spec: SiteSpec,
    folder: Path,
    *,
    pseudonym_key: bytes | None = None,
    patient_ids: str = "real",
) -> None:
    """Keys and `site.toml` of a simulated site: a policy that takes this study and no more."""
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    SiteKeys.create(folder, pseudonym_key=pseudonym_key)
    policy = SitePolicy.from_dict(
        {
            "name": spec.name,
            "declared_patients": spec.declared_patients,
            "max_patients": 4 * spec.declared_patients + 1000,
            "declared_flows": spec.flows,
            "max_epsilon": 2 * study.privacy.max_epsilon,
            "max_epsilon_per_study": study.privacy.max_epsilon,
            "max_delta": study.privacy.delta_fraction / spec.declared_patients,
            "allowed_stages": [stage.name for stage in study.stages],
            "allow_non_private": not (study.privacy.enabled and spec.private),
            "patient_ids": patient_ids,
        }
    )
    SitePaths(folder).policy.write_text(tomli_w.dumps(policy.model_dump(mode="json")), encoding="utf-8")

"""Builds the sites of a study on this machine, each by the road a hospital takes: keys, policy, ingest into its store.

Here from phantoms, exported as DICOM; from real records in `real_sites`.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from client.records.ingest import ingest
from client.records.rules import AS_THEY_ARE
from client.site_config import SitePaths
from privacy.keys import SiteKeys
from privacy.policy import SitePolicy
from protocol.study import SiteSpec, Study
from simulations.phantoms import PhysicsConfig, export_hospital

_PHANTOM_SEED = 1_000


LEAST_OF_PUBLIC_RECORDS = {"minimum_patients": 1, "minimum_count": 1}


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
    numbers: Mapping[str, int] | None = None,
    physics: PhysicsConfig | None = None,
    processes: int | None = None,
    on_patient: Callable[[int], None] = lambda _: None,
) -> list[SimulatedSite]:
    """Every site from phantoms: DICOM export, ingest, export removed.

    population: every site's instead of its own, for a federation of public phantoms. numbers: each site's place in the
    study whose hospitals these are, where this one has only some of its sites: the same patients then.
    on_patient: called now and then with the number of patients written since.
    """
    jobs = [
        _PhantomSite(
            study,
            spec,
            folder / spec.name,
            population or spec.population or "public",
            _seed_of(study, number if numbers is None else numbers[spec.name], seed_offset),
            size,
            physics or PhysicsConfig(),
        )
        for number, spec in enumerate(study.sites)
    ]
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    workers = min(len(jobs), processes or max(1, min(4, os.cpu_count() or 1)))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_count_into, initargs=(counter,)) as pool:
        longest_first = sorted(jobs, key=lambda job: -job.spec.declared_patients * len(job.spec.flows))
        found = {job.spec.name: pool.submit(_build_phantom_site, job) for job in longest_first}
        built = [found[job.spec.name] for job in jobs]
        told = 0
        while not all(future.done() for future in built):
            time.sleep(0.2)
            on_patient(counter.value - told)
            told = counter.value
        return [future.result() for future in built]


def build_pooled_site(
    study: Study, spec: SiteSpec, members: Sequence[SiteSpec], folder: Path, *, size: int
) -> SimulatedSite:
    """One site with all patients of the members, who are all the sites of the study that they belong to."""
    prepare_site(study, spec, folder / spec.name, pseudonym_key=derived_pseudonym_key(study, spec, "pooled"))
    for number, member in enumerate(members):
        fill_with_phantoms(
            folder / spec.name,
            patients=member.declared_patients,
            seed=_seed_of(study, number),
            population=member.population or "public",
            flows=member.flows,
            size=size,
        )
    return SimulatedSite(spec, folder / spec.name)


def _seed_of(study: Study, number: int, offset: int = 0) -> int:
    """Of the phantoms of a study's site, by its place among the sites."""
    return _PHANTOM_SEED + offset + 100 * study.training.seed + number


_counter: object = None


def _count_into(counter: object) -> None:
    global _counter
    _counter = counter


def _count() -> None:
    if _counter is not None:
        with _counter.get_lock():  # type: ignore[attr-defined]
            _counter.value += 1  # type: ignore[attr-defined]


def _build_phantom_site(job: _PhantomSite) -> SimulatedSite:
    key = derived_pseudonym_key(job.study, job.spec, job.population)
    prepare_site(job.study, job.spec, job.folder, pseudonym_key=key)
    fill_with_phantoms(
        job.folder,
        patients=job.spec.declared_patients,
        seed=job.seed,
        population=job.population,
        flows=job.spec.flows,
        physics=job.physics,
        size=job.size,
        on_patient=_count,
    )
    return SimulatedSite(job.spec, job.folder)


def fill_with_phantoms(
    folder: Path,
    *,
    patients: int,
    seed: int,
    population: str,
    flows: tuple[str, ...],
    size: int,
    physics: PhysicsConfig | None = None,
    on_patient: Callable[[], None] = lambda: None,
) -> None:
    """Records of invented patients into the store of a site that was prepared: DICOM export, ingest, export removed.

    The one road for whoever is compared: a patient who trained and one who did not differ in that alone.
    """
    export = folder / "export"
    try:
        export_hospital(
            export,
            patients=patients,
            seed=seed,
            population=population,
            flows=flows,
            physics=physics,
            size=size,
            on_patient=on_patient,
        )
        ingest(folder, export, image_size=size, rules=AS_THEY_ARE)
    finally:
        shutil.rmtree(export, ignore_errors=True)


def derived_pseudonym_key(study: Study, spec: SiteSpec, records: str) -> bytes:
    """A key that anybody may know, so that a run repeats: for invented patients, or where nothing is private."""
    return hashlib.sha256(f"fedm2g {records} {study.training.seed} {spec.name}".encode()).digest()


def prepare_site(
    study: Study,
    spec: SiteSpec,
    folder: Path,
    *,
    pseudonym_key: bytes | None = None,
    patient_ids: str = "real",
) -> None:
    """Keys and `site.toml` of a simulated site: a policy that takes this study and no more.

    A site that the study itself calls non-private holds records that are public already, so none are too few; every
    other keeps the least number of patients that a policy begins with, which then refuses a site of fewer.
    """
    least = {"minimum_count": min(11, spec.declared_patients)} if spec.private else LEAST_OF_PUBLIC_RECORDS
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
        | least
    )
    SitePaths(folder).policy.write_text(tomli_w.dumps(policy.model_dump(mode="json")), encoding="utf-8")

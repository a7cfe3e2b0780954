"""Forgetting a patient: every record and cache erased, and remembered only as somebody who must not come back.

First the patient is written down as forgotten, then the records go: whoever dies in between is at least never drawn
again, and a second call finishes. Said elsewhere, because it cannot be done here: a trained model does not forget, its
differential privacy bounds what it holds of anybody; the source and its backups are the hospital's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.records.store import RecordStore
from client.rights.naming import lines_of, names_in
from client.site_config import SitePaths
from client.vault.durable import write_durably
from client.vault.feature_cache import erase_features
from privacy.deidentify import Pseudonyms
from privacy.keys import SiteKeys

_HEAD = "# Patients whose records were erased, as keyed hashes: no ingest takes them again. Written by `site forget`.\n"


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What was erased. True counts: for the site's own eyes."""

    forgotten: int
    """Of those named, how many had records."""
    records: int
    unknown: int
    """Of those named, how many had none; they are kept out from now on all the same."""


def forget(site_dir: Path, patients: Sequence[str]) -> Forgotten:
    """Erase these patients, each named as a line of a list is. Raises KeysUnusable, StoreUnusable, ListUnreadable."""
    paths = SitePaths(Path(site_dir))
    pseudonyms = Pseudonyms(SiteKeys.open(paths.site_dir).pseudonym_key)
    named = [names_in(patient, pseudonyms) for patient in patients]
    store = RecordStore.open(paths.site_dir)
    try:
        here = set(store.patients())
        _remember(paths.forgotten, frozenset[str]().union(*named))
        records = store.forget(pseudonym for names in named for pseudonym in names & here)
    finally:
        store.close()
    erase_features(paths.state)
    found = sum(bool(names & here) for names in named)
    return Forgotten(forgotten=found, records=records, unknown=len(named) - found)


def _remember(path: Path, names: frozenset[str]) -> None:
    known = set(lines_of(path)) if path.exists() else set()
    if not names <= known:
        write_durably(path, (_HEAD + "".join(f"{name}\n" for name in sorted(known | names))).encode())

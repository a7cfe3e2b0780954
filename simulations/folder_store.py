"""A folder of records as a store that lasts as long as a `with`: read by a hospital's road, for public data only."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from client.records.ingest import Progress, ingest
from client.records.rules import AS_THEY_ARE
from client.records.store import RecordStore
from privacy.keys import SiteKeys

#: Known to all, so that the same folder gives the same order of records, and so the same figures, every time.
_PSEUDONYM_KEY = hashlib.sha256(b"fedm2g: a folder of public records").digest()


@contextmanager
def folder_store(data: Path, *, size: int, progress: Progress | None = None) -> Iterator[RecordStore]:
    """The records of a folder at that size. Protects nobody's name: never for records that a site holds."""
    with tempfile.TemporaryDirectory() as temporary:
        site = Path(temporary)
        SiteKeys.create(site, pseudonym_key=_PSEUDONYM_KEY)
        ingest(site, data, image_size=size, rules=AS_THEY_ARE, progress=progress)
        with closing(RecordStore.open(site)) as store:
            yield store

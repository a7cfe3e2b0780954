"""The store: encrypted block arrays per flow, and a SQLite index of pseudonymous rows, in `<site_dir>/records`.

Images and reports are only ever on disk encrypted with the site's storage key; what the index says in clear is keyed
hashes and words from closed lists. Safe for several threads; several processes may read while one writes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from client.records.blocks import BlockFolder, Sealed
from client.records.errors import RecordMissing, StoreUnusable
from client.records.filing import INSERT, append, erase_patient, sweep
from client.records.index import COLUMNS, FORMAT, RecordRow, connect, create_index, row_of, values_of
from privacy.keys import SiteKeys

__all__ = ["RecordRow", "RecordStore"]

TEXT_FLOW = "text"
CACHE_BYTES = 512 * 1024 * 1024


class RecordStore:
    """A site's records. Prints nothing about its patients."""

    def __init__(self, folder: Path, keys: SiteKeys) -> None:
        self._lock = threading.RLock()
        try:
            self._index = connect(folder / "index.sqlite")
            settings = dict(self._index.execute("SELECT name, value FROM settings").fetchall())
        except sqlite3.DatabaseError:
            raise StoreUnusable("The store's index is damaged: restore the records folder from its backup.") from None
        if settings.get("format") != FORMAT:
            raise StoreUnusable("The store was written by another version of fedm2g: ingest the records again.")
        self.image_size = int(settings["image_size"])
        """Height and width of every image, pixels."""
        self._sealed = Sealed(keys.storage_key)
        self._blocks = BlockFolder(folder, self._sealed, image_size=self.image_size)
        self._cache: OrderedDict[str, npt.NDArray[np.int16]] = OrderedDict()
        self._cached_bytes = 0

    def __repr__(self) -> str:
        return "RecordStore(hidden)"

    # --- opening ------------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, site_dir: Path, *, image_size: int = 64) -> Self:
        """Make an empty store, and the site's keys where there are none. Raises StoreUnusable where one exists."""
        keys = SiteKeys.open_or_create(Path(site_dir))
        folder = _folder(site_dir)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            create_index(folder / "index.sqlite", image_size=image_size)
        except FileExistsError:
            raise StoreUnusable("This site has a store already: open it, or give another folder.") from None
        return cls(folder, keys)

    @classmethod
    def open(cls, site_dir: Path) -> Self:
        """Open the store. Raises StoreUnusable where there is none, KeysUnusable where the keys are missing."""
        if not has_store(site_dir):
            raise StoreUnusable("This site has no records yet: run `fedm2g site ingest` first.")
        return cls(_folder(site_dir), SiteKeys.open(Path(site_dir)))

    @classmethod
    def open_or_create(cls, site_dir: Path, *, image_size: int) -> Self:
        """The store for images of that size. Raises StoreUnusable where it was made for another."""
        store = cls.open(site_dir) if has_store(site_dir) else cls.create(site_dir, image_size=image_size)
        if store.image_size != image_size:
            size = store.image_size
            store.close()
            raise StoreUnusable(
                f"The store holds images of {size} pixels, not {image_size}: ingest into another site folder."
            )
        return store

    def close(self) -> None:
        """Close the index; the store is unusable afterwards."""
        self._index.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def patients(self) -> list[str]:
        """Pseudonyms, sorted."""
        return [row[0] for row in self._select("SELECT DISTINCT pseudonym FROM records ORDER BY pseudonym")]

    def records(self, pseudonym: str, flow: str | None = None) -> list[RecordRow]:
        """A patient's records in the order of ingest, of one flow or of all."""
        where = "pseudonym = ?" if flow is None else "pseudonym = ? AND flow = ?"
        values = (pseudonym,) if flow is None else (pseudonym, flow)
        rows = self._select(f"SELECT {COLUMNS} FROM records WHERE {where} ORDER BY ordinal", *values)
        return [row_of(row) for row in rows]

    def image(self, record_id: str) -> npt.NDArray[np.int16]:
        """(size, size), read-only: Hounsfield units for CT, 0..4095 otherwise. Raises RecordMissing."""
        query = "SELECT name, count, slot FROM records JOIN blocks USING (block) WHERE record_id = ?"
        for _ in range(2):  # another process may replace the block between the look-up and the reading
            if not (found := self._select(query, record_id)):
                break
            name, count, slot = found[0]
            try:
                return self._block(name, count)[slot]
            except FileNotFoundError:
                continue
        raise RecordMissing("There is no image of that id in the store.")

    def text(self, record_id: str) -> str:
        """The de-identified report. Raises RecordMissing."""
        found = self._select("SELECT report FROM records WHERE record_id = ? AND report IS NOT NULL", record_id)
        if not found:
            raise RecordMissing("There is no report of that id in the store.")
        return self._sealed.open(found[0][0], _report_name(record_id)).decode()

    def read_flow(self, flow: str) -> tuple[list[str], list[str], npt.NDArray[np.int16]]:
        """Record ids, pseudonyms and images (n, size, size) of an image flow, in the order of ingest."""
        rows = self._select(
            "SELECT record_id, pseudonym, name, count, slot FROM records JOIN blocks USING (block)"
            " WHERE records.flow = ? ORDER BY ordinal",
            flow,
        )
        images = np.empty((len(rows), self.image_size, self.image_size), np.int16)
        for place, (_, _, name, count, slot) in enumerate(rows):
            images[place] = self._block(name, count)[slot]
        return [row[0] for row in rows], [row[1] for row in rows], images

    def patients_of_study(self, imaging_study: str) -> list[str]:
        """Pseudonyms with records of that examination: one, unless a hospital used a number twice."""
        query = "SELECT DISTINCT pseudonym FROM records WHERE imaging_study = ? ORDER BY pseudonym"
        return [row[0] for row in self._select(query, imaging_study)]

    def body_part_of_study(self, imaging_study: str) -> str:
        """The body part that the examination's images name first, or nothing."""
        query = "SELECT body_part FROM records WHERE imaging_study = ? AND body_part != '' ORDER BY ordinal LIMIT 1"
        return next((row[0] for row in self._select(query, imaging_study)), "")

    def counts(self) -> dict[str, int]:
        """Records by flow. True counts: for the site's own eyes."""
        return dict(self._select("SELECT flow, COUNT(*) FROM records GROUP BY flow ORDER BY flow"))

    def known_files(self) -> set[str]:
        """Keyed digests of every file that gave records."""
        return {row[0] for row in self._select("SELECT digest FROM files")}

    def quarantined(self) -> dict[str, int]:
        """Files refused so far, by reason."""
        return dict(self._select("SELECT reason, COUNT(*) FROM quarantine GROUP BY reason ORDER BY reason"))

    # --- writing ------------------------------------------------------------------------------------------------------

    def add_image(self, row: RecordRow, array: npt.NDArray[np.int16]) -> None:
        """Add one image (size, size) int16; an id that is there already changes nothing. Raises ValueError."""
        self.add_many(images=[(row, array)])

    def add_report(self, row: RecordRow, text: str) -> None:
        """Add one report, de-identified beforehand."""
        self.add_many(reports=[(row, text)])

    def add_many(
        self,
        *,
        images: Iterable[tuple[RecordRow, npt.NDArray[np.int16]]] = (),
        reports: Iterable[tuple[RecordRow, str]] = (),
        files: Iterable[tuple[str, str]] = (),
        refused: Iterable[tuple[str, str]] = (),
        settled: Iterable[str] = (),
    ) -> int:
        """Add all of it or nothing, and return how many records are new.

        files: (digest, pseudonym) of sources now known. refused: (place, reason). settled: places no longer refused.
        """
        by_flow: dict[str, list[tuple[RecordRow, npt.NDArray[np.int16]]]] = {}
        for row, array in images:
            if array.shape != (self.image_size, self.image_size) or array.dtype != np.int16:
                raise ValueError(f"An image of the store is int16, {self.image_size} x {self.image_size} pixels.")
            by_flow.setdefault(row.flow, []).append((row, array))
        with self._writing():
            added = sum(append(self._index, self._blocks, flow, rows) for flow, rows in by_flow.items())
            for row, text in reports:
                report = self._sealed.seal(text.encode(), _report_name(row.record_id))
                added += self._index.execute(INSERT, (*values_of(row), None, None, report)).rowcount
            self._index.executemany("INSERT OR IGNORE INTO files VALUES (?, ?)", files)
            self._index.executemany("DELETE FROM quarantine WHERE place = ?", [(place,) for place in settled])
            self._index.executemany("INSERT OR REPLACE INTO quarantine VALUES (?, ?)", refused)
        return added

    def forget(self, pseudonyms: Iterable[str]) -> int:
        """Erase every record of these patients, and the memory of their files; return how many records went.

        What a trained model has learned from them is not in the store and stays (its differential privacy bounds it).
        """
        with self._writing():
            return sum(erase_patient(self._index, self._blocks, name) for name in sorted(set(pseudonyms)))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _select(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._index.execute(query, values).fetchall()

    def _block(self, name: str, count: int) -> npt.NDArray[np.int16]:
        with self._lock:
            if name in self._cache:
                self._cache.move_to_end(name)
                return self._cache[name]
            images = self._cache[name] = self._blocks.read(name, count)
            self._cached_bytes += images.nbytes
            while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
            return images

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction; afterwards, block files that nothing names are erased."""
        with self._lock:
            self._index.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._index.execute("COMMIT")
            except BaseException:
                self._index.execute("ROLLBACK")
                raise
            finally:
                for name in sweep(self._index, self._blocks):
                    if name in self._cache:
                        self._cached_bytes -= self._cache.pop(name).nbytes


def has_store(site_dir: Path) -> bool:
    """Whether a store was made in this site's folder."""
    return (_folder(site_dir) / "index.sqlite").is_file()


def _folder(site_dir: Path) -> Path:
    return Path(site_dir) / "records"


def _report_name(record_id: str) -> str:
    return f"report/{record_id}"

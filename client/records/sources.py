"""What there is to ingest: a folder is listed, each file is a job, reports are read, side files are left alone.

A folder with `index.csv` (or the CSV itself) is an image folder: its rows say whose each picture is and what it shows.
Anything else is a tree that is walked for DICOM and NIfTI. Every file becomes a job, and so counts as ingested or
quarantined, except side files: hidden files, DICOMDIR, licences and readmes, and the suffixes of `SIDE_SUFFIXES`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from client.records.errors import SourceUnusable

INDEX = "index.csv"
REPORTS = "reports"
SIDE_SUFFIXES = frozenset(
    ".csv .tsv .txt .md .rst .json .xml .html .toml .yaml .yml .log .py .sh .ini .db .bval .bvec .sha256 .md5".split()
)
SIDE_NAMES = frozenset("license licence readme notice copying changelog dicomdir authors contributing version".split())
PICTURE_SUFFIXES = frozenset(".png .jpg .jpeg .bmp .gif .tif .tiff .webp".split())
NEEDED_COLUMNS = ("patient_id", "modality", "path")
_LARGE_FROM = 128
csv.field_size_limit(16 * 1024 * 1024)  # a long report is not an attack


@dataclass(frozen=True)
class Filters:
    """Which rows of an image folder to take; nothing given takes all. Rows left out are not looked at."""

    site_groups: frozenset[str] = frozenset()
    splits: frozenset[str] = frozenset()
    patients: frozenset[str] = frozenset()
    excluded_patients: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.site_groups or self.splits or self.patients or self.excluded_patients)

    def takes(self, row: IndexRow) -> bool:
        """Whether that row is wanted."""
        return (
            (not self.site_groups or row.site_group in self.site_groups)
            and (not self.splits or row.split in self.splits)
            and (not self.patients or row.patient_id in self.patients)
            and row.patient_id not in self.excluded_patients
        )


@dataclass(frozen=True, repr=False)
class IndexRow:
    """A row of an image folder's index; the columns of the same names."""

    patient_id: str
    modality: str
    path: str
    path256: str = ""
    view_or_sequence: str = ""
    body_part: str = ""
    text: str = ""
    text_kind: str = ""
    pair_group: str = ""
    site_group: str = ""
    split: str = ""


@dataclass(frozen=True, repr=False)
class Job:
    """One file to look at."""

    path: Path
    place: str
    """Below the source; only ever kept as a keyed hash."""
    row: IndexRow | None = None
    indexed: bool = False
    """The source has an index: a file without a row is nobody's."""


@dataclass(frozen=True, repr=False)
class Listing:
    """Everything in a source: the files, and the reports (examination number, text)."""

    jobs: list[Job]
    reports: list[tuple[str, str]] = field(default_factory=list)


def list_source(source: Path, *, filters: Filters, image_size: int) -> Listing:
    """List a source in a fixed order. Raises SourceUnusable."""
    if source.is_file() and source.suffix.lower() == ".csv":
        return _image_folder(source, filters, image_size)
    if source.is_dir() and (source / INDEX).is_file():
        return _image_folder(source / INDEX, filters, image_size)
    if filters:
        raise SourceUnusable("Site group, split and patient filters need an image folder with an index.csv.")
    if source.is_file():
        return Listing([Job(source, source.name)])
    if not source.is_dir():
        raise SourceUnusable("There is no such source: give a folder of DICOM, NIfTI, or images with an index.csv.")
    paths = list(_walk(source))
    reports = [report for path in paths for report in _reports_of(path)]
    return Listing(
        [Job(path, path.relative_to(source).as_posix()) for path in paths if not is_side_file(path)], reports
    )


def is_side_file(path: Path) -> bool:
    """Whether a file is left alone by rule."""
    return (
        path.name.startswith(".")
        or path.suffix.lower() in SIDE_SUFFIXES
        or path.name.split(".")[0].lower() in SIDE_NAMES
    )


def _image_folder(index: Path, filters: Filters, image_size: int) -> Listing:
    folder, rows = index.parent, list(_rows(index))
    jobs = [_row_job(folder, row, image_size) for row in rows if filters.takes(row)]
    named = {name for row in rows for name in (row.path, row.path256) if name}
    for path in _walk(folder):
        place = path.relative_to(folder).as_posix()
        if place not in named and not is_side_file(path):
            jobs.append(Job(path, place, indexed=True))
    return Listing(jobs)


def _row_job(folder: Path, row: IndexRow, image_size: int) -> Job:
    name = row.path256 if image_size > _LARGE_FROM and row.path256 else row.path
    return Job(folder / name, name, row, indexed=True)


def _rows(index: Path) -> Iterator[IndexRow]:
    known = IndexRow.__dataclass_fields__
    for row in _table(index, NEEDED_COLUMNS):
        yield IndexRow(**{name: (row.get(name) or "").strip() for name in known})


def _walk(folder: Path) -> Iterator[Path]:
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(base) / name for name in sorted(files))


def _reports_of(path: Path) -> Iterator[tuple[str, str]]:
    if path.name.lower() == f"{REPORTS}.csv":
        for row in _table(path, ("accession_number", "text")):
            number, text = (row["accession_number"] or "").strip(), (row["text"] or "").strip()
            if number and text:
                yield number, text
    elif path.suffix.lower() == ".txt" and path.parent.name.lower() == REPORTS:
        text = path.read_text(encoding="utf-8-sig", errors="replace").strip()
        if text:
            yield path.stem.strip(), text


def _table(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str | None]]:
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            reader = csv.DictReader(stream)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise SourceUnusable(f"{path.name} lacks the columns {', '.join(missing)}: add them to its first line.")
            yield from reader
    except (OSError, csv.Error):
        raise SourceUnusable(f"{path.name} cannot be read as a CSV file: export it again as UTF-8.") from None

"""One file in, one outcome out: the part of ingest that runs per file, in this process or in a pool.

Who a file is about is replaced by keyed hashes here, before the outcome goes anywhere. What an outcome still holds of
the header are the words to strike from the patient's reports, in memory and only where the source has reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.records import dicom, image, nifti
from client.records.errors import Refused
from client.records.index import RecordRow
from client.records.reading import Reading, content_of
from client.records.reasons import Quarantined, Reason
from client.records.rules import STRICT, ReadingRules
from client.records.sources import PICTURE_SUFFIXES, Job
from client.rights.naming import names_of
from privacy.deidentify import Identity, Pseudonyms
from privacy.report_text import deidentify

TEXT_FLOW = "text"
TEXT_KINDS = frozenset({"clinical_notes", "structured_fields", "dicom_header"})
REPORT = "report"
"""Text kind of a report of unstated kind."""
LABEL_ONLY = "label_only"
"""Rows of this kind have no report, only a label: it must not pass for one."""


@dataclass(frozen=True, repr=False)
class Outcome:
    """What became of one file."""

    place: str
    """Keyed hash of where it lies."""
    reason: Reason | None = None
    """Why it was refused; None where it was taken or is known."""
    known: bool = False
    """Its content is in the store already."""
    digest: str = ""
    pseudonym: str = ""
    images: tuple[tuple[RecordRow, npt.NDArray[np.int16]], ...] = ()
    reports: tuple[tuple[RecordRow, str], ...] = ()
    imaging_study: str = ""
    words: tuple[str, ...] = ()
    """To strike from reports of `imaging_study`."""


@dataclass(frozen=True, repr=False)
class JobReader:
    """Reads jobs for one site."""

    pseudonyms: Pseudonyms
    image_size: int
    known_files: frozenset[str] = frozenset()
    opted_out: frozenset[str] = frozenset()
    """Keyed hashes of patients whose files are not taken (client/rights/naming.py)."""
    with_reports: bool = False
    rules: ReadingRules = STRICT

    def read(self, job: Job) -> Outcome:
        """Never raises for what is in the file."""
        place = self.pseudonyms.of("place", job.place)
        try:
            return self._outcome(job, place, self._content(job))
        except Refused as refused:
            return Outcome(place, refused.reason)
        except (MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:  # one bad file never stops an ingest
            return Outcome(place, Reason.READER_FAILED)

    def _content(self, job: Job) -> bytes:
        """The bytes of a plain file inside the source. Raises Refused."""
        if job.row is not None and (".." in Path(job.place).parts or Path(job.place).is_absolute()):
            raise Refused(Reason.MISSING_FILE)
        if not job.path.is_file():
            raise Refused(Reason.UNREADABLE_FILE if job.row is None else Reason.MISSING_FILE)
        content = content_of(job.path)
        if not content:
            raise Refused(Reason.EMPTY)
        return content

    def _outcome(self, job: Job, place: str, content: bytes) -> Outcome:
        digest = self.pseudonyms.of("file", content, job.row.patient_id if job.row else "")
        if digest in self.known_files:
            return self._known(place, digest, content)
        readings = self._readings(job, content)
        if isinstance(readings, Quarantined):
            return Outcome(place, readings.reason)
        identity = readings[0].identity
        if not identity.patient_id.strip():
            return Outcome(place, Reason.NO_PATIENT)
        if names_of(identity, self.pseudonyms) & self.opted_out:
            return Outcome(place, Reason.OPTED_OUT)
        pseudonym, study = self.pseudonyms.patient(identity), self._study(identity)
        images = tuple(
            (self._row(digest, number, pseudonym, study, reading), reading.array)
            for number, reading in enumerate(readings)
        )
        reports = self._reports(job, images[0][0], identity)
        return Outcome(place, None, False, digest, pseudonym, images, reports, study, identity.known)

    def _known(self, place: str, digest: str, content: bytes) -> Outcome:
        """A file of an earlier ingest is not decoded again; its header only serves reports that came later."""
        identity = dicom.read_identity(content, with_known=True) if self.with_reports else None
        if identity is None:
            return Outcome(place, known=True, digest=digest)
        study, words = self._study(identity), identity.known
        return Outcome(place, known=True, digest=digest, imaging_study=study, words=words)

    def _readings(self, job: Job, content: bytes) -> list[Reading] | Quarantined:
        if is_nifti(job.path.name, content):
            return nifti.read(
                content, place=job.place, sidecar=_sidecar(job.path), image_size=self.image_size, rules=self.rules
            )
        if job.row is not None:
            return image.read(content, job.row, image_size=self.image_size, rules=self.rules)
        if is_dicom(content):
            return dicom.read(content, image_size=self.image_size, with_known=self.with_reports, rules=self.rules)
        picture = job.path.suffix.lower() in PICTURE_SUFFIXES or is_picture(content)
        return Quarantined(Reason.NOT_IN_INDEX if job.indexed or picture else Reason.NOT_AN_IMAGE)

    def _study(self, identity: Identity) -> str:
        return self.pseudonyms.imaging_study(identity.examination) if identity.examination.strip() else ""

    def _row(self, digest: str, number: int, pseudonym: str, study: str, reading: Reading) -> RecordRow:
        record_id = self.pseudonyms.of("image", digest, str(number))
        words = (reading.body_part, reading.sequence, reading.view_position)
        return RecordRow(record_id, pseudonym, study, reading.flow, *words)

    def _reports(self, job: Job, first: RecordRow, identity: Identity) -> tuple[tuple[RecordRow, str], ...]:
        if job.row is None or not job.row.text or job.row.text_kind == LABEL_ONLY:
            return ()
        kind = job.row.text_kind if job.row.text_kind in TEXT_KINDS else REPORT
        text = deidentify(job.row.text, known=identity.known)
        return () if not text else ((report_row(self.pseudonyms, first, text, kind), text),)


def report_row(pseudonyms: Pseudonyms, image_row: RecordRow, text: str, kind: str) -> RecordRow:
    """The row of a report that goes with an image; equal texts of one examination are one record."""
    record_id = pseudonyms.of("report", image_row.pseudonym, image_row.imaging_study, text)
    words = (image_row.body_part, image_row.sequence, "", kind)
    return RecordRow(record_id, image_row.pseudonym, image_row.imaging_study, TEXT_FLOW, *words)


def is_dicom(content: bytes) -> bool:
    """`DICM` behind a preamble, or a bare data set that begins with a low element of group 2 or 8."""
    if content[dicom.PREAMBLE : dicom.PREAMBLE + 4] == b"DICM":
        return True
    little = content[:1] in (b"\x02", b"\x08") and content[1:2] == b"\0" and content[3:4] == b"\0"
    big = content[:1] == b"\0" and content[1:2] in (b"\x02", b"\x08") and content[2:3] == b"\0"
    return len(content) >= 16 and (little or big)


def is_nifti(name: str, content: bytes) -> bool:
    """A NIfTI-1 or -2 file by its header, or a packed one by its name."""
    if name.lower().endswith(".nii.gz"):
        return True
    return content[344:347] in (b"n+1", b"ni1") or content[4:7] == b"n+2"


def is_picture(content: bytes) -> bool:
    """PNG, JPEG, GIF, BMP or TIFF by its first bytes."""
    return content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*"))


def _sidecar(path: Path) -> bytes | None:
    name = path.name.removesuffix(".gz").removesuffix(".nii")
    sidecar = path.with_name(f"{name}.json")
    return sidecar.read_bytes() if sidecar.is_file() else None

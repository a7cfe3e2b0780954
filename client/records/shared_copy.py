"""A de-identified copy of a DICOM tree, to share within the hospital. Ingest itself keeps no data set at all.

Two layers, each enough alone for every element of PS3.15 table E.1-1: a closed list of elements and values
(`privacy.copied_elements`), and then the table's actions (`privacy.basic_profile`). Pixels are decoded and written
anew, frame by frame, so that nothing rides along in a compressed stream, in unused bits or behind the image. What
ingest would refuse is left out, what it would deface is defaced. Names of files and folders are keyed hashes, as are
patient, accession number and UIDs: two copies under one key fit each other and the store; without the key nobody goes
back.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from client.records import dicom
from client.records.dicom_frames import frame_facts
from client.records.dicom_pixels import decoded_frames, own_bits
from client.records.errors import Refused, SourceUnusable
from client.records.quiet import quiet
from client.records.reading import content_of
from client.records.reading_job import is_dicom
from client.records.reasons import Reason
from client.records.rules import STRICT, ReadingRules
from client.records.sources import Filters, list_source
from privacy.basic_profile import apply_basic_profile, keyed_uid
from privacy.copied_elements import COPIED, allowed_part
from privacy.deidentify import Identity, Pseudonyms, identity_of
from privacy.keys import SiteKeys
from protocol.version import VERSION

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_EMPTY = (
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "Manufacturer",
)
"""Elements of type 2: an image is not valid without them, empty as they are."""
_METHODS = {
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113102": "Clean Recognizable Visual Features Option",
}
"""PS3.16 CID 7050. The second, because descriptions are written anew in our words; the third only where it was done."""
_FACES = "113102"
_SHORT = 16
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class CopyReport:
    """What a copy did. True counts: for the site's own eyes."""

    copied: int
    defaced: int
    """Of the copied."""
    refused: int
    reasons: dict[str, int] = field(default_factory=dict)
    """Files left out, by reason; sums to `refused`."""

    def to_json(self) -> dict[str, Any]:
        """The figures that the command prints for machines."""
        return {"copied": self.copied, "defaced": self.defaced, "refused": self.refused, "reasons": self.reasons}


def copy_deidentified(
    site_dir: Path,
    source: Path,
    out: Path,
    *,
    rules: ReadingRules = STRICT,
    progress: Progress | None = None,
) -> CopyReport:
    """Copy every image of a DICOM tree that may be kept into `out`, which must be new or empty.

    Raises SourceUnusable or KeysUnusable; never for one file.
    """
    source, out = Path(source), Path(out)
    pseudonyms = Pseudonyms(SiteKeys.open(Path(site_dir)).pseudonym_key)
    jobs = list_source(source, filters=Filters(), image_size=1).jobs
    _prepare(source, out)
    reasons: Counter[str] = Counter()
    copied = defaced = 0
    for done, job in enumerate(jobs, start=1):
        outcome = _copy_one(job.path, out, pseudonyms, rules)
        if isinstance(outcome, Reason):
            reasons[outcome.value] += 1
        else:
            copied, defaced = copied + 1, defaced + outcome
        if progress is not None:
            progress(done, len(jobs))
    return CopyReport(
        copied=copied, defaced=defaced, refused=sum(reasons.values()), reasons=dict(sorted(reasons.items()))
    )


def _prepare(source: Path, out: Path) -> None:
    if source.resolve() == out.resolve() or source.resolve() in out.resolve().parents:
        raise SourceUnusable("The copy would lie inside its source: give another --out.")
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = any(out.iterdir())
    except OSError:
        raise SourceUnusable("The folder for the copy cannot be made: give an --out that you own.") from None
    if taken:
        raise SourceUnusable("The folder for the copy is not empty: give a new --out.")


def _copy_one(path: Path, out: Path, pseudonyms: Pseudonyms, rules: ReadingRules) -> Reason | bool:
    """Write the copy of one file; whether it was defaced, or why it was left out."""
    try:
        with quiet():
            if not path.is_file():
                return Reason.UNREADABLE_FILE
            content = content_of(path)
            if not content or not is_dicom(content):
                return Reason.NOT_AN_IMAGE if content else Reason.EMPTY
            header = dicom.open_header(content, also=(*COPIED, *_UIDS))
            copy, defaced = deidentified(header, pseudonyms, rules)
            _write(copy, out)
            return defaced
    except Refused as refused:
        return refused.reason
    except (MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:  # one bad file never stops a copy
        return Reason.READER_FAILED


def deidentified(header: Any, pseudonyms: Pseudonyms, rules: ReadingRules) -> tuple[Any, bool]:
    """A new data set with the allowed part of an image, and whether it was defaced. Raises Refused."""
    identity = identity_of(header)
    if not identity.patient_id.strip():
        raise Refused(Reason.NO_PATIENT)
    facts = dicom.object_facts(header, rules)
    pixels, defaced = _pixels(header, facts, rules)
    copy = allowed_part(header)
    for name in _UIDS:
        if header.get(name):
            setattr(copy, name, str(header.get(name)))
    apply_basic_profile(copy, pseudonyms=pseudonyms)
    _say_whose(copy, identity, pseudonyms)
    _say_what(copy, facts)
    _say_how(copy, header, defaced)
    _set_pixels(copy, header, pixels)
    return copy, defaced


def _pixels(header: Any, facts: dicom.ObjectFacts, rules: ReadingRules) -> tuple[npt.NDArray[Any], bool]:
    """(frames, rows, columns) in stored values, faces erased in them, and whether any was. Raises Refused."""
    frames, defaced = [], False
    for number, stored in enumerate(decoded_frames(header)):
        clean = dicom.clean_frame(header, stored, number, facts, rules)
        stored = own_bits(header, stored)
        if clean.face is not None:
            face = clean.turn.undo(clean.face)
            stored = np.where(face, _darkest(header, stored, number), stored).astype(stored.dtype)
            defaced = True
        frames.append(stored)
    if not frames:
        raise Refused(Reason.PIXELS_UNREADABLE)
    return np.stack(frames), defaced


def _darkest(header: Any, stored: npt.NDArray[Any], number: int) -> Any:
    """The stored value that shows as air: the least, or for inverted images the greatest."""
    slope = frame_facts(header, number).slope
    inverted = str(header.get("PhotometricInterpretation") or "").strip() == "MONOCHROME1"
    return stored.max() if inverted != (slope is not None and slope < 0.0) else stored.min()


def _say_whose(copy: Any, identity: Identity, pseudonyms: Pseudonyms) -> None:
    pseudonym = pseudonyms.patient(identity)
    copy.PatientID, copy.PatientName = pseudonym, pseudonym
    copy.AccessionNumber = pseudonyms.imaging_study(identity.examination)[:_SHORT] if identity.examination else ""
    for name in _EMPTY:
        setattr(copy, name, "")
    for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not copy.get(name):
            setattr(copy, name, keyed_uid(pseudonyms, f"{name} {pseudonym} {identity.examination}"))


def _say_what(copy: Any, facts: dicom.ObjectFacts) -> None:
    """Descriptions in our own words, out of closed lists."""
    copy.BodyPartExamined = facts.body_part.upper()
    copy.SeriesDescription = " ".join(word for word in (facts.sequence, facts.modality) if word)
    if facts.view_position:
        copy.ViewPosition = {"LATERAL": "LL"}.get(facts.view_position, facts.view_position)
    copy.BurnedInAnnotation = "NO"


def _say_how(copy: Any, header: Any, defaced: bool) -> None:
    """PS3.3 C.7.1.1 and C.12.1: that the patient's identity was removed, and how."""
    from pydicom.dataset import Dataset

    codes = [code for code in _METHODS if code != _FACES or defaced]
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = [f"FedM2G {VERSION}", "allow-list", "PS3.15 table E.1-1"]
    copy.DeidentificationMethodCodeSequence = []
    for code in codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", _METHODS[code]
        copy.DeidentificationMethodCodeSequence.append(item)
    copy.LongitudinalTemporalInformationModified = "REMOVED"
    if defaced or str(header.get("RecognizableVisualFeatures") or "").strip().upper() == "NO":
        copy.RecognizableVisualFeatures = "NO"


def _set_pixels(copy: Any, header: Any, pixels: npt.NDArray[Any]) -> None:
    """Native little-endian pixels of one sample."""
    photometric = str(header.get("PhotometricInterpretation") or "").strip()
    copy.Rows, copy.Columns = pixels.shape[1:]
    if len(pixels) > 1:
        copy.NumberOfFrames = len(pixels)
    copy.SamplesPerPixel = 1
    copy.PhotometricInterpretation = photometric if photometric == "MONOCHROME1" else "MONOCHROME2"
    if pixels.dtype.kind == "f":
        raise Refused(Reason.PIXELS_UNREADABLE)
    bits = 8 * pixels.dtype.itemsize
    stored = int(header.get("BitsStored") or bits)
    copy.BitsAllocated, copy.BitsStored = bits, min(stored, bits)
    copy.HighBit, copy.PixelRepresentation = copy.BitsStored - 1, int(pixels.dtype.kind == "i")
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    copy.PixelData = content + b"\0" * (len(content) % 2)
    copy["PixelData"].VR = "OB" if bits == 8 else "OW"


def _write(copy: Any, out: Path) -> None:
    """One file, named by keyed hashes, readable by its owner only."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = copy.SOPClassUID, copy.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, UID("2.25.314159265358979")
    folder = out / copy.PatientID / copy.SeriesInstanceUID.removeprefix("2.25.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{copy.SOPInstanceUID.removeprefix('2.25.')}.dcm"
    file = FileDataset(str(path), copy, file_meta=meta, preamble=b"\0" * 128)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # one instance twice in the source, perhaps in two codings
        raise Refused(Reason.DUPLICATE) from None
    with os.fdopen(handle, "wb") as stream:
        file.save_as(stream, enforce_file_format=True)

"""DICOM in, readings out. Accepts CR, DX, RF, CT and MR images, classic and enhanced, in every transfer syntax that
pydicom's plug-ins decode, with or without preamble; a multi-frame file gives one reading per frame.

Refuses (see `Reason`): modalities without a flow, MRI sequences that are not surely T1, T2 or FLAIR, secondary
captures, documents, localizers, CT whose values are not Hounsfield units, colour, burned-in annotation, synthetic
images, and whatever is damaged. Of the header, only the allow-list of `privacy.deidentify` is ever parsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from client.records.burned_text import shows_text
from client.records.deface import Mask, erase, face_of_slice, is_head
from client.records.dicom_frames import (
    FrameFacts,
    acquisition_contrast,
    frame_facts,
    image_types,
    number,
    region_said,
    timing,
)
from client.records.dicom_pixels import canonical, decoded_frames
from client.records.errors import Refused
from client.records.flows import flow_of, mri_sequence
from client.records.intensity import AIR
from client.records.orientation import Turn, is_axial, turn_of_plane, turn_of_projection
from client.records.quiet import quiet
from client.records.reading import Plane, Reading, content_of
from client.records.reasons import Quarantined, Reason
from client.records.resample import to_store
from client.records.rules import STRICT, ReadingRules
from privacy.deidentify import IDENTIFYING, KEPT, Identity, body_part, identity_of, refusal_of_text, view_position

PREAMBLE = 128
_TEXT_REASONS = {
    "document": Reason.NO_PIXELS,
    "secondary-capture": Reason.SECONDARY_CAPTURE,
    "burned-in-annotation": Reason.BURNED_IN,
}
"""What `privacy.deidentify.refusal_of_text` says, as reasons."""
_DERIVED_CT = {"PERFUSION", "RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX", "PERMEABILITY"}


def read(
    source: Path | bytes, *, image_size: int = 64, with_known: bool = False, rules: ReadingRules = STRICT
) -> list[Reading] | Quarantined:
    """Every image of one file, in the order of its frames. Never raises for what is in the file.

    `with_known` also gathers the words to strike from the patient's reports.
    """
    try:
        with quiet():
            header = open_header(content_of(source))
            return _readings(header, image_size, identity_of(header, with_known=with_known), rules)
    except Refused as refused:
        return Quarantined(refused.reason)
    except (MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:  # one bad file never stops an ingest
        return Quarantined(Reason.READER_FAILED)


def read_identity(source: Path | bytes, *, with_known: bool = False) -> Identity | None:
    """Only whom a file is about; None where it cannot be read."""
    try:
        with quiet():
            return identity_of(open_header(content_of(source), pixels=False), with_known=with_known)
    except (Refused, OSError, ValueError):
        return None


def open_header(content: bytes, *, pixels: bool = True, also: tuple[str, ...] = ()) -> Any:
    """The allowed part of a file, and `also` these elements, as a pydicom data set. Raises Refused."""
    import pydicom

    try:
        header = pydicom.dcmread(BytesIO(content), force=True, specific_tags=_tags(also), stop_before_pixels=not pixels)
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        raise Refused(Reason.DAMAGED) from None
    if not header.file_meta.get("TransferSyntaxUID"):
        if content[PREAMBLE : PREAMBLE + 4] == b"DICM":
            raise Refused(Reason.NO_TRANSFER_SYNTAX)
        header.file_meta.TransferSyntaxUID = _guessed_syntax(header)
    if len(header) == 0:  # the meta was there, and the rest ends within its first elements
        raise Refused(Reason.DAMAGED)
    return header


@cache
def _tags(also: tuple[str, ...] = ()) -> list[int]:
    from pydicom.datadict import tag_for_keyword

    tags = (tag_for_keyword(name) for name in (*KEPT, *IDENTIFYING, *also))
    return [tag for tag in tags if tag is not None]


def _guessed_syntax(header: Any) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = header.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


@dataclass(frozen=True)
class ObjectFacts:
    """What an object that is not refused shows, in words of our lists."""

    modality: str
    flow: str
    sequence: str
    body_part: str
    view_position: str


@dataclass(frozen=True)
class Frame:
    """One frame in canonical intensities, turned into the radiological convention."""

    plane: Plane
    spacing: tuple[float, float]
    turn: Turn
    face: Mask | None
    """What defacing erased of `plane`; None where nothing had to be."""


def object_facts(header: Any, rules: ReadingRules) -> ObjectFacts:
    """What an object shows. Raises Refused for whatever is not taken, before any pixel is decoded."""
    modality = str(header.get("Modality") or "").strip().upper()
    words = image_types(header)
    sequence = _sequence(header, words) if modality == "MR" else ""
    _check_object(header, modality, words, sequence, rules)
    said = (_text(header, name) for name in ("BodyPartExamined", "StudyDescription", "SeriesDescription"))
    part = body_part(*said, region_said(header))
    view = "" if modality in ("CT", "MR") else view_position(_text(header, "ViewPosition"))
    return ObjectFacts(modality, flow_of(modality, sequence), sequence, part, view)


def clean_frame(header: Any, stored: Any, number_: int, facts: ObjectFacts, rules: ReadingRules) -> Frame:
    """One stored frame as it may be kept: without a face, and refused where text stands in it. Raises Refused."""
    of_frame = frame_facts(header, number_)
    ct = facts.modality == "CT"
    plane = canonical(header, stored, of_frame, ct=ct)
    if rules.burned_in_text == "refuse" and shows_text(plane):
        raise Refused(Reason.TEXT_IN_PIXELS)
    if facts.modality in ("CT", "MR"):
        turn = turn_of_plane(of_frame.orientation)
    else:
        turn = turn_of_projection(header.get("PatientOrientation"))
    spacing = of_frame.spacing[::-1] if turn.transpose else of_frame.spacing
    turned = turn.apply(plane)
    face = _face(header, turned, of_frame, facts, rules, spacing)
    return Frame(turned if face is None else erase(turned, face, ct=ct, air=AIR), spacing, turn, face)


def _face(
    header: Any,
    turned: Plane,
    of_frame: FrameFacts,
    facts: ObjectFacts,
    rules: ReadingRules,
    spacing: tuple[float, float],
) -> Mask | None:
    """What is to be erased of a head; None of anything else, and where the header says that no face can be seen."""
    if rules.head_scans == "allow" or str(header.get("RecognizableVisualFeatures") or "").strip().upper() == "NO":
        return None
    part = facts.body_part or ("brain" if facts.sequence == "FLAIR" else "")
    said = spacing if of_frame.spacing_said else None
    if not is_head(part, facts.modality, turned, said):
        return None
    if rules.head_scans == "refuse":
        raise Refused(Reason.HEAD_SCAN)
    return face_of_slice(turned, ct=facts.modality == "CT", spacing=said, axial=is_axial(of_frame.orientation))


def _readings(header: Any, size: int, identity: Identity, rules: ReadingRules) -> list[Reading]:
    facts = object_facts(header, rules)
    least = AIR if facts.modality == "CT" else 0.0
    readings = []
    for number_, stored in enumerate(decoded_frames(header)):
        frame = clean_frame(header, stored, number_, facts, rules)
        array = to_store(frame.plane, size=size, least=least, spacing=frame.spacing)
        readings.append(Reading(facts.flow, array, facts.body_part, facts.sequence, facts.view_position, identity))
    if not readings:
        raise Refused(Reason.PIXELS_UNREADABLE)
    return readings


def _check_object(header: Any, modality: str, words: list[str], sequence: str, rules: ReadingRules) -> None:
    """What is refused before any pixel is decoded, in the order in which the reasons are true of a file."""
    if str(header.get("SyntheticData") or "").strip().upper() == "YES":
        raise Refused(Reason.SYNTHETIC)
    if modality != "MR":
        flow_of(modality)
    if (shows_text := _text_refusal(header, words, rules)) in (Reason.SECONDARY_CAPTURE, Reason.NO_PIXELS):
        raise Refused(shows_text)
    if not any(name in header for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise Refused(Reason.NO_PIXELS)
    if shows_text is not None:
        raise Refused(shows_text)
    if "LOCALIZER" in words:
        raise Refused(Reason.LOCALIZER)
    if modality == "CT" and _DERIVED_CT & set(words):
        raise Refused(Reason.NOT_HOUNSFIELD)
    if str(header.get("PhotometricInterpretation") or "").strip() == "PALETTE COLOR":
        raise Refused(Reason.COLOUR)
    if modality == "MR":
        flow_of(modality, sequence)


def _text_refusal(header: Any, words: list[str], rules: ReadingRules) -> Reason | None:
    """Why text may stand in an object, as far as the site's policy minds. A document is refused by every policy."""
    why = refusal_of_text(
        sop_class=str(header.get("SOPClassUID") or ""),
        burned_in=str(header.get("BurnedInAnnotation") or ""),
        image_type=words,
    )
    allowed = (why == "secondary-capture" and rules.secondary_captures == "allow") or (
        why == "burned-in-annotation" and rules.burned_in_text == "allow"
    )
    return None if why is None or allowed else _TEXT_REASONS[why]


def _sequence(header: Any, words: list[str]) -> str:
    if (number(header.get("DiffusionBValue")) or 0.0) > 0.0:
        return ""
    said = " ".join(_text(header, name) for name in ("SeriesDescription", "ProtocolName", "SequenceName"))
    return mri_sequence(said, contrast=acquisition_contrast(header), image_type=words, timing=timing(header))


def _text(header: Any, name: str) -> str:
    return str(header.get(name) or "").strip()

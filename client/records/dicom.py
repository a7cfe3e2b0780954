"""DICOM in, readings out. Accepts CR, DX, RF, CT and MR images, classic and enhanced, in every transfer syntax that
pydicom's plug-ins decode, with or without preamble; a multi-frame file gives one reading per frame.

Refuses (see `Reason`): modalities without a flow, MRI sequences that are not surely T1, T2 or FLAIR, secondary
captures, documents, localizers, CT whose values are not Hounsfield units, colour, burned-in annotation, synthetic
images, and whatever is damaged. Of the header, only the allow-list of `privacy.deidentify` is ever parsed.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from client.records.dicom_frames import (
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
from client.records.orientation import turn_of_plane, turn_of_projection
from client.records.quiet import quiet
from client.records.reading import Reading, content_of
from client.records.reasons import Quarantined, Reason
from client.records.resample import to_store
from privacy.deidentify import IDENTIFYING, KEPT, Identity, body_part, identity_of, refusal_of_text, view_position

PREAMBLE = 128
_TEXT_REASONS = {
    "document": Reason.NO_PIXELS,
    "secondary-capture": Reason.SECONDARY_CAPTURE,
    "burned-in-annotation": Reason.BURNED_IN,
}
"""What `privacy.deidentify.refusal_of_text` says, as reasons."""
_DERIVED_CT = {"PERFUSION", "RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX", "PERMEABILITY"}


def read(source: Path | bytes, *, image_size: int = 64, with_known: bool = False) -> list[Reading] | Quarantined:
    """Every image of one file, in the order of its frames. Never raises for what is in the file.

    `with_known` also gathers the words to strike from the patient's reports.
    """
    try:
        with quiet():
            header = open_header(content_of(source))
            return _readings(header, image_size, identity_of(header, with_known=with_known))
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


def open_header(content: bytes, *, pixels: bool = True) -> Any:
    """The allowed part of a file as a pydicom data set. Raises Refused."""
    import pydicom

    try:
        header = pydicom.dcmread(BytesIO(content), force=True, specific_tags=_tags(), stop_before_pixels=not pixels)
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
def _tags() -> list[int]:
    from pydicom.datadict import tag_for_keyword

    tags = (tag_for_keyword(name) for name in (*KEPT, *IDENTIFYING))
    return [tag for tag in tags if tag is not None]


def _guessed_syntax(header: Any) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = header.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _readings(header: Any, size: int, identity: Identity) -> list[Reading]:
    modality = str(header.get("Modality") or "").strip().upper()
    words = image_types(header)
    sequence = _sequence(header, words) if modality == "MR" else ""
    _check_object(header, modality, words, sequence)
    flow = flow_of(modality, sequence)
    said = (_text(header, name) for name in ("BodyPartExamined", "StudyDescription", "SeriesDescription"))
    part = body_part(*said, region_said(header))
    view = "" if modality in ("CT", "MR") else view_position(_text(header, "ViewPosition"))
    readings = []
    for number_, stored in enumerate(decoded_frames(header)):
        facts = frame_facts(header, number_)
        plane = canonical(header, stored, facts, ct=modality == "CT")
        if modality in ("CT", "MR"):
            turn = turn_of_plane(facts.orientation)
        else:
            turn = turn_of_projection(header.get("PatientOrientation"))
        spacing = facts.spacing[::-1] if turn.transpose else facts.spacing
        array = to_store(turn.apply(plane), size=size, least=AIR if modality == "CT" else 0.0, spacing=spacing)
        readings.append(Reading(flow, array, part, sequence, view, identity))
    if not readings:
        raise Refused(Reason.PIXELS_UNREADABLE)
    return readings


def _check_object(header: Any, modality: str, words: list[str], sequence: str) -> None:
    """What is refused before any pixel is decoded, in the order in which the reasons are true of a file."""
    if str(header.get("SyntheticData") or "").strip().upper() == "YES":
        raise Refused(Reason.SYNTHETIC)
    if modality != "MR":
        flow_of(modality)
    if (shows_text := _text_refusal(header, words)) in (Reason.SECONDARY_CAPTURE, Reason.NO_PIXELS):
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


def _text_refusal(header: Any, words: list[str]) -> Reason | None:
    why = refusal_of_text(
        sop_class=str(header.get("SOPClassUID") or ""),
        burned_in=str(header.get("BurnedInAnnotation") or ""),
        image_type=words,
    )
    return None if why is None else _TEXT_REASONS[why]


def _sequence(header: Any, words: list[str]) -> str:
    if (number(header.get("DiffusionBValue")) or 0.0) > 0.0:
        return ""
    said = " ".join(_text(header, name) for name in ("SeriesDescription", "ProtocolName", "SequenceName"))
    return mri_sequence(said, contrast=acquisition_contrast(header), image_type=words, timing=timing(header))


def _text(header: Any, name: str) -> str:
    return str(header.get(name) or "").strip()

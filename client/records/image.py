"""PNG and JPEG in, one reading out. A picture says nothing of itself, so the index row says what it shows.

CT pictures are 8- or 16-bit grey that somebody's display window made: grey goes back to Hounsfield units through the
window that the row states ("window 400/40" is width/level), else through the usual window of the body part
(`DEFAULT_WINDOWS`). What that window clipped stays at its edges: it cannot be known again. X-ray and MRI are windowed
between percentiles of the image. Refuses colour, unreadable and blank pictures, and MRI of unknown sequence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.records.burned_text import shows_text
from client.records.deface import FACELESS, HEAD_PARTS, erase, face_of_slice
from client.records.errors import Refused
from client.records.flows import flow_of, mri_sequence
from client.records.intensity import AIR, by_percentiles, grey_to_hounsfield
from client.records.quiet import quiet
from client.records.reading import Reading, check_size, content_of
from client.records.reasons import Quarantined, Reason
from client.records.resample import to_store
from client.records.rules import STRICT, ReadingRules
from client.records.sources import IndexRow
from privacy.deidentify import Identity, body_part, known_words, view_position

#: The index's words and DICOM's own, to DICOM's.
MODALITIES: Mapping[str, str] = {
    "ct": "CT", "mri": "MR", "mr": "MR", "xray": "DX", "x-ray": "DX", "dx": "DX", "cr": "CR", "rf": "RF",
}  # fmt: skip
#: Width and level in HU of the window that a body part is usually shown in; the last is for everything else.
DEFAULT_WINDOWS: Mapping[str, tuple[float, float]] = {
    "chest": (1500.0, -600.0), "head": (80.0, 40.0), "brain": (80.0, 40.0), "": (400.0, 40.0),
}  # fmt: skip
_WINDOW = re.compile(r"window\s*(\d+(?:\.\d+)?)\s*/\s*(-?\d+(?:\.\d+)?)", re.IGNORECASE)
_GREY_TOLERANCE = 8


def read(
    source: Path | bytes, row: IndexRow, *, image_size: int = 64, rules: ReadingRules = STRICT
) -> list[Reading] | Quarantined:
    """The one image of a picture that this row describes. Never raises for what is in the file."""
    try:
        with quiet():
            return [_reading(content_of(source), row, image_size, rules)]
    except Refused as refused:
        return Quarantined(refused.reason)
    except (MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:  # one bad file never stops an ingest
        return Quarantined(Reason.READER_FAILED)


def window_of(row: IndexRow, part: str) -> tuple[float, float]:
    """Width and level through which a CT picture was made, as stated or by default."""
    if stated := _WINDOW.search(row.view_or_sequence):
        return max(float(stated[1]), 1.0), float(stated[2])
    return DEFAULT_WINDOWS.get(part, DEFAULT_WINDOWS[""])


def identity_of_row(row: IndexRow) -> Identity:
    """Whose it is: images of one pair group, or with one text, belong to one examination."""
    if not row.patient_id:
        raise Refused(Reason.NO_PATIENT)
    group = row.pair_group or (row.text if row.text_kind != "label_only" else "")
    examination = f"{row.patient_id}\n{group}" if group else ""
    return Identity(patient_id=row.patient_id, examination=examination, known=tuple(known_words([row.patient_id])))


def _reading(content: bytes, row: IndexRow, size: int, rules: ReadingRules) -> Reading:
    identity = identity_of_row(row)
    modality = MODALITIES.get(row.modality.lower(), "")
    sequence = mri_sequence(row.view_or_sequence) if modality == "MR" else ""
    flow, part = flow_of(modality, sequence), body_part(row.body_part)
    grey = decode(content)
    if rules.burned_in_text == "refuse" and shows_text(grey):
        raise Refused(Reason.TEXT_IN_PIXELS)
    if part in HEAD_PARTS and modality in ("CT", "MR") and not FACELESS.search(row.body_part.lower()):
        grey = _without_face(grey, rules)
    if modality == "CT":
        width, level = window_of(row, part)
        if grey.min() == grey.max():
            raise Refused(Reason.BLANK)
        plane = grey_to_hounsfield(grey, width=width, level=level)
        array = to_store(plane, size=size, least=max(AIR, level - width / 2.0))
    else:
        array = to_store(by_percentiles(grey), size=size, least=0.0)
    view = view_position(row.view_or_sequence) if flow == "xray" else ""
    return Reading(flow, array, part, sequence, view, identity)


def _without_face(grey: npt.NDArray[np.float32], rules: ReadingRules) -> npt.NDArray[np.float32]:
    """A head's picture without its rim: how it lies is not said, so all around. Raises Refused."""
    if rules.head_scans == "allow":
        return grey
    if rules.head_scans == "refuse":
        raise Refused(Reason.HEAD_SCAN)
    face = face_of_slice(grey, ct=False, spacing=None, axial=False)
    return np.asarray(erase(grey, face, ct=False, air=0.0), dtype=np.float32)


def decode(content: bytes) -> npt.NDArray[np.float32]:
    """(rows, columns) grey in 0..1, black to white. Raises Refused."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(content)) as picture:
            check_size(picture.height, picture.width)
            if picture.mode in ("L", "1", "LA"):
                return np.asarray(picture.convert("L"), dtype=np.float32) / 255.0
            if picture.mode in ("I", "I;16", "I;16B", "I;16L"):
                return np.asarray(picture, dtype=np.float32) / 65535.0
            colours = np.asarray(picture.convert("RGB"), dtype=np.int16)
    except UnidentifiedImageError:
        raise Refused(Reason.NOT_AN_IMAGE) from None
    except Image.DecompressionBombError:
        raise Refused(Reason.TOO_LARGE) from None
    except (OSError, SyntaxError, ValueError):
        raise Refused(Reason.PIXELS_UNREADABLE) from None
    if int((colours.max(-1) - colours.min(-1)).max()) > _GREY_TOLERANCE:
        raise Refused(Reason.COLOUR)
    return (colours.mean(-1) / 255.0).astype(np.float32)

"""Why a file is not taken: a closed list. A reason is one of these and never a sentence built from the file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Every reason for quarantine."""

    EMPTY = "empty-file"
    NOT_AN_IMAGE = "not-an-image"
    """Neither DICOM, NIfTI nor a picture by its first bytes."""
    UNREADABLE_FILE = "unreadable-file"
    """The operating system refuses to read it, or it is not a plain file."""
    DAMAGED = "damaged-header"
    """The header cannot be parsed or ends before it is complete."""
    NO_TRANSFER_SYNTAX = "no-transfer-syntax"
    """DICOM whose file meta does not say how its pixels are coded."""
    NO_PIXELS = "no-pixels"
    """A document, a raw-data object or a directory; nothing to see in it."""
    NO_FLOW = "no-flow"
    """A modality that no flow takes (nuclear medicine, structured report, ultrasound, ...)."""
    UNKNOWN_SEQUENCE = "unknown-mri-sequence"
    """MRI that is not surely T1, T2 or FLAIR; guessing would put it into the wrong flow."""
    NOT_HOUNSFIELD = "not-hounsfield"
    """CT whose values are declared to be something else, such as a perfusion map."""
    LOCALIZER = "localizer"
    """A scout view, not a slice."""
    SECONDARY_CAPTURE = "secondary-capture"
    """A screenshot or scan of paper: text may stand in its pixels."""
    BURNED_IN = "burned-in-annotation"
    """The header says that identifying text stands in the pixels."""
    TEXT_IN_PIXELS = "text-in-pixels"
    """The header says nothing, but lines of letters seem to stand in the pixels (`burned_text`)."""
    HEAD_SCAN = "head-scan"
    """CT or MRI of a head, which this site's policy refuses."""
    HEAD_NOT_DEFACED = "head-not-defaced"
    """CT or MRI of a head in which no outline was found, so that nothing could be erased."""
    SYNTHETIC = "synthetic"
    """Marked as generated: it belongs to no patient."""
    COLOUR = "colour"
    """Colour that is not merely grey in three planes."""
    PIXELS_UNREADABLE = "pixels-unreadable"
    """Pixel data cut short, or coded otherwise than the header says."""
    UNSUPPORTED_COMPRESSION = "unsupported-compression"
    """No installed decoder knows the transfer syntax."""
    TOO_LARGE = "too-large"
    TOO_SMALL = "too-small"
    BLANK = "blank-image"
    """Every pixel has the same value."""
    NOT_A_VOLUME = "not-a-volume"
    """NIfTI of other than three dimensions."""
    UNKNOWN_ORIENTATION = "unknown-orientation"
    """A volume that does not say where left and right are."""
    NO_PATIENT = "no-patient-id"
    """Nobody can say whose it is, so a promise per patient could not hold."""
    NOT_IN_INDEX = "not-in-index"
    """A picture without a row in the index CSV, so without patient and modality."""
    MISSING_FILE = "missing-file"
    """The index names a file that is not there, or lies outside the folder."""
    OPTED_OUT = "patient-opted-out"
    """On the hospital's opt-out list, or forgotten earlier."""
    DUPLICATE = "duplicate"
    """The same bytes a second time in one source."""
    READER_FAILED = "reader-failed"
    """A reader or decoder broke in a way that nobody foresaw."""


@dataclass(frozen=True)
class Quarantined:
    """A file that was not taken."""

    reason: Reason

"""NIfTI volumes in, central axial slices out, each a reading.

Modality and sequence come from the JSON sidecar of the same name, else from the file's name; the patient from the
sidecar, else from a BIDS-like part of the path (`sub-01`, `patient12`). The affine turns every slice into the
radiological convention, and a volume without one is refused. CT must be in Hounsfield units after scl_slope, scl_inter.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from client.records.burned_text import shows_text
from client.records.deface import FACELESS, erase, face_of_volume, is_head
from client.records.errors import Refused
from client.records.flows import MriTiming, flow_of, mri_sequence
from client.records.intensity import AIR, by_percentiles, hounsfield
from client.records.quiet import quiet
from client.records.reading import Reading, check_size, content_of
from client.records.reasons import Quarantined, Reason
from client.records.resample import to_store
from client.records.rules import STRICT, ReadingRules
from privacy.deidentify import Identity, body_part, known_words

SLICES = 8
"""At most so many slices of one volume, evenly over its middle."""
_MIDDLE = (0.3, 0.7)
_MAX_BYTES = 1 << 30
_PATIENT = re.compile(r"(?:^|[_-])(sub-[a-z0-9]+|(?:sub|subject|patient|pat|case)[-_]?\d[a-z0-9]*)", re.IGNORECASE)
_SESSION = re.compile(r"(?:^|[_-])(ses-[a-z0-9]+|(?:ses|session|study|visit)[-_]?\d[a-z0-9]*)", re.IGNORECASE)


def read(
    source: Path | bytes,
    *,
    place: str,
    sidecar: bytes | None = None,
    image_size: int = 64,
    rules: ReadingRules = STRICT,
) -> list[Reading] | Quarantined:
    """Slices of one volume. `place`: its path below the source. Never raises for what is in the file."""
    try:
        with quiet():
            return _readings(content_of(source), place, _described(sidecar), image_size, rules)
    except Refused as refused:
        return Quarantined(refused.reason)
    except (MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:  # one bad file never stops an ingest
        return Quarantined(Reason.READER_FAILED)


def _readings(content: bytes, place: str, said: dict[str, Any], size: int, rules: ReadingRules) -> list[Reading]:
    modality, sequence = _kind(place, said)
    flow = flow_of(modality, sequence)
    volume, spacing = _canonical(content)
    part = body_part(str(said.get("BodyPartExamined", "")), str(said.get("SeriesDescription", "")), place)
    identity = _identity(place, said)
    if rules.head_scans != "allow" and not FACELESS.search(f"{place} {said.get('ProcessingDescription', '')}".lower()):
        volume = _without_face(volume, spacing, modality, part or ("brain" if sequence == "FLAIR" else ""), rules)
    readings = []
    for number in _middle(volume.shape[2]):
        # From right-anterior-superior to rows front to back, columns from the patient's right to left.
        values = volume[::-1, ::-1, number].T
        if rules.burned_in_text == "refuse" and shows_text(values):
            raise Refused(Reason.TEXT_IN_PIXELS)
        if float(values.min()) == float(values.max()):
            continue
        plane = hounsfield(values) if modality == "CT" else by_percentiles(values)
        array = to_store(plane, size=size, least=AIR if modality == "CT" else 0.0, spacing=spacing[1::-1])
        readings.append(Reading(flow, array, part, sequence, "", identity))
    if not readings:
        raise Refused(Reason.BLANK)
    return readings


def _without_face(
    volume: npt.NDArray[np.float32], spacing: tuple[float, float, float], modality: str, part: str, rules: ReadingRules
) -> npt.NDArray[np.float32]:
    """The volume, defaced if it is of a head. Raises Refused where the policy refuses heads or none is found."""
    ct, slices = modality == "CT", _middle(volume.shape[2])
    if not is_head(part, modality, volume[:, :, slices[-1]], (spacing[0], spacing[1])):
        return volume
    if rules.head_scans == "refuse":
        raise Refused(Reason.HEAD_SCAN)
    face = face_of_volume(volume, ct=ct, spacing=spacing, slices=slices)
    return np.asarray(erase(volume, face, ct=ct, air=AIR), dtype=np.float32)


def _canonical(content: bytes) -> tuple[npt.NDArray[np.float32], tuple[float, float, float]]:
    """The volume with axes to right, anterior and superior, and the spacing of these axes, mm."""
    import nibabel as nib

    content = _unpacked(content)
    try:
        kind = nib.Nifti2Image if int.from_bytes(content[:4], "little") == 540 else nib.Nifti1Image
        image = kind.from_bytes(content)
    except Exception:
        raise Refused(Reason.DAMAGED) from None
    shape = tuple(image.shape)
    if len(shape) == 4 and shape[3] == 1:
        image = image.slicer[..., 0]
    if len(image.shape) != 3 or min(image.shape) < 1:
        raise Refused(Reason.NOT_A_VOLUME)
    if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        raise Refused(Reason.UNKNOWN_ORIENTATION)
    image = nib.as_closest_canonical(image)
    check_size(image.shape[0], image.shape[1])
    try:
        volume = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, ValueError, EOFError):
        raise Refused(Reason.PIXELS_UNREADABLE) from None
    zooms = tuple(float(zoom) for zoom in image.header.get_zooms()[:3])
    return volume, (zooms[0], zooms[1], zooms[2]) if min(zooms) > 0.0 else (1.0, 1.0, 1.0)


def _unpacked(content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as stream:
            unpacked = stream.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise Refused(Reason.PIXELS_UNREADABLE) from None
    if len(unpacked) > _MAX_BYTES:
        raise Refused(Reason.TOO_LARGE)
    return unpacked


def _middle(count: int) -> list[int]:
    places = np.linspace(_MIDDLE[0] * (count - 1), _MIDDLE[1] * (count - 1), min(SLICES, count))
    return sorted({int(round(place)) for place in places})


def _described(sidecar: bytes | None) -> dict[str, Any]:
    try:
        said = json.loads(sidecar) if sidecar else {}
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _kind(place: str, said: dict[str, Any]) -> tuple[str, str]:
    stem = Path(place).name.lower().removesuffix(".gz").removesuffix(".nii")
    words = set(re.split(r"[^a-z0-9]+", stem))
    modality = str(said.get("Modality", "")).upper() or ("CT" if "ct" in words else "MR")
    if modality != "MR":
        return modality, ""
    described = " ".join(str(said.get(name, "")) for name in ("SeriesDescription", "ProtocolName", "SequenceName"))
    times = [_milliseconds(said.get(name)) for name in ("RepetitionTime", "EchoTime", "InversionTime")]
    scanning = frozenset(re.split(r"[^A-Z]+", str(said.get("ScanningSequence", "")).upper())) - {""}
    timing = MriTiming(scanning, *times)
    return modality, mri_sequence(f"{stem} {described}", timing=timing)


def _milliseconds(seconds: Any) -> float | None:
    """BIDS states times in seconds."""
    return float(seconds) * 1000.0 if isinstance(seconds, (int, float)) else None


def _identity(place: str, said: dict[str, Any]) -> Identity:
    patient = str(said.get("PatientID", "")).strip() or _last(_PATIENT, place)
    if not patient:
        raise Refused(Reason.NO_PATIENT)
    examination = str(said.get("AccessionNumber", "")).strip() or f"{patient}\n{_last(_SESSION, place)}"
    known = known_words([patient, str(said.get("PatientName", ""))])
    return Identity(patient_id=patient, examination=examination, known=tuple(known))


def _last(pattern: re.Pattern[str], place: str) -> str:
    """The last part of a path that names a patient or session, lower case."""
    found = [match[1].lower() for part in Path(place).parts for match in pattern.finditer(part)]
    return found[-1] if found else ""

"""Which flow a record belongs to: from the DICOM modality, and for MRI from the sequence, named or inferred.

A sequence is taken from words (series description, protocol, acquisition contrast) where they are clear, else from the
physics (TR, TE, TI), else it is unknown: a guess would train one contrast under the name of another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from client.records.errors import Refused
from client.records.reasons import Reason
from protocol.study import DEFAULT_FLOWS, FlowSpec

_OTHER = re.compile(
    r"dwi|diff|\bdti\b|\badc\b|trace|swi\b|swan|t2\s*\*|t2star|t2_star|medic\b|hemo|\btof\b|angio|\bmra\b|perf|\bpwi\b"
    r"|\bdsc\b|\bdce\b|\basl\b|bold|fmri|\bep2d|field.?map|spectro|\bmrs\b|\bpd\b|proton|stir|phase|localizer|scout"
    r"|survey|mapping|\bt[12]\s*map"
)
_FLAIR = re.compile(r"flair|dark.?fluid|fluid.?att")
_T1 = re.compile(r"t1|mp.?rage|spgr|bravo|vibe|\btfl|flash")
_T2 = re.compile(r"t2|haste|ssfse|\bciss\b|fiesta")
_CONTRAST = {"T1": "T1", "T2": "T2", "FLUID_ATTENUATED": "FLAIR"}
_REFUSED_TYPES = frozenset("ADC DIFFUSION TRACEW FA SWI MIP PHASE PERFUSION T2_STAR TTP MTT CBF CBV".split())


@dataclass(frozen=True)
class MriTiming:
    """What is known of an acquisition; milliseconds, None where the header does not say."""

    scanning: frozenset[str] = frozenset()
    """Of SE, IR, GR, EP."""
    repetition: float | None = None
    echo: float | None = None
    inversion: float | None = None


def flow_of(modality: str, sequence: str = "", *, flows: Sequence[FlowSpec] = DEFAULT_FLOWS) -> str:
    """The flow of a DICOM modality and MRI sequence. Raises Refused."""
    candidates = [flow for flow in flows if flow.kind == "image" and modality in flow.modalities]
    if not candidates:
        raise Refused(Reason.NO_FLOW)
    for flow in candidates:
        if not flow.sequences or sequence in flow.sequences:
            return flow.name
    raise Refused(Reason.NO_FLOW if sequence else Reason.UNKNOWN_SEQUENCE)


def mri_sequence(
    words: str = "", *, contrast: str = "", image_type: Sequence[str] = (), timing: MriTiming | None = None
) -> str:
    """`T1`, `T2`, `FLAIR`, or nothing where it cannot be known."""
    if _REFUSED_TYPES & {part.upper() for part in image_type}:
        return ""
    said = re.sub(r"[_\-/]+", " ", words.lower())
    if _OTHER.search(words.lower()) or _OTHER.search(said):
        return ""
    if contrast:
        return _CONTRAST.get(contrast.upper(), "")
    return _from_words(said) or _from_timing(timing or MriTiming())


def _from_words(said: str) -> str:
    t1, t2 = bool(_T1.search(said)), bool(_T2.search(said))
    if _FLAIR.search(said):
        return "T1" if t1 and not t2 else "FLAIR"  # a "T1 FLAIR" is a T1 contrast
    if t1 != t2:
        return "T1" if t1 else "T2"
    return ""


def _from_timing(timing: MriTiming) -> str:
    """Limits in ms of the usual clinical contrasts at 1.5 and 3 T; between them nothing is claimed."""
    repetition, echo, inversion = timing.repetition, timing.echo, timing.inversion
    if repetition is None or echo is None:
        return ""
    if "IR" in timing.scanning or (inversion or 0.0) > 0.0:
        if inversion is not None and inversion >= 1500 and echo >= 60:
            return "FLAIR"
        return "T1" if inversion is not None and 300 <= inversion <= 1300 and echo <= 35 else ""
    if "SE" in timing.scanning:
        if repetition <= 1000 and echo <= 35:
            return "T1"
        return "T2" if repetition >= 1800 and echo >= 70 else ""
    if "GR" in timing.scanning and repetition <= 50 and echo <= 6:
        return "T1"
    return ""

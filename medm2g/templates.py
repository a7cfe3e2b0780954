"""Fixed public sentences about what kind of record something is: modality, body part, sequence, view.

They stand in for a report where a record has none, and prompt the text flow. Only words of the closed tables below
ever appear in them: a body part or view that is not listed is left out, so nothing that a header says can leak into a
prompt.
"""

from __future__ import annotations

from collections.abc import Mapping

#: As a sentence's start, and as its object.
_FLOW_WORDS: Mapping[str, tuple[str, str]] = {
    "xray": ("X-ray", "an X-ray"),
    "ct": ("CT", "a CT"),
    "mri": ("MRI", "an MRI"),
    "mri_t1": ("MRI", "an MRI"),
    "mri_t2": ("MRI", "an MRI"),
    "mri_flair": ("MRI", "an MRI"),
}
_FLOW_SEQUENCE: Mapping[str, str] = {"mri_t1": "T1-weighted", "mri_t2": "T2-weighted", "mri_flair": "FLAIR"}
_SEQUENCES: Mapping[str, str] = {"T1": "T1-weighted", "T2": "T2-weighted", "FLAIR": "FLAIR", "PD": "proton density"}
_VIEWS: Mapping[str, str] = {
    "PA": "PA view",
    "AP": "AP view",
    "LL": "lateral view",
    "RL": "lateral view",
    "LAT": "lateral view",
    "LATERAL": "lateral view",
    "L": "lateral view",
}
_BODY_PARTS: Mapping[str, str] = {
    "CHEST": "chest",
    "THORAX": "chest",
    "LUNG": "chest",
    "HEAD": "head",
    "BRAIN": "brain",
    "SKULL": "head",
    "ABDOMEN": "abdomen",
    "PELVIS": "pelvis",
    "SPINE": "spine",
    "NECK": "neck",
    "KNEE": "knee",
    "HAND": "hand",
    "BREAST": "breast",
    "HEART": "heart",
    "HIP": "hip",
    "SHOULDER": "shoulder",
    "ANKLE": "ankle",
    "FOOT": "foot",
    "ELBOW": "elbow",
    "WRIST": "wrist",
}


def template(flow: str, *, body_part: str = "", sequence: str = "", view_position: str = "") -> str:
    """The sentence of an image record, e.g. `Chest X-ray, PA view.` or `MRI of the brain, T1-weighted.`

    Empty when neither the flow nor the body part has a word: then nothing is known that could be said in public.
    """
    noun = _FLOW_WORDS.get(flow, ("", ""))[0]
    part = _BODY_PARTS.get(body_part.strip().upper(), "")
    sequence_words = _FLOW_SEQUENCE.get(flow) or (_SEQUENCES.get(sequence.strip().upper(), "") if noun == "MRI" else "")
    details = [sequence_words, _VIEWS.get(view_position.strip().upper(), "") if noun == "X-ray" else ""]
    subject = _subject(noun, part)
    return ", ".join([subject, *filter(None, details)]) + "." if subject else ""


def report_template(flow: str = "", *, body_part: str = "") -> str:
    """The prompt of the text flow: of which image flow, if that is known, the text is the report."""
    noun, with_article = _FLOW_WORDS.get(flow, ("", ""))
    part = _BODY_PARTS.get(body_part.strip().upper(), "")
    if not noun:
        return f"Radiology report of the {part}." if part else "Radiology report."
    if not part:
        return f"Radiology report of {with_article}."
    return (
        f"Radiology report of a {part} X-ray."
        if noun == "X-ray"
        else f"Radiology report of {with_article} of the {part}."
    )


def _subject(noun: str, part: str) -> str:
    if not noun:
        return f"Image of the {part}" if part else ""
    if not part:
        return noun
    return f"{part.capitalize()} X-ray" if noun == "X-ray" else f"{noun} of the {part}"

"""A radiology report from the truth: findings and impression, in the house style of each hospital."""

from __future__ import annotations

import numpy as np

from simulations.phantoms.anatomy import Finding, Patient, Region
from simulations.phantoms.population import Population

_SIZE_WORD = {"mild": "small", "moderate": "moderate", "severe": "large"}
_NEGATIVES: dict[Region, tuple[str, ...]] = {
    "chest": (
        "no pleural effusion",
        "no pneumothorax",
        "no focal consolidation",
        "the heart is not enlarged",
        "no pulmonary nodule",
    ),
    "head": (
        "no intracranial haemorrhage",
        "no mass lesion",
        "no white matter lesions",
        "the ventricles are not enlarged",
    ),
}
_DENIES = {
    "effusion": "no pleural effusion",
    "pneumothorax": "no pneumothorax",
    "consolidation": "no focal consolidation",
    "cardiomegaly": "the heart is not enlarged",
    "nodule": "no pulmonary nodule",
    "bleed": "no intracranial haemorrhage",
    "tumour": "no mass lesion",
    "lesions": "no white matter lesions",
    "ventriculomegaly": "the ventricles are not enlarged",
}
_SENTENCES: dict[str, tuple[str, ...]] = {
    "nodule": (
        "{Size} nodule in the {side} lung, about {mm} mm",
        "There is a {size} {side} pulmonary nodule of {mm} mm",
    ),
    "consolidation": ("{Size} consolidation in the {side} lung", "{Side} sided airspace consolidation, {severity}"),
    "effusion": ("{Size} {side} pleural effusion", "There is a {size} pleural effusion on the {side}"),
    "cardiomegaly": ("{Severity} cardiomegaly", "The heart is enlarged, {severity} cardiomegaly"),
    "pneumothorax": ("{Size} {side} pneumothorax", "There is a {size} pneumothorax on the {side}"),
    "tumour": (
        "{Size} mass in the {side} hemisphere with surrounding oedema, {mm} mm",
        "{Side} hemispheric tumour of {mm} mm with oedema",
    ),
    "bleed": ("{Size} {side} intraparenchymal haemorrhage", "Acute bleed in the {side} hemisphere, {mm} mm"),
    "lesions": (
        "Multiple white matter lesions, {side_phrase}",
        "{Severity} burden of white matter lesions, {side_phrase}",
    ),
    "ventriculomegaly": ("{Severity} ventriculomegaly", "The ventricles are enlarged, {severity} ventriculomegaly"),
}
_NORMAL: dict[Region, tuple[str, ...]] = {
    "chest": ("The lungs are clear and the heart size is normal", "No acute cardiopulmonary abnormality"),
    "head": ("The brain parenchyma is unremarkable", "No acute intracranial abnormality"),
}
_EXAMINATION: dict[Region, dict[str, str]] = {
    "chest": {"xray": "Chest radiograph", "ct": "CT of the chest"},
    "head": {"ct": "CT of the head", "mri": "MRI of the head"},
}


def _fill(sentence: str, finding: Finding) -> str:
    phrase = "in both hemispheres" if finding.side == "both" else f"in the {finding.side} hemisphere"
    size = _SIZE_WORD[finding.severity]
    return sentence.format(
        side=finding.side,
        Side=finding.side.capitalize(),
        side_phrase=phrase,
        size=size,
        Size=size.capitalize(),
        severity=finding.severity,
        Severity=finding.severity.capitalize(),
        mm=round(20 * finding.size),
    )


def region_sentences(finding: Finding, region: Region, rng: np.random.Generator) -> tuple[str, str]:
    """(findings sentence with one or two negatives, impression) of one region."""
    denied = _DENIES.get(finding.kind)
    negatives = [text for text in _NEGATIVES[region] if text != denied]
    chosen = [negatives[int(index)] for index in rng.permutation(len(negatives))[: int(rng.integers(1, 3))]]
    if finding.kind == "none":
        main = str(rng.choice(np.array(_NORMAL[region])))
        impression = "Normal study"
    else:
        options = _SENTENCES[finding.kind]
        main = _fill(options[int(rng.integers(len(options)))], finding)
        impression = _fill(options[0], finding)
    tail = ", ".join(chosen)
    return f"{main}. {tail[0].upper()}{tail[1:]}.", f"{impression}."


def report(patient: Patient, population: Population, region: Region, flows: tuple[str, ...]) -> str:
    """The report of one region's imaging study, findings first, then the impression. Deterministic in the patient."""
    rng = np.random.default_rng([patient.seed, 90 + (region == "head")])
    style = population.wording or int(rng.integers(1, 5))
    findings, impression = region_sentences(patient.finding(region), region, rng)
    name = examination(region, flows, patient)
    if style == 1:
        return f"{name}. Findings: {findings} Impression: {impression}"
    if style == 2:
        return f"EXAM: {name}. FINDINGS: {findings} CONCLUSION: {impression}"
    if style == 3:
        return f"{findings} In summary: {impression} ({name}.)"
    return f"{name}. {findings} Impression: {impression}"


def region_of(patient: Patient, flow: str) -> Region:
    """The region that an image of this flow shows."""
    return "chest" if flow == "xray" or (flow == "ct" and patient.ct_region == "chest") else "head"


def regions_of(patient: Patient, flows: tuple[str, ...]) -> list[Region]:
    """The regions that these flows show of this patient, chest first."""
    return sorted({region_of(patient, flow) for flow in flows if flow != "text"})


def examination(region: Region, flows: tuple[str, ...], patient: Patient) -> str:
    """What was done: `Chest radiograph and CT of the chest`."""
    kinds = ["xray" if flow == "xray" else flow[:3].rstrip("_") for flow in flows if flow != "text"]
    names = [
        text
        for kind, text in _EXAMINATION[region].items()
        if kind in kinds and (kind != "ct" or patient.ct_region == region)
    ]
    return " and ".join(names)

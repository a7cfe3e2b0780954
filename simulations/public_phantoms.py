"""Public phantoms as pre-training data: the public hospitals, whose seeds and scanners no hospital of a study has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medm2g.pretrain import PublicData
from medm2g.templates import report_template, template
from protocol.intensity import to_unit
from protocol.study import DEFAULT_FLOWS, FlowSpec
from simulations.phantoms import IMAGE_FLOWS, PhantomRecords
from simulations.phantoms.anatomy import Region
from simulations.phantoms.physics import SEQUENCES
from simulations.phantoms.report import region_of

_REGIONS: tuple[Region, ...] = ("chest", "head")
_PATIENT_HAS = len(_REGIONS)


def public_data(records: PhantomRecords, flows: Sequence[FlowSpec] = DEFAULT_FLOWS) -> PublicData:
    """Images in unit range, a report per region, and who belongs to whom: examination 2p is patient p's chest study,
    2p + 1 the head study. flows: whose tone curves hold; a flow that is not among them has the default one."""
    knots = {flow.name: flow.intensity for flow in (*DEFAULT_FLOWS, *flows)}
    people = np.arange(len(records.patients))
    texts, about, report_number = _texts(records)
    examinations = {
        flow: np.array([_examination(p, region_of(patient, flow)) for p, patient in enumerate(records.patients)])
        for flow in IMAGE_FLOWS
    }
    return PublicData(
        images={flow: to_unit(records.images[flow], knots[flow])[:, None].astype(np.float16) for flow in IMAGE_FLOWS},
        patients={**dict.fromkeys(IMAGE_FLOWS, people), "text": about // _PATIENT_HAS},
        texts=texts,
        report_of={flow: np.array([report_number[int(n)] for n in examinations[flow]]) for flow in IMAGE_FLOWS},
        templates={
            **{flow: [_sentence(records, flow, int(p)) for p in people] for flow in IMAGE_FLOWS},
            "text": [_prompt(int(n)) for n in about],
        },
        examinations={**examinations, "text": about},
        hospitals=_hospitals(records),
    )


def _hospitals(records: PhantomRecords) -> dict[int, int]:
    numbers = {name: number for number, name in enumerate(sorted(set(records.hospitals)))}
    return {p: numbers[name] for p, name in enumerate(records.hospitals)}


def _examination(patient: int, region: Region) -> int:
    return _PATIENT_HAS * patient + _REGIONS.index(region)


def _texts(records: PhantomRecords) -> tuple[list[str], npt.NDArray[np.int64], dict[int, int]]:
    """All reports, the examination of each, and each examination's report."""
    texts, about = [], []
    for p, reports in enumerate(records.reports):
        for region, text in reports.items():
            texts.append(text)
            about.append(_examination(p, region))
    return texts, np.array(about), {number: row for row, number in enumerate(about)}


def _sentence(records: PhantomRecords, flow: str, p: int) -> str:
    patient = records.patients[p]
    view = patient.view_position if flow == "xray" else ""
    return template(flow, body_part=region_of(patient, flow), sequence=SEQUENCES.get(flow, ""), view_position=view)


def _prompt(examination: int) -> str:
    """The prompt of a report: which kind of image it is about."""
    region = _REGIONS[examination % _PATIENT_HAS]
    return report_template("xray" if region == "chest" else "mri_t1", body_part=region)

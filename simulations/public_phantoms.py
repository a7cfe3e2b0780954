"""Public phantoms as pre-training data: the public hospitals, whose seeds and scanners no hospital of a study has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medm2g.pretrain import PublicData
from medm2g.templates import report_template, template
from protocol.intensity import to_unit
from protocol.study import DEFAULT_FLOWS, FlowSpec
from simulations.phantoms import IMAGE_FLOWS, PhantomRecords
from simulations.phantoms.anatomy import Region
from simulations.phantoms.physics import SEQUENCES
from simulations.phantoms.report import region_of, report

_REGIONS: tuple[Region, ...] = ("chest", "head")
_PATIENT_HAS = len(_REGIONS)


def public_data(records: PhantomRecords, flows: Sequence[FlowSpec] = DEFAULT_FLOWS) -> PublicData:
    """Images in unit range, their reports, and who belongs to whom: examination 2p is patient p's chest study, 2p + 1
    the head study. flows: whose tone curves hold; a flow that is not among them has the default one."""
    knots = {flow.name: flow.intensity for flow in (*DEFAULT_FLOWS, *flows)}
    people = np.arange(len(records.patients))
    reports = [written for p in people.tolist() for written in _reports(records, p)]
    number_of = {(written.patient, flow): n for n, written in enumerate(reports) for flow in written.flows}
    examinations = {
        flow: np.array([_examination(p, region_of(patient, flow)) for p, patient in enumerate(records.patients)])
        for flow in IMAGE_FLOWS
    }
    return PublicData(
        images={flow: to_unit(records.images[flow], knots[flow])[:, None].astype(np.float16) for flow in IMAGE_FLOWS},
        patients={**dict.fromkeys(IMAGE_FLOWS, people), "text": np.array([written.patient for written in reports])},
        texts=[written.text for written in reports],
        report_of={flow: np.array([number_of[p, flow] for p in people.tolist()]) for flow in IMAGE_FLOWS},
        templates={
            **{flow: [_sentence(records, flow, int(p)) for p in people] for flow in IMAGE_FLOWS},
            "text": [report_template(written.flows[0], body_part=written.region) for written in reports],
        },
        examinations={
            **examinations,
            "text": np.array([_examination(written.patient, written.region) for written in reports]),
        },
        hospitals=_hospitals(records),
    )


def _hospitals(records: PhantomRecords) -> dict[int, int]:
    names = [population.name for population in records.populations]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return {p: numbers[name] for p, name in enumerate(names)}


def _examination(patient: int, region: Region) -> int:
    return _PATIENT_HAS * patient + _REGIONS.index(region)


@dataclass(frozen=True)
class _Report:
    """A report, and which of a region's images it is about."""

    patient: int
    region: Region
    flows: tuple[str, ...]
    text: str


def _reports(records: PhantomRecords, p: int) -> list[_Report]:
    """A report begins with what was done. Of about every second patient the CT has one of its own, as it has where a
    hospital does nothing but CT; the others' are about all that shows the region."""
    patient, population, reports = records.patients[p], records.populations[p], []
    for region in _REGIONS:
        shown = tuple(flow for flow in IMAGE_FLOWS if region_of(patient, flow) == region)
        others = tuple(flow for flow in shown if flow != "ct")
        parts = [("ct",), others] if others != shown and patient.seed % 2 else [shown]
        reports += [_Report(p, region, flows, report(patient, population, region, flows)) for flows in parts]
    return reports


def _sentence(records: PhantomRecords, flow: str, p: int) -> str:
    patient = records.patients[p]
    view = patient.view_position if flow == "xray" else ""
    return template(flow, body_part=region_of(patient, flow), sequence=SEQUENCES.get(flow, ""), view_position=view)

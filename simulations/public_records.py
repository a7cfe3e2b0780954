"""Public data for pre-training, from phantoms or from a folder of public records that is read by a hospital's road."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from client.records.index import RecordRow, report_beside
from client.records.ingest import Progress as FilesLookedAt
from client.records.store import RecordStore
from medm2g.pretrain import PublicData
from medm2g.templates import report_template, template
from protocol.intensity import to_unit
from protocol.study import FlowSpec
from simulations.errors import InputInvalid
from simulations.folder_store import folder_store


def public_records(
    data: Path, flows: Sequence[FlowSpec], *, size: int, progress: FilesLookedAt | None = None
) -> PublicData:
    """Everything in a folder that belongs to these flows. Raises InputInvalid where that is nothing."""
    with folder_store(data, size=size, progress=progress) as store:
        public = _public_data(store, flows)
    if not any(len(images) for images in public.images.values()):
        raise InputInvalid("The folder holds no image of the study's flows: see what `fedm2g site ingest` says of it.")
    return public


def _public_data(store: RecordStore, flows: Sequence[FlowSpec]) -> PublicData:
    people = {pseudonym: number for number, pseudonym in enumerate(store.patients())}
    rows = [row for pseudonym in people for row in store.records(pseudonym)]
    by_flow = {flow.name: [row for row in rows if row.flow == flow.name] for flow in flows}
    present = [flow for flow in flows if by_flow[flow.name]]
    images = [flow for flow in present if flow.kind == "image"]
    reports = next((by_flow[flow.name] for flow in present if flow.kind == "text"), [])
    told: dict[str, list[int]] = {}
    for number, report in enumerate(reports):
        told.setdefault(report.pseudonym, []).append(number)
    studies: dict[str, int] = {}
    return PublicData(
        images={
            flow.name: np.stack([to_unit(store.image(r.record_id), flow.intensity) for r in by_flow[flow.name]])[
                :, None
            ].astype(np.float16)
            for flow in images
        },
        patients={flow.name: np.array([people[row.pseudonym] for row in by_flow[flow.name]]) for flow in present},
        texts=[store.text(row.record_id) for row in reports],
        report_of={
            flow.name: np.array([_number_of(row, reports, told) for row in by_flow[flow.name]]) for flow in images
        },
        templates={flow.name: [_sentence(row, flow) for row in by_flow[flow.name]] for flow in present},
        examinations={
            flow.name: np.array(
                [studies.setdefault(row.imaging_study or row.record_id, len(studies)) for row in by_flow[flow.name]]
            )
            for flow in present
        },
    )


def _number_of(image: RecordRow, reports: Sequence[RecordRow], told: Mapping[str, list[int]]) -> int:
    """Number of the report of an image's examination, or -1; `told` are the numbers of each patient's reports."""
    numbers = told.get(image.pseudonym, [])
    place = report_beside(image, [reports[number] for number in numbers])
    return -1 if place is None else numbers[place]


def _sentence(row: RecordRow, flow: FlowSpec) -> str:
    if flow.kind == "text":
        return report_template(body_part=row.body_part)
    return template(row.flow, body_part=row.body_part, sequence=row.sequence, view_position=row.view_position)


def with_sentences(data: PublicData, sentences: Sequence[str]) -> PublicData:
    """The same and more public texts, each of a patient of its own and about no image."""
    if not sentences:
        return data
    first = int(max((numbers.max() for numbers in map(np.asarray, data.patients.values())), default=-1)) + 1
    own = np.arange(first, first + len(sentences))
    text = data.text_flow
    examined = np.asarray(data.examinations.get(text, np.arange(len(data.texts))))
    further = int(max((np.asarray(n).max() for n in data.examinations.values()), default=-1)) + 1
    return PublicData(
        images=data.images,
        patients={**data.patients, text: np.concatenate([data.patients.get(text, np.zeros(0, np.int64)), own])},
        texts=[*data.texts, *sentences],
        report_of=data.report_of,
        templates={**data.templates, text: [*data.templates.get(text, ()), *[report_template()] * len(sentences)]},
        examinations={**data.examinations, text: np.concatenate([examined, further + np.arange(len(sentences))])}
        if data.examinations
        else {},
        hospitals=data.hospitals,
        text_flow=text,
    )

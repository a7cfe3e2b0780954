"""The patients of one study at one site, as the stage losses want them: one at a time, everything frozen computed.

Only records of the site's *declared* flows are read. An image goes with the report of its own examination, else with
any report of the same patient, else with the fixed public sentence of its modality, body part and sequence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from client.records.index import RecordRow, report_beside
from client.records.store import RecordStore
from client.vault.features import FeatureBuilder
from medm2g.generator import Generator
from medm2g.stages.source import PatientRecords
from medm2g.templates import report_template, template
from protocol.study import FlowSpec, Study

_ALIGN_BATCH = 64


@dataclass
class _FlowFeatures:
    """One flow's features of the whole store, row by row, and which rows are whose."""

    rows: list[RecordRow]
    latents: Tensor
    images: Tensor | None = None
    aligned: tuple[Tensor, Tensor] | None = None
    of_patient: dict[str, list[int]] = field(default_factory=dict)


class PatientFeatures:
    """A `PatientSource` (medm2g/stages/source.py) over a record store. Prints nothing about its patients."""

    def __init__(
        self,
        store: RecordStore,
        generator: Generator,
        study: Study,
        *,
        flows: Sequence[str],
        features: FeatureBuilder,
        with_images: bool,
        with_aligned: bool,
    ) -> None:
        """with_images: keep unit images (align). with_aligned: keep each image's aligned embedding and tokens, which is
        right only while the alignment groups stay as they are now (guide)."""
        self._store, self._generator = store, generator
        self._flows = [study.flow(name) for name in flows]
        rows: dict[str, list[RecordRow]] = {name: [] for name in flows}
        self._known = store.patients()
        for pseudonym in self._known:
            for row in store.records(pseudonym):
                if row.flow in rows:
                    rows[row.flow].append(row)
        self._texts: dict[str, Tensor] = {}
        self._features = {
            flow.name: self._built(flow, rows[flow.name], features, with_images=with_images, with_aligned=with_aligned)
            for flow in self._flows
            if rows[flow.name]
        }

    def pseudonyms(self) -> list[str]:
        """Who may be sampled: everyone here when this was built who has not been forgotten since."""
        present = set(self._store.patients())
        return [pseudonym for pseudonym in self._known if pseudonym in present]

    def patient(self, pseudonym: str) -> PatientRecords:
        """All records of that patient, in declared flows."""
        own = {
            flow.name: (self._features[flow.name], self._features[flow.name].of_patient[pseudonym])
            for flow in self._flows
            if flow.name in self._features and pseudonym in self._features[flow.name].of_patient
        }
        text = next((flow.name for flow in self._flows if flow.kind == "text"), "")
        reports = own[text][1] if text in own else []
        images = {name: found for name, found in own.items() if name != text}
        report_rows = [self._features[text].rows[place] for place in reports]
        shown = {name: [part.rows[place] for place in places] for name, (part, places) in images.items()}
        return PatientRecords(
            images={name: part.images[places] for name, (part, places) in images.items() if part.images is not None},
            latents={name: part.latents[places] for name, (part, places) in own.items()},
            text_tokens=self._text("tokens", reports),
            text_mask=self._text("mask", reports),
            text_ids=self._text("ids", reports).long(),
            text_pooled=self._text("pooled", reports),
            report_of={
                name: torch.tensor([_report_of(part.rows[place], report_rows) for place in places])
                for name, (part, places) in images.items()
            },
            templates={
                name: tuple(self._sentence(part.rows[place], shown) for place in places)
                for name, (part, places) in own.items()
            },
            imaging_study=_examinations({name: [part.rows[n] for n in places] for name, (part, places) in own.items()}),
            aligned={
                name: (part.aligned[0][places], part.aligned[1][places])
                for name, (part, places) in images.items()
                if part.aligned is not None
            },
        )

    def __repr__(self) -> str:
        return "PatientFeatures(hidden)"

    def _built(
        self, flow: FlowSpec, rows: list[RecordRow], features: FeatureBuilder, *, with_images: bool, with_aligned: bool
    ) -> _FlowFeatures:
        if flow.kind == "text":
            arrays = features.text_features(flow.name, rows)
            self._texts = {name: torch.from_numpy(arrays[name]) for name in ("tokens", "mask", "ids", "pooled")}
        else:
            arrays = features.image_features(flow, rows)
        built = _FlowFeatures(rows, torch.from_numpy(arrays["latents"]), of_patient=_places(rows))
        if flow.kind == "image" and (with_images or with_aligned):
            images = torch.from_numpy(features.unit_images(flow, rows))
            built.images = images if with_images else None
            built.aligned = self._aligned(flow.name, images) if with_aligned else None
        return built

    @torch.no_grad()
    def _aligned(self, flow: str, images: Tensor) -> tuple[Tensor, Tensor]:
        found = [self._generator.align(flow, batch.float()) for batch in images.split(_ALIGN_BATCH)]
        return torch.cat([part.embedding for part in found]), torch.cat([part.tokens for part in found])

    def _text(self, name: str, places: list[int]) -> Tensor:
        """That feature of some reports; no rows where there are none."""
        if name in self._texts:
            return self._texts[name][places]
        config = self._generator.config
        shapes = {
            "tokens": (config.context_length, config.context_width),
            "mask": (config.context_length,),
            "ids": (config.context_length,),
        }
        return torch.zeros(0, *shapes.get(name, (config.context_width,)))

    def _sentence(self, row: RecordRow, images: Mapping[str, Sequence[RecordRow]]) -> str:
        """The public sentence of a record, beside the images of its patient by flow."""
        if row.flow in self._generator.image_flows:
            return template(row.flow, body_part=row.body_part, sequence=row.sequence, view_position=row.view_position)
        return report_template(_flow_of_report(row, images), body_part=row.body_part)


def _places(rows: Sequence[RecordRow]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[row.pseudonym].append(place)
    return dict(places)


def _flow_of_report(report: RecordRow, images: Mapping[str, Sequence[RecordRow]]) -> str:
    """The first flow with an image of a report's own examination; else the patient's only one, or none of several."""
    beside = [flow for flow, own in images.items() if any(report_beside(image, [report]) == 0 for image in own)]
    return beside[0] if beside else next(iter(images)) if len(images) == 1 else ""


def _report_of(image: RecordRow, reports: Sequence[RecordRow]) -> int:
    """Row of the report that goes with an image: of its own examination, else the patient's first, else -1."""
    beside = report_beside(image, reports)
    return beside if beside is not None else 0 if reports else -1


def _examinations(rows: dict[str, list[RecordRow]]) -> dict[str, Tensor]:
    """By flow, a number per record, equal within one examination; a record of no known one stands alone."""
    numbers: dict[str, int] = {}
    return {
        flow: torch.tensor([numbers.setdefault(row.imaging_study or row.record_id, len(numbers)) for row in own])
        for flow, own in rows.items()
    }

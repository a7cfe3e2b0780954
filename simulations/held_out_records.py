"""Held-out real records: whole patients, read back from a store by the same road as those that train.

Their findings are not known by side, so only appearance can be judged by them, unless they are phantoms, whose reports
the rule labeller reads without error: then `read_findings`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from client.records.store import RecordRow, RecordStore
from medm2g.metrics.finding_scores import HEALTHY
from medm2g.metrics.report_findings import finding_labels
from medm2g.templates import template
from protocol.intensity import to_unit
from protocol.study import Study
from simulations.held_out import HeldOut, HeldOutFlow, HeldOutPair, HeldOutReport, Images

Item = TypeVar("Item")


@dataclass
class HeldOutRecords:
    """Gathers held-out patients site by site, then gives the set."""

    study: Study
    read_findings: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By image flow: the findings, without sides, that a report is read for; an image of which its report affirms one
    or none has a label then."""
    _images: dict[str, list[Images]] = field(default_factory=lambda: defaultdict(list))
    _prompts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _labels: dict[str, list[str | None]] = field(default_factory=lambda: defaultdict(list))
    _reports: list[HeldOutReport] = field(default_factory=list)
    _pairs: list[HeldOutPair] = field(default_factory=list)

    def add(self, store: RecordStore, pseudonyms: Iterable[str], flows: Sequence[str]) -> None:
        """Take every record of these patients in those flows into memory."""
        for pseudonym in pseudonyms:
            rows = [row for row in store.records(pseudonym) if row.flow in flows]
            self._add_patient(store, rows)

    def _add_patient(self, store: RecordStore, rows: list[RecordRow]) -> None:
        kinds = {flow.name: flow.kind for flow in self.study.flows}
        reports = [(row, store.text(row.record_id)) for row in rows if kinds[row.flow] == "text"]
        by_study: dict[str, dict[str, Images]] = defaultdict(dict)
        many: set[str] = set()
        for row in rows:
            if kinds[row.flow] == "text":
                continue
            image = to_unit(store.image(row.record_id), self.study.flow(row.flow).intensity)
            own = next((text for report, text in reports if report.imaging_study == row.imaging_study), None)
            self._images[row.flow].append(image)
            self._prompts[row.flow].append(own or _sentence(row))
            visible = frozenset(self.read_findings.get(row.flow, ()))
            labels = finding_labels(own, visible=visible) if own is not None and visible else None
            self._labels[row.flow].append(_only(labels))
            if own is not None:
                self._reports.append(HeldOutReport(own, {row.flow: image}, labels, visible))
            if row.imaging_study and row.flow in by_study[row.imaging_study]:
                many.add(row.imaging_study)
            by_study[row.imaging_study][row.flow] = image
        for imaging_study, images in by_study.items():
            if imaging_study and imaging_study not in many and len(images) > 1:
                self._pairs.append(HeldOutPair(images))

    def held_out(self, *, per_flow: int) -> HeldOut:
        """At most so many records per flow, evenly out of all that were gathered."""
        flows = {
            flow: HeldOutFlow(
                np.stack(_evenly(images, per_flow)),
                _evenly(self._prompts[flow], per_flow),
                _evenly(self._labels[flow], per_flow),
            )
            for flow, images in self._images.items()
        }
        said = "No held-out patient has a record of this flow."
        missing = {flow.name: said for flow in self.study.flows if flow.kind == "image" and flow.name not in flows}
        if not self._reports:
            missing |= {flow.name: said for flow in self.study.flows if flow.kind == "text"}
        return HeldOut(flows, _evenly(self._reports, per_flow), self._pairs, invented=False, missing=missing)


def _sentence(row: RecordRow) -> str:
    return template(row.flow, body_part=row.body_part, sequence=row.sequence, view_position=row.view_position)


def _only(labels: frozenset[str] | None) -> str | None:
    """The one label of an image as the referee names it; None where it is unknown, or there are several."""
    if labels is None or len(labels) > 1:
        return None
    return next(iter(labels), HEALTHY)


def _evenly(items: Sequence[Item], most: int) -> list[Item]:
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]

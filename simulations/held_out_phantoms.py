"""Held-out phantoms: patients of the study's own populations that no site has, with the truth known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from protocol.intensity import to_unit
from protocol.study import Study
from simulations.errors import InputInvalid
from simulations.held_out import HeldOut, HeldOutFlow, HeldOutPair, HeldOutReport, Images
from simulations.phantoms import (
    CHEST_FINDINGS,
    HEAD_FINDINGS,
    POPULATION_NAMES,
    PhantomRecords,
    PhysicsConfig,
    cohort,
    finding_label,
    render_cohort,
)
from simulations.phantoms.report import region_of

#: Far from the seeds of sites, of pre-training and of the referee.
HELD_OUT_SEED = 77_000
#: Patients per population that are looked at for pairs.
_LOOKED_AT = 64


@dataclass(frozen=True)
class _Part:
    """One population's held-out patients."""

    flows: tuple[str, ...]
    records: PhantomRecords
    units: dict[str, Images]
    """Flow to (patients, s, s) in [-1, 1]."""


def held_out_phantoms(
    study: Study,
    *,
    per_flow: int,
    size: int,
    physics: PhysicsConfig | None = None,
    processes: int = 2,
    on_patient: Callable[[], None] = lambda: None,
) -> HeldOut:
    """At least `per_flow` records of each flow, drawn in equal parts from the populations of the sites that declare it.

    Raises InputInvalid for a population that does not exist.
    """
    flows_of = _flows_by_population(study)
    sharers = {flow.name: sum(flow.name in flows for flows in flows_of.values()) for flow in study.flows}
    parts = []
    for number, (population, flows) in enumerate(sorted(flows_of.items())):
        patients = max(-(-per_flow // sharers[flow]) for flow in flows)
        people = cohort(population, patients, seed=HELD_OUT_SEED + 1000 * study.training.seed + number)
        records = render_cohort(people, flows, physics=physics, size=size, processes=processes, on_patient=on_patient)
        units = {flow: to_unit(pixels, study.flow(flow).intensity) for flow, pixels in records.images.items()}
        parts.append(_Part(flows, records, units))
    return HeldOut(
        flows={
            flow.name: _flow(flow.name, [part for part in parts if flow.name in part.units], per_flow)
            for flow in study.flows
            if flow.kind == "image" and sharers[flow.name]
        },
        reports=_reports([part for part in parts if "text" in part.flows and part.units], per_flow),
        pairs=[pair for part in parts for pair in _pairs(part)],
        missing={flow: "No site of the study declares this flow." for flow, sites in sharers.items() if not sites},
    )


def _flows_by_population(study: Study) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = defaultdict(set)
    for site in study.sites:
        population = site.population or "public"
        if population not in POPULATION_NAMES:
            raise InputInvalid(
                f"Site {site.name} has the population {population}, which no phantom has: choose one of"
                f" {', '.join(POPULATION_NAMES)}, or give real images with --data."
            )
        found[population] |= set(site.flows)
    order = [flow.name for flow in study.flows]
    return {name: tuple(flow for flow in order if flow in flows) for name, flows in found.items()}


def _flow(flow: str, parts: list[_Part], per_flow: int) -> HeldOutFlow:
    """Patients of the populations in turn, so that a shorter evaluation keeps their mix."""
    beside = [part.records.report_beside(flow) for part in parts]
    rows = [
        (part.units[flow][index], texts[index], finding_label(part.records.patients[index], flow))
        for index in range(max(len(part.records.patients) for part in parts))
        for part, texts in zip(parts, beside, strict=True)
        if index < len(part.records.patients)
    ][:per_flow]
    images, prompts, labels = zip(*rows, strict=True)
    return HeldOutFlow(np.stack(images), prompts, labels)


def _reports(parts: list[_Part], per_flow: int) -> list[HeldOutReport]:
    """One report per patient, with one image of the same region; flows take turns as the source."""
    longest = max((len(part.records.patients) for part in parts), default=0)
    return [
        _report(part, index, tuple(part.units)[index % len(part.units)])
        for index in range(longest)
        for part in parts
        if index < len(part.records.patients)
    ][:per_flow]


def _report(part: _Part, index: int, flow: str) -> HeldOutReport:
    patient = part.records.patients[index]
    region = region_of(patient, flow)
    return HeldOutReport(
        text=part.records.reports[index][region],
        sources={flow: part.units[flow][index]},
        labels=frozenset({finding_label(patient, flow)} - {"none"}),
        visible=frozenset(CHEST_FINDINGS if region == "chest" else HEAD_FINDINGS),
    )


def _pairs(part: _Part) -> list[HeldOutPair]:
    """Heads in several flows; a CT of the chest is no partner of a head. Those with a CT first."""
    pairs = []
    for index, patient in enumerate(part.records.patients[:_LOOKED_AT]):
        heads = {flow: images[index] for flow, images in part.units.items() if region_of(patient, flow) == "head"}
        if len(heads) > 1:
            pairs.append(HeldOutPair(heads))
    return sorted(pairs, key=lambda pair: -len(pair.images))

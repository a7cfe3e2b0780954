"""`summary.json`: what a run cost and brought, for machines. Every flow has every figure, or null and a reason."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from protocol.study import Study

FIGURES = (
    "frechet_before",
    "frechet_after",
    "frechet_public_continued",
    "finding_accuracy_before",
    "finding_accuracy_after",
    "finding_accuracy_public_continued",
    "finding_accuracy_held_out",
)


@dataclass(frozen=True)
class FlowQuality:
    """One generator's figures on one flow, one value per sampling seed; empty where the reason says why."""

    frechet: tuple[float, ...] = ()
    finding_accuracy: tuple[float, ...] = ()
    frechet_reason: str = ""
    accuracy_reason: str = ""


@dataclass(frozen=True)
class Quality:
    """One generator's figures on every flow."""

    flows: Mapping[str, FlowQuality]
    not_measured: str = ""
    """Why this generator was not measured at all."""

    def of(self, flow: str) -> FlowQuality:
        """The figures of a flow; empty ones where there are none."""
        return self.flows.get(flow, FlowQuality())


@dataclass(frozen=True)
class SiteSummary:
    """What one site spent and sent; all of it public."""

    name: str
    private: bool
    epsilon: float | None
    delta: float | None
    max_epsilon: float
    declared_patients: int
    rounds: int
    bytes_up: int
    bytes_down: int
    flows: tuple[str, ...] = ()
    patient_ids: str = "real"


@dataclass(frozen=True)
class Costs:
    """Seconds and bytes of the whole run on this machine."""

    wall_seconds: float
    training_seconds: float | None
    """What sites compute, and would compute without a federation too: the frozen networks' features once, and the
    steps. None where the engine cannot tell."""
    evaluation_seconds: float
    """Judging generators, and the public continuation that they are compared with."""
    preparation_seconds: float
    """Building the sites: phantoms, DICOM, ingest."""
    federation_seconds: float | None
    """Of the rounds, what was not training: messages, ledgers, aggregation, checkpoints."""
    peak_rss_bytes: int


@dataclass(frozen=True)
class Outcome:
    """Everything the summary and the report are made of."""

    study: Study
    digest: str
    costs: Costs
    sites: Sequence[SiteSummary]
    before: Quality
    after: Quality
    public_continued: Quality
    held_out_accuracy: Mapping[str, float] = field(default_factory=dict)
    physics: str | None = None
    """Digest of the phantoms' physics; None where the records are real."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """How generators were sampled to be judged."""


def summarise(outcome: Outcome) -> dict[str, Any]:
    """The content of `summary.json`."""
    costs = outcome.costs
    return {
        "study": outcome.study.name,
        "digest": outcome.digest,
        "wall_seconds": round(costs.wall_seconds, 2),
        "training_seconds": _rounded(costs.training_seconds),
        "evaluation_seconds": round(costs.evaluation_seconds, 2),
        "preparation_seconds": round(costs.preparation_seconds, 2),
        "federation_seconds": _rounded(costs.federation_seconds),
        "federation_overhead": _share(costs.federation_seconds, costs.wall_seconds),
        "peak_rss_bytes": costs.peak_rss_bytes,
        "physics": outcome.physics,
        "sampling": dict(outcome.sampling),
        "private": all(site.private for site in outcome.sites),
        "sites": {site.name: _site(site) for site in outcome.sites},
        "flows": {flow.name: _flow(outcome, flow.name) for flow in outcome.study.flows},
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _share(part: float | None, whole: float) -> float | None:
    return round(part / whole, 4) if part is not None and whole > 0 else None


def _site(site: SiteSummary) -> dict[str, Any]:
    values: dict[str, Any] = {
        "epsilon": site.epsilon,
        "delta": site.delta,
        "max_epsilon": site.max_epsilon,
        "declared_patients": site.declared_patients,
        "rounds": site.rounds,
        "bytes_up": site.bytes_up,
        "bytes_down": site.bytes_down,
        "private": site.private,
        "patient_ids": site.patient_ids,
    }
    if not site.private:
        values["reasons"] = {"epsilon": "This site trained without differential privacy, as its policy allows."}
    return values


def _flow(outcome: Outcome, flow: str) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(FIGURES)
    reasons: dict[str, str] = {}
    for when in ("before", "after", "public_continued"):
        quality: Quality = getattr(outcome, when)
        figures = quality.of(flow)
        fallback = quality.not_measured or "This flow was not measured."
        for name, samples, reason in (
            ("frechet", figures.frechet, figures.frechet_reason),
            ("finding_accuracy", figures.finding_accuracy, figures.accuracy_reason),
        ):
            if samples:
                values[f"{name}_{when}"] = fmean(samples)
                values[f"{name}_{when}_sd"] = stdev(samples) if len(samples) > 1 else None
            else:
                reasons[f"{name}_{when}"] = reason or fallback
    gains = [
        old - new for old, new in zip(outcome.before.of(flow).frechet, outcome.after.of(flow).frechet, strict=False)
    ]
    if len(gains) > 1:  # each seed's noise is the same for every generator, so the gain varies less than its two sides
        values["frechet_gain"], values["frechet_gain_sd"] = fmean(gains), stdev(gains)
    values["finding_accuracy_held_out"] = outcome.held_out_accuracy.get(flow)
    if values["finding_accuracy_held_out"] is None:
        reasons["finding_accuracy_held_out"] = "No held-out record of this flow has a finding that the referee knows."
    return values | ({"reasons": reasons} if reasons else {})


def write_atomically(path: Path, text: str) -> None:
    """Write beside and rename, so that no reader and no crash ever meets half a file."""
    beside = path.with_suffix(path.suffix + ".part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`."""
    write_atomically(path, json.dumps(summary, indent=1, allow_nan=False) + "\n")

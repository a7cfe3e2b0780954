"""Are written reports right: in their findings and in their words, beside the report codec's own round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from medm2g.generator import Generator
from medm2g.metrics.finding_scores import report_scores
from medm2g.metrics.report_findings import finding_labels
from medm2g.metrics.report_overlap import overlap
from simulations.held_out import HeldOutReport

FEWEST = 4


def report_figures(generator: Generator, reports: Sequence[HeldOutReport], written: Sequence[str]) -> dict[str, Any]:
    """written: one report per held-out one, from its images. `round_trip` is the ceiling: the true report, through the
    codec and back."""
    if len(reports) < FEWEST:
        return {"reason": f"Fewer than {FEWEST} records have a report."}
    truth = [report.text for report in reports]
    back = generator.decode_text(generator.encode_report(generator.encode_text(truth)))
    return {
        "records": len(reports),
        "written": _scored(written, truth, reports),
        "round_trip": _scored(back, truth, reports),
    }


def _scored(texts: Sequence[str], truth: Sequence[str], reports: Sequence[HeldOutReport]) -> dict[str, Any]:
    known = [at for at, report in enumerate(reports) if report.labels is not None]
    figures: dict[str, Any] = {"overlap": asdict(overlap(texts, truth))}
    if not known:
        return figures | {"findings": {"reason": "No finding of these reports is in the labeller's vocabulary."}}
    read = [finding_labels(texts[at], visible=reports[at].visible) for at in known]
    return figures | {"findings": asdict(report_scores(read, [reports[at].labels or frozenset() for at in known]))}

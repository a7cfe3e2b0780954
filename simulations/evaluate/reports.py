"""Are written reports right: in their findings and in their words, beside the report codec's own round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from medm2g.generator import Generator
from medm2g.metrics.finding_scores import ReportScores, report_scores
from medm2g.metrics.report_findings import finding_labels
from medm2g.metrics.report_overlap import overlap
from simulations.held_out import HeldOutReport

FEWEST = 4


def report_figures(
    generator: Generator,
    reports: Sequence[HeldOutReport],
    written: Sequence[str],
    write: Callable[[Sequence[HeldOutReport]], Sequence[str]],
) -> dict[str, Any]:
    """written: one report per held-out one, from all of its images; write: makes more of them. `by_source`: from the
    image of one flow alone, beside all that the record's images can show. `round_trip` is the ceiling: the true report,
    through the codec and back."""
    if len(reports) < FEWEST:
        return {"reason": f"Fewer than {FEWEST} records have a report."}
    truth = [report.text for report in reports]
    back = generator.decode_text(generator.encode_report(generator.encode_text(truth)))
    return {
        "records": len(reports),
        "written": _scored(written, truth, reports),
        "by_source": {
            flow: _scored(write(own), [report.text for report in own], own)
            for flow, own in _by_source(reports).items()
            if len(own) >= FEWEST
        },
        "round_trip": _scored(back, truth, reports),
    }


def _by_source(reports: Sequence[HeldOutReport]) -> dict[str, list[HeldOutReport]]:
    """Every report beside one of its images, by the flow of that."""
    flows = sorted({flow for report in reports for flow in report.sources})
    return {
        flow: [replace(report, sources={flow: report.sources[flow]}) for report in reports if flow in report.sources]
        for flow in flows
    }


def finding_f1(texts: Sequence[str], reports: Sequence[HeldOutReport]) -> float | None:
    """Of findings with their sides; None where no report's are known."""
    known = [at for at, report in enumerate(reports) if report.labels is not None]
    return _finding_scores(texts, reports, known).f1 if known else None


def _finding_scores(texts: Sequence[str], reports: Sequence[HeldOutReport], known: Sequence[int]) -> ReportScores:
    read = [finding_labels(texts[at], visible=reports[at].visible) for at in known]
    return report_scores(read, [reports[at].labels or frozenset() for at in known])


def _scored(texts: Sequence[str], truth: Sequence[str], reports: Sequence[HeldOutReport]) -> dict[str, Any]:
    known = [at for at, report in enumerate(reports) if report.labels is not None]
    figures: dict[str, Any] = {"overlap": asdict(overlap(texts, truth))}
    if not known:
        return figures | {"findings": {"reason": "No finding of these reports is in the labeller's vocabulary."}}
    return figures | {"findings": asdict(_finding_scores(texts, reports, known))}

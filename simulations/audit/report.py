"""`fedm2g audit report`: one self-contained page and one JSON. What is claimed, recomputed; what attacks reached
under the ceiling that the claim implies; what these audits would have noticed; what nobody tested.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from rich.progress import Progress

from privacy.audit.check import CheckResult
from protocol.version import VERSION
from simulations.audit.claims import SiteClaim, claim_checks, linked_epsilons, read_claims
from simulations.audit.figures import ceiling_of, power_chart, roc_chart
from simulations.audit.record import audit_record
from simulations.audit.run_folder import RunFolder
from simulations.audit.whole import Results, WholeTerms, audit_run, weakest_curve
from simulations.summary import write_atomically

TITLES = {
    "mechanism": "Mechanism on the installed build: remove-one, noise, sampler",
    "empirical": "Canary study: one-run bounds and the step log",
    "updates": "Single updates: gradient inversion, linking two studies",
    "release": "Released generator: membership inference, memorised samples",
    "twin": "Control: the same attacks on an overtrained, non-private twin",
}
NEVER_TESTED = (
    "Attacks that train many shadow models (LiRA, RMIA), and black-box audits over repeated runs.",
    "A server that chooses the parameters it sends so as to single a patient out: the guarantee covers it, no attack"
    " here does.",
    "Run time, memory and network traffic as side channels; floating-point attacks on the low bits of a release.",
    "Whoever holds a site's keys or owns its machine.",
    "What is true of all of a hospital's patients at once: differential privacy does not hide it.",
    "Patients whose records were ingested under two identities.",
)


def audit_report(run: RunFolder, out: Path, *, terms: WholeTerms, progress: Progress) -> dict[str, Any]:
    """Audit the run, write `report.html` and `report.json` into `out`, return the JSON. Raises as the audits do."""
    claims = read_claims(run.study, run.digest, run.sites, run.stated)
    results = audit_run(run, claims, terms=terms, progress=progress)
    report = _report(run, claims, results)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_atomically(out / "report.html", render(report, results))
    return report


def _report(run: RunFolder, claims: list[SiteClaim], results: Results) -> dict[str, Any]:
    checks = {"claim": [asdict(check) for check in _claim_checks(run, claims)]}
    checks |= {kind: list(found["checks"]) for kind, found in results.found.items()}
    missing = [name for name in (spec.name for spec in run.study.sites) if name not in run.sites]
    return {
        "kind": "report",
        "version": VERSION,
        "study": run.study.name,
        "study_digest": run.digest,
        "passed": all(check["passed"] for part in checks.values() for check in part),
        "failed": [check["name"] for part in checks.values() for check in part if not check["passed"]],
        "sites": {claim.name: _site(claim) for claim in claims},
        "sites_not_seen": missing,
        "one_two_all": None if (linked := linked_epsilons(claims)) is None else _finite(linked),
        "checks": checks,
        "ceiling": None if (curve := weakest_curve(claims)) is None else ceiling_of(curve),
        "record": audit_record(run.study, run.digest, claims, results.found),
        "not_tested": {TITLES[kind]: why for kind, why in results.not_tested.items()},
        "never_tested": list(NEVER_TESTED),
    }


def _claim_checks(run: RunFolder, claims: list[SiteClaim]) -> list[CheckResult]:
    seen, expected = len(claims), len(run.study.sites)
    return [
        CheckResult(
            name="sites",
            proposition="The ledger of every site of the study was seen.",
            passed=seen == expected,
            figure=f"{seen} of {expected}",
            power="A missing ledger fails: nothing is assumed of a site that nobody showed.",
        ),
        CheckResult(
            name="study",
            proposition="The study on disk is the one that the summary and the ledgers name.",
            passed=run.same_version and all(claim.events for claim in claims),
            figure=f"digest {run.digest[:16]}…",
            power="A changed study, another version of fedm2g or a ledger without this study fails.",
        ),
        *claim_checks(claims, max_epsilon=run.study.privacy.max_epsilon),
    ]


def _site(claim: SiteClaim) -> dict[str, Any]:
    figures = {"recomputed": claim.recomputed, "accounted": claim.accounted, "by_moments": claim.by_moments}
    return {
        "private": claim.private,
        "declared_patients": claim.declared_patients,
        "delta": claim.delta,
        "stated": claim.stated,
        "planned": claim.planned,
        "steps": dict(claim.steps_by_stage),
    } | _finite(figures)


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no infinity: None stands for "no bound"."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def render(report: Mapping[str, Any], results: Results) -> str:
    """The page as text."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(number=_number, bound=_bound, percent=_percent)
    source = files("simulations").joinpath("templates/audit.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        report=report,
        found=results.found,
        titles=TITLES,
        sections=[(kind, TITLES[kind], results.found[kind]["checks"]) for kind in TITLES if kind in results.found],
        charts=_charts(report, results.found),
    )


def _charts(report: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """By kind: (caption, picture)."""
    charts: dict[str, list[tuple[str, str]]] = {}
    if empirical := found.get("empirical"):
        under = roc_chart(empirical["curves"], empirical["ceiling"], title="canaries, white-box step log")
        what = power_chart(empirical["power"])
        charts["empirical"] = [
            (
                "Guessing which canaries are in, from every release, under the ceiling of the ledger's events. A curve"
                " of so few may cross it by chance; the test above decides.",
                under,
            ),
            ("What the one-run bound would have seen: simulated audits that refute, by the real noise.", what),
        ]
    if release := found.get("release"):
        picture = roc_chart(release["curves"], release["ceiling"], title="patients, released generator")
        charts["release"] = [("Every membership attack under the ceiling of the site that spent most.", picture)]
    if twin := found.get("twin"):
        picture = roc_chart(twin["twin"]["curves"], report["ceiling"], title="overtrained twin, no privacy")
        charts["twin"] = [
            (
                "The same attacks where a generator has learnt its patients by heart. The twin claims nothing; the"
                " ceiling drawn is the audited study's, for comparison.",
                picture,
            )
        ]
    return charts


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _bound(value: float | None) -> str:
    return "no bound" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"

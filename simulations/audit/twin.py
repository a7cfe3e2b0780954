"""`fedm2g audit twin`: do the attacks bite? They must find the members of a generator that was overtrained on purpose.

The twin's private sibling (same patients, code and steps, privacy on) is attacked beside it, so that what separates
the two is the mechanism alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from privacy.audit.check import CheckResult
from privacy.audit.trade_off import ClaimedCurve, stated_curve
from protocol.study import Study
from protocol.version import VERSION
from simulations.audit.release import MOST_AREA, ReleaseTerms, audit_release
from simulations.audit.small_federation import outsiders, train
from simulations.audit.twin_study import TwinTerms, twin_study
from simulations.study_file import read_study

LEAST_AREA = 0.95
"""An attack that does not reach this on the twin is broken (notes/privacy.md 6.3)."""


def audit_twin(study_path: Path, *, terms: TwinTerms, sibling: bool, progress: Progress) -> dict[str, Any]:
    """Train and attack the twin, and its sibling where asked; what `--json` prints. Raises as `simulate` does."""
    study = read_study(study_path, private=True)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, private in (("twin", False), ("sibling", True)):
            if not private or sibling:
                made = twin_study(study, terms, private=private)
                found[name] = _attacked(made, Path(temporary) / name, terms, name, progress)
    checks = [*_bites(found["twin"]), *(_holds(found["sibling"]) if sibling else [])]
    return {
        "kind": "twin",
        "version": VERSION,
        "study": study.name,
        "terms": asdict(terms),
        "checks": [asdict(check) for check in checks],
        "passed": all(check.passed for check in checks),
    } | found


def _attacked(study: Study, folder: Path, terms: TwinTerms, name: str, progress: Progress) -> dict[str, Any]:
    folder.mkdir()
    bar = progress.add_task(f"training the {name}", total=terms.rounds)
    trained = train(study, folder, on_round=partial(progress.advance, bar))
    others = outsiders(study, folder / "outsiders", site=0, patients=terms.patients)
    return audit_release(
        str(trained.generator),
        [trained.members],
        [others],
        claim=_claim(study),
        reference=str(trained.initial),
        terms=ReleaseTerms(flows=study.flows),
        progress=progress,
    )


def _claim(study: Study) -> ClaimedCurve | None:
    if not study.privacy.enabled:
        return None
    delta = study.privacy.delta_fraction / study.sites[0].declared_patients
    return stated_curve(study.privacy.max_epsilon, delta=delta)


def _bites(twin: Mapping[str, Any]) -> list[CheckResult]:
    checks = [
        CheckResult(
            name=f"control: {name}",
            proposition=f"The attack finds the members of an overtrained generator: an area of at least {LEAST_AREA}.",
            passed=figures["auc"]["value"] >= LEAST_AREA,
            figure=f"AUC {figures['auc']['value']:.3f} [{figures['auc']['low']:.3f}, {figures['auc']['high']:.3f}]",
            power="A blind attack would have failed.",
        )
        for name, figures in twin["attacks"].items()
    ]
    least = min((memory["p_value"] for memory in twin["samples"]), default=1.0)
    copied = max(twin["samples"], key=lambda memory: memory["nearest_share"], default=None)
    shown = "no samples" if copied is None else f"{100 * copied['nearest_share']:.0f} % nearest to a trained patient"
    return [
        *checks,
        CheckResult(
            name="control: memorisation",
            proposition="The sample test notices an overtrained generator.",
            passed=least <= 0.01,
            figure=f"{shown}, p = {least:.2g}",
            power="A blind test would have failed.",
        ),
    ]


def _holds(sibling: Mapping[str, Any]) -> list[CheckResult]:
    return [
        CheckResult(
            name=f"sibling: {check['name']}",
            proposition=check["proposition"],
            passed=check["passed"],
            figure=check["figure"],
            power=check["power"],
        )
        for check in sibling["checks"]
    ]


__all__ = ["LEAST_AREA", "MOST_AREA", "audit_twin"]

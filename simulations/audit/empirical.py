"""`fedm2g audit empirical`: the canary study of one site of a study, run, scored and judged.

Statement: `privacy/audit/canary_audit.py`. Two runs are made: one with the canaries whose coins said so, and a
rehearsal at a second site without any, whose releases an observer may subtract. Then the coins are opened.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from client.vault.generators import shared_generator
from privacy.audit.canaries import SealedCoins
from privacy.audit.canary_audit import CanaryVerdict, judge, planned_guesses
from privacy.audit.check import CheckResult
from privacy.audit.membership import Membership
from privacy.audit.power import NOISE_SCALES, Power, power
from privacy.audit.step_checks import step_checks
from privacy.audit.step_log import LoggedStep, difference_scores, scores
from privacy.audit.trade_off import claimed_curve
from privacy.events import SampledGaussian
from privacy.noise import NoiseStream
from protocol.study import SiteSpec, Study
from protocol.version import VERSION
from server.generator_folder import bind
from simulations.audit.canary_site import CanarySite
from simulations.audit.figures import ceiling_of, curve_of
from simulations.errors import InputInvalid, RunFailed
from simulations.generators import initial_folder
from simulations.simulate import IMAGE_SIZES
from simulations.study_file import read_study


@dataclass(frozen=True)
class CanaryTerms:
    """Size of a canary study."""

    canaries: int = 4000
    """m. They cost little; with fewer, only grosser faults are seen."""
    patients: int = 24
    """N: phantoms that train beside them, so that the sums are those of a real stage."""
    power_runs: int = 20
    """Simulated audits for each size of fault in the power statement."""
    stream_type: type[NoiseStream] = NoiseStream
    """Tests plant another one here, in the open."""


def audit_empirically(study_path: Path, *, site: str | None, terms: CanaryTerms, progress: Progress) -> dict[str, Any]:
    """Run it and return what `--json` prints. Raises StudyInvalid, InputInvalid, PrivacyError."""
    started = time.monotonic()
    study = read_study(study_path, private=True)
    canary_study, spec = as_canary_study(study, _chosen(study, site), terms)
    with tempfile.TemporaryDirectory() as temporary:
        folder = initial_folder(study, into=Path(temporary) / "initial")
        bound = bind(canary_study.model_copy(update={"generator_digest": ""}), folder)
        found = _judged(_run(bound, spec, terms, folder, Path(temporary), progress), terms, progress)
    return found | {"seconds": round(time.monotonic() - started, 1)}


@dataclass(frozen=True)
class _Runs:
    """Both runs, and the coins still sealed."""

    site: CanarySite
    coins: SealedCoins
    log: list[LoggedStep]
    rehearsal: list[LoggedStep]


def _run(study: Study, spec: SiteSpec, terms: CanaryTerms, generator: Path, place: Path, progress: Progress) -> _Runs:
    """With the canaries whose coins said so, at one site; without any and without patients, at another."""
    coins, rounds = SealedCoins(terms.canaries), sum(stage.rounds for stage in study.stages)
    sites, logs = [], []
    for name, phantoms, included in (("with", terms.patients, coins.included()), ("without", 0, [])):
        bar = progress.add_task(f"canary study, {name} canaries", total=rounds)
        size = IMAGE_SIZES[study.preset]
        site = CanarySite.build(study, spec, place / name, phantoms=phantoms, size=size, stream_type=terms.stream_type)
        tell = partial(progress.advance, bar)
        logs.append(site.run(shared_generator(generator), included, canaries=terms.canaries, on_round=tell))
        sites.append(site)
    return _Runs(sites[0], coins, *logs)


def as_canary_study(study: Study, site: SiteSpec, terms: CanaryTerms) -> tuple[Study, SiteSpec]:
    """The same terms for one site that declares N + m patients, under a name and so a digest of its own."""
    spec = site.model_copy(update={"declared_patients": terms.patients + terms.canaries})
    federation = study.federation.model_copy(update={"quorum": 1})
    changes = {"name": f"{study.name[:52]}-canaries", "sites": (spec,), "federation": federation}
    return study.model_copy(update=changes), spec


def _chosen(study: Study, name: str | None) -> SiteSpec:
    private = [site for site in study.sites if site.private] if study.privacy.enabled else []
    if not private:
        raise InputInvalid("The study trains without privacy at every site: there is no claim to audit.")
    if name is None:
        return min(private, key=lambda site: len(site.flows))
    chosen = study.site(name)
    if chosen not in private:
        raise InputInvalid(f"Site {name} trains without privacy: choose one of {[site.name for site in private]}.")
    return chosen


def _charged(site: CanarySite) -> list[SampledGaussian]:
    """What the ledger holds, not what we think we did."""
    events = site.ledger().events(site.plan.study_digest)[site.plan.study_digest]
    charged = [event for event in events if isinstance(event, SampledGaussian)]
    if len(charged) != len(events):
        raise RunFailed("The canary study's ledger holds a release without privacy: there is no claim to audit.")
    return charged


def _judged(runs: _Runs, terms: CanaryTerms, progress: Progress) -> dict[str, Any]:
    site, log, events = runs.site, runs.log, _charged(runs.site)
    study, spec = site.study, site.spec
    both = {"step log": scores(log), "difference of two runs": difference_scores(log, runs.rehearsal)}
    plan = planned_guesses(events, terms.canaries)
    opened = runs.coins.open()
    verdict = judge(both, opened, events, delta=site.plan.delta, plan=plan)
    bar = progress.add_task("what this audit would have seen", total=len(NOISE_SCALES) * terms.power_runs)
    tell = partial(progress.advance, bar)
    found = power(events, canaries=terms.canaries, plan=plan, runs=terms.power_runs, seed=1, on_run=tell)
    checks = [_bound_check(verdict, found), *step_checks(log, runs.rehearsal, opened)]
    return {
        "kind": "empirical",
        "version": VERSION,
        "study": study.name,
        "study_digest": study.digest(version=VERSION),
        "site": spec.name,
        "patients": terms.patients,
        "canaries": terms.canaries,
        "declared_patients": spec.declared_patients,
        "coins_digest": runs.coins.digest,
        "steps": len(log),
        "noise_multiplier": site.plan.noise_multiplier,
        "delta": verdict.delta,
        "claimed_epsilon": verdict.claimed,
        "planned_epsilon": site.plan.epsilon,
        "lower_bound": verdict.lower_bound,
        "confidence": 1.0 - verdict.significance,
        "guess_plan": asdict(verdict.plan),
        "by_score": {name: asdict(bounds) for name, bounds in verdict.by_score.items()},
        "checks": [asdict(check) for check in checks],
        "passed": all(check.passed for check in checks),
        "power": [asdict(one) for one in found],
        "curves": {name: curve_of(Membership(values[opened], values[~opened])) for name, values in both.items()},
        "ceiling": ceiling_of(claimed_curve(events)),
    }


def _bound_check(verdict: CanaryVerdict, found: list[Power]) -> CheckResult:
    seen = ", ".join(f"{one.refuted} of {one.runs} at {one.noise_scale:g}" for one in found if one.noise_scale < 1.0)
    alarms = next(one for one in found if one.noise_scale == 1.0)
    return CheckResult(
        name="one-run bound",
        proposition="No guess about the canaries is better than the events in the ledger allow.",
        passed=not verdict.refuted,
        figure=f"lower bound {verdict.lower_bound:.2f} ≤ claim {verdict.claimed:.2f}"
        if not verdict.refuted
        else f"lower bound {verdict.lower_bound:.2f} against claim {verdict.claimed:.2f}: the claim is refuted",
        power=f"Simulated audits that refute, by share of the charged noise: {seen};"
        f" false alarms {alarms.refuted} of {alarms.runs}.",
    )

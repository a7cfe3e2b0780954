"""Every audit of one run, in order; what was made before is kept, what is missing is made or named as not tested."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from medm2g.subsets import Subsets
from privacy.audit.trade_off import ClaimedCurve, claimed_curve
from privacy.events import SampledGaussian
from simulations.audit.claims import SiteClaim
from simulations.audit.commands import KINDS
from simulations.audit.empirical import CanaryTerms, audit_empirically
from simulations.audit.release import ReleaseTerms, audit_release
from simulations.audit.run_folder import AUDIT, RunFolder
from simulations.audit.small_federation import outsiders
from simulations.audit.twin import audit_twin
from simulations.audit.twin_study import TwinTerms
from simulations.audit.updates import UpdateTerms, audit_updates
from simulations.errors import InputInvalid
from simulations.generators import open_generator
from simulations.summary import write_atomically


@dataclass(frozen=True)
class WholeTerms:
    """How much each audit looks at."""

    canaries: CanaryTerms = field(default_factory=CanaryTerms)
    release: ReleaseTerms = field(default_factory=ReleaseTerms)
    updates: UpdateTerms = field(default_factory=UpdateTerms)
    twin: TwinTerms = field(default_factory=TwinTerms)
    others: Path | None = None
    """Records of patients who did not train, where the run's own patients are real."""
    kinds: tuple[str, ...] = KINDS
    """Audits to make where their result is missing."""


@dataclass(frozen=True)
class Results:
    """By kind: what was found, or why nothing was."""

    found: dict[str, dict[str, Any]]
    not_tested: dict[str, str]


def audit_run(run: RunFolder, claims: list[SiteClaim], *, terms: WholeTerms, progress: Progress) -> Results:
    """Results of every kind; new ones are written into the run's folder. Raises as the audits do."""
    found: dict[str, dict[str, Any]] = {}
    not_tested: dict[str, str] = {}
    for kind in KINDS:
        earlier = run.result(kind)
        if earlier is None and kind not in terms.kinds:
            not_tested[kind] = "It was not asked for."
        elif earlier is None and (why_not := _why_not(kind, run, claims, terms)):
            not_tested[kind] = why_not
        else:
            found[kind] = earlier if earlier is not None else _made(kind, run, claims, terms, progress)
    return Results(found, not_tested)


def audit_mechanism() -> dict[str, Any]:
    """Remove-one, noise and sampler tests on the installed build (`privacy.audit.mechanism_checks`)."""
    from protocol.version import VERSION

    checks = check_mechanism()()
    return {
        "kind": "mechanism",
        "version": VERSION,
        "checks": [asdict(check) for check in checks],
        "passed": all(check.passed for check in checks),
    }


def check_mechanism() -> Callable[..., list[Any]]:
    """The checks of the installed build. Raises InputInvalid where this build has none."""
    from importlib import import_module

    try:
        return import_module("privacy.audit.mechanism_checks").check_mechanism  # type: ignore[no-any-return]
    except ModuleNotFoundError:
        raise InputInvalid("This build has no mechanism checks: install a version of fedm2g that has.") from None


def keep(run: RunFolder, result: dict[str, Any]) -> None:
    """Write a result into the run's folder."""
    folder = run.folder / AUDIT
    folder.mkdir(exist_ok=True)
    write_atomically(folder / f"{result['kind']}.json", json.dumps(result, indent=1, allow_nan=False) + "\n")


def _why_not(kind: str, run: RunFolder, claims: list[SiteClaim], terms: WholeTerms) -> str:
    """Why an audit cannot be made of this run; empty where it can."""
    private = [claim for claim in claims if claim.private and any(isinstance(e, SampledGaussian) for e in claim.events)]
    if kind in ("empirical", "updates") and not private:
        return "Every site trained without privacy: there is no noise to audit."
    if kind == "updates" and not run.invented:
        return "It looks at updates without noise, so it needs open records, and this run's patients are real."
    if kind == "release" and not run.invented and terms.others is None:
        return "Nobody gave records of patients who did not train: use --nonmembers."
    if kind == "release" and not run.sites:
        return "No site's folder was found: give them with --site-dirs."
    if kind == "twin" and not run.invented:
        return "The twin is made of phantoms, which are not of this run's kinds."
    return ""


def _made(kind: str, run: RunFolder, claims: list[SiteClaim], terms: WholeTerms, progress: Progress) -> dict[str, Any]:
    path = run.folder / "study.toml"
    if kind == "mechanism":
        result = audit_mechanism()
    elif kind == "empirical":
        result = audit_empirically(path, site=None, terms=terms.canaries, progress=progress)
    elif kind == "twin":
        result = audit_twin(path, terms=terms.twin, sibling=False, progress=progress)
    elif kind == "updates":
        result = _updates(run, claims, terms, progress)
    else:
        result = _release(run, claims, terms, progress)
    keep(run, result)
    return result


def _updates(run: RunFolder, claims: list[SiteClaim], terms: WholeTerms, progress: Progress) -> dict[str, Any]:
    generator = open_generator(run.study.generator, preset=run.study.preset)
    generator.set_subsets(Subsets.of(run.study.training))
    private = [claim for claim in claims if claim.private]
    charged = [event for claim in private for event in claim.events if isinstance(event, SampledGaussian)]
    least = min(event.noise_multiplier for event in charged)
    wanted = max(terms.updates.inverted, terms.updates.linked)
    with tempfile.TemporaryDirectory() as temporary:
        place = run.study.sites.index(run.study.site(private[0].name))
        records = outsiders(run.study, Path(temporary) / "records", site=place, patients=wanted + wanted // 4)
        return audit_updates(
            run.study, generator, records, noise_multiplier=least, terms=terms.updates, progress=progress
        )


def _release(run: RunFolder, claims: list[SiteClaim], terms: WholeTerms, progress: Progress) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        others = [terms.others] if terms.others is not None else _outsiders(run, Path(temporary), terms)
        return audit_release(
            str(run.generator),
            list(run.sites.values()),
            others,
            claim=weakest_curve(claims),
            reference=run.study.generator,
            terms=ReleaseTerms(most=terms.release.most, sampling=terms.release.sampling, flows=run.study.flows),
            progress=progress,
        )


def _outsiders(run: RunFolder, folder: Path, terms: WholeTerms) -> list[Path]:
    """For each site as many phantoms of its population as are attacked of it."""
    each = -(-terms.release.most // len(run.sites))
    return [
        outsiders(run.study, folder / spec.name, site=place, patients=min(each, spec.declared_patients))
        for place, spec in enumerate(run.study.sites)
        if spec.name in run.sites
    ]


def weakest_curve(claims: list[SiteClaim]) -> ClaimedCurve | None:
    """The curve of the site that spent most: the ceiling for any patient of one site. None where one bounds nothing."""
    spent = [[event for event in claim.events if isinstance(event, SampledGaussian)] for claim in claims]
    whole = [claim.private and len(own) == len(claim.events) > 0 for claim, own in zip(claims, spent, strict=True)]
    if not claims or not all(whole):
        return None
    return claimed_curve(spent[max(range(len(claims)), key=lambda place: claims[place].recomputed)])

"""`fedm2g audit`: the commands that need a model. Each imports what it needs only when it runs.

Exit code 0 where every proposition held, 5 where one did not (`CLAIM_FAILED`). `add_to` puts them into the audit group.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from privacy.audit.trade_off import ClaimedCurve

CLAIM_FAILED = 5
KINDS = ("mechanism", "empirical", "updates", "release", "twin")
"""Audits of a run, in the order in which a report shows them."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study.toml.")]


def add_to(group: typer.Typer) -> None:
    """Put the commands of this room into `fedm2g audit`."""
    for command in (mechanism, empirical, release, updates, twin, report):
        group.command()(command)


def mechanism(as_json: Json = False) -> None:
    """Test the installed mechanism: remove one patient, scale of the noise, rate of the sampler."""
    from simulations.audit.whole import audit_mechanism

    _tell(audit_mechanism(), as_json=as_json)


def empirical(
    study: StudyFile,
    site: Annotated[str | None, typer.Option(help="Whose terms to audit; the private site of fewest flows.")] = None,
    canaries: Annotated[int, typer.Option(min=100, help="Invented patients whose presence is guessed.")] = 4000,
    patients: Annotated[int, typer.Option(min=1, help="Phantoms that train beside them.")] = 24,
    out: Annotated[Path | None, typer.Option(help="Also write the result to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Run a canary study with a study's terms: can anybody guess who took part better than its ledger allows?"""
    _ready(study)
    from simulations.audit.empirical import CanaryTerms, audit_empirically

    with _progress(as_json) as progress:
        found = audit_empirically(
            study, site=site, terms=CanaryTerms(canaries=canaries, patients=patients), progress=progress
        )
    _tell(found, as_json=as_json, out=out)


def release(
    generator: Annotated[str, typer.Argument(help="A generator folder, or `shipped`.")],
    members: Annotated[list[Path], typer.Option(help="Records of patients who trained, or a site; repeatable.")],
    nonmembers: Annotated[list[Path], typer.Option(help="The same of patients who did not; repeatable.")],
    reference: Annotated[str | None, typer.Option(help="The public generator that training started from.")] = None,
    epsilon: Annotated[float | None, typer.Option(min=0.0, help="What is claimed, for the ceiling.")] = None,
    delta: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="At which delta.")] = None,
    most: Annotated[int, typer.Option(min=8, help="Patients of either kind to attack.")] = 256,
    out: Annotated[Path | None, typer.Option(help="Also write the result to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Attack a generator: who trained, and are its samples memorised? Both folders by the road of a hospital."""
    from simulations.generators import generator_folder

    generator_folder(generator)
    claim = _claim(epsilon, delta)
    _ready()
    from simulations.audit.release import ReleaseTerms, audit_release

    with _progress(as_json) as progress:
        found = audit_release(
            generator,
            members,
            nonmembers,
            claim=claim,
            reference=reference,
            terms=ReleaseTerms(most=most),
            progress=progress,
        )
    _tell(found, as_json=as_json, out=out)


def updates(
    study: StudyFile,
    records: Annotated[Path, typer.Option(help="Open records only: updates are looked at without noise too.")],
    noise_multiplier: Annotated[float, typer.Option(min=1e-6, help="Of the study's plan: see `audit report`.")],
    as_json: Json = False,
) -> None:
    """Attack single updates: invert a gradient, and link two studies of one patient."""
    _ready(study)
    from medm2g.subsets import Subsets
    from simulations.audit.updates import UpdateTerms, audit_updates
    from simulations.generators import open_generator
    from simulations.study_file import read_study

    opened = read_study(study, private=True)
    generator = open_generator(opened.generator, preset=opened.preset)
    generator.set_subsets(Subsets.of(opened.training))
    with _progress(as_json) as progress:
        found = audit_updates(
            opened, generator, records, noise_multiplier=noise_multiplier, terms=UpdateTerms(), progress=progress
        )
    _tell(found, as_json=as_json)


def twin(
    study: StudyFile,
    sibling: Annotated[bool, typer.Option("--sibling", help="Train and attack its private sibling too.")] = False,
    patients: Annotated[int, typer.Option(min=8, help="Phantoms to learn by heart.")] = 50,
    rounds: Annotated[int, typer.Option(min=1, help="Steps.")] = 240,
    flow: Annotated[str | None, typer.Option(help="Image flow; the study's first by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the result to this file.")] = None,
    as_json: Json = False,
) -> None:
    """See the attacks bite: on a generator overtrained without privacy, by the study's own machinery."""
    _ready(study)
    from simulations.audit.twin import audit_twin
    from simulations.audit.twin_study import TwinTerms

    with _progress(as_json) as progress:
        found = audit_twin(
            study, terms=TwinTerms(patients=patients, rounds=rounds, flow=flow), sibling=sibling, progress=progress
        )
    _tell(found, as_json=as_json, out=out)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    site_dirs: Annotated[list[Path] | None, typer.Option(help="Sites' folders; RUN/work/sites. Repeatable.")] = None,
    nonmembers: Annotated[Path | None, typer.Option(help="Records of patients who did not train.")] = None,
    only: Annotated[str | None, typer.Option(help="Audits to make, comma separated; `none` collects.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.html and report.json; RUN/audit.")] = None,
    as_json: Json = False,
) -> None:
    """Audit a run whole: the claim recomputed, every attack under its ceiling, and what was not tested."""
    kinds = _kinds(only)
    _ready(run / "study.toml")
    from simulations.audit.report import audit_report
    from simulations.audit.run_folder import AUDIT, RunFolder
    from simulations.audit.whole import WholeTerms

    opened = RunFolder.open(run, site_dirs or [])

    folder = out or run / AUDIT
    with _progress(as_json) as progress:
        found = audit_report(opened, folder, terms=WholeTerms(others=nonmembers, kinds=kinds), progress=progress)
    checks = [check for part in found["checks"].values() for check in part]
    _tell(found | {"checks": checks} if not as_json else found, as_json=as_json)
    typer.echo(f"The report lies in {folder / 'report.html'}.", err=True)


def _kinds(only: str | None) -> tuple[str, ...]:
    if only is None:
        return KINDS
    chosen = tuple(part.strip() for part in only.split(",") if part.strip() not in ("", "none"))
    if unknown := [kind for kind in chosen if kind not in KINDS]:
        raise typer.BadParameter(f"there is no audit called {unknown[0]}: choose some of {', '.join(KINDS)}, or none")
    return chosen


def _claim(epsilon: float | None, delta: float | None) -> ClaimedCurve | None:
    from privacy.audit.trade_off import stated_curve

    if (epsilon is None) != (delta is None):
        raise typer.BadParameter("a claim needs both --epsilon and --delta")
    return None if epsilon is None or delta is None else stated_curve(epsilon, delta=delta)


def _ready(study: Path | None = None) -> None:
    """Before anything heavy is loaded: a mistake in the study is told at once."""
    from privacy.allocator import keep_freed_memory
    from simulations.study_file import read_study

    if study is not None:
        read_study(study, private=True)
    keep_freed_memory()


def _progress(quiet: bool) -> Progress:
    from client.progress import progress_bars

    return progress_bars(quiet=quiet)


def _tell(found: Mapping[str, Any], *, as_json: bool, out: Path | None = None) -> None:
    """Print every check; leave with exit code 5 where one failed."""
    text = json.dumps(found, indent=1, allow_nan=False)
    if out is not None:
        from simulations.summary import write_atomically

        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, text + "\n")
    if as_json:
        typer.echo(text)
    else:
        for check in found["checks"]:
            typer.echo(f"{'holds ' if check['passed'] else 'FAILED'}  {check['name']}: {check['proposition']}")
            typer.echo(f"        {check['figure']}")
            typer.echo(f"        would notice: {check['power']}")
    if not found["passed"]:
        raise typer.Exit(CLAIM_FAILED)

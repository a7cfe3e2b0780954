"""`fedm2g site`: what a hospital does on its own machine. Nothing here speaks to anybody.

Each command imports what it needs only when it runs. Exit codes are those of `fedm2g` itself: 2 wrong usage, 3 an
input that cannot be used, 4 refused by the policy or the ledger. Counts that these commands print are true ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from client.records.ingest import Progress
    from client.site_config import SitePaths
    from privacy.policy import SitePolicy

FLOWS = "xray,ct,mri_t1,mri_t2,mri_flair,text"
STAGES = "align,diffuse,guide"

app = typer.Typer(
    name="site",
    help="A hospital's own commands: set up, ingest records, copy de-identified, see what was spent, forget patients.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class PatientIds(StrEnum):
    """Whether the hospital knows its patients."""

    real = "real"
    pseudo = "pseudo"


Dir = Annotated[Path, typer.Option("--dir", help="The site's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command()
def init(
    name: Annotated[str, typer.Option(help="Registered name: small letters, digits and hyphens.")],
    site_dir: Dir,
    declared_patients: Annotated[int, typer.Option(min=1, help="Said once, rounded down, public.")] = 50,
    max_patients: Annotated[
        int | None, typer.Option(min=1, help="The store's limit; three times the declared.")
    ] = None,
    flows: Annotated[str, typer.Option(help="Declared flows, comma separated.")] = FLOWS,
    stages: Annotated[str, typer.Option(help="Stages to take part in, comma separated.")] = STAGES,
    max_epsilon: Annotated[float, typer.Option(help="Over the lifetime of these patients.")] = 16.0,
    max_epsilon_per_study: Annotated[float | None, typer.Option(help="Of one study; 8, or less.")] = None,
    max_delta: Annotated[float, typer.Option(help="Of one study, and of all together.")] = 1e-3,
    minimum_patients: Annotated[int, typer.Option(min=1, help="No study below this.")] = 50,
    allow_non_private: Annotated[bool, typer.Option("--allow-non-private", help="For public data only.")] = False,
    patient_ids: Annotated[PatientIds, typer.Option(help="`pseudo`: known by guesswork only.")] = PatientIds.real,
) -> None:
    """Make a site: its keys, and its policy in `site.toml`. Never overwrites one."""
    from client.site_setup import create_site
    from privacy.policy import SitePolicy

    with _unusable():
        policy = SitePolicy.from_dict(
            {
                "name": name,
                "declared_patients": declared_patients,
                "max_patients": 3 * declared_patients if max_patients is None else max_patients,
                "declared_flows": _words(flows),
                "max_epsilon": max_epsilon,
                "max_epsilon_per_study": min(8.0, max_epsilon)
                if max_epsilon_per_study is None
                else max_epsilon_per_study,
                "max_delta": max_delta,
                "allowed_stages": _words(stages),
                "minimum_patients": minimum_patients,
                "allow_non_private": allow_non_private,
                "patient_ids": patient_ids.value,
            }
        )
        paths = create_site(site_dir, policy)
    typer.echo(
        f"Site {policy.name} lies in {site_dir}: read {paths.policy}, and back up {paths.keys} where nobody looks."
    )


@app.command()
def ingest(
    site_dir: Dir,
    source: Annotated[Path, typer.Option(help="A DICOM tree, NIfTI files, or images with an index.csv.")],
    image_size: Annotated[int, typer.Option(min=8, max=1024, help="Pixels of a side in the store.")] = 64,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that read files.")] = 2,
    site_group: Annotated[list[str] | None, typer.Option(help="Only these groups of the index; repeatable.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="Only these splits of the index; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Read a hospital's files into the store, de-identified. Only what is new is added; a bad file never stops it."""
    _, policy = _site(site_dir)
    from client.records.ingest import ingest as run
    from client.records.rules import ReadingRules
    from client.records.sources import Filters

    filters = Filters(site_groups=frozenset(site_group or ()), splits=frozenset(split or ()))
    rules = ReadingRules.of(policy)
    with _unusable(), _progress(as_json) as progress:
        report = run(
            site_dir, source, image_size=image_size, filters=filters, workers=workers, rules=rules, progress=progress
        )
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
        return
    typer.echo(f"{report.records} records from {report.ingested} files; {report.quarantined} files refused.")
    for reason, count in report.reasons.items():
        typer.echo(f"  {count:>8}  {reason}")
    if report.known:
        typer.echo(f"{report.known} files were in the store already.")
    if report.unmatched_reports:
        typer.echo(
            f"{report.unmatched_reports} reports were left out: no images of exactly one patient have their number."
        )


@app.command()
def deidentify(
    site_dir: Dir,
    source: Annotated[Path, typer.Option(help="A DICOM tree; it is only read.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder for the copy.")],
    as_json: Json = False,
) -> None:
    """Write a de-identified copy of a DICOM tree, to share within the hospital: PS3.15 profile, keyed pseudonyms."""
    _, policy = _site(site_dir)
    from client.records.rules import ReadingRules
    from client.records.shared_copy import copy_deidentified

    with _unusable(), _progress(as_json) as progress:
        report = copy_deidentified(site_dir, source, out, rules=ReadingRules.of(policy), progress=progress)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
        return
    typer.echo(f"{report.copied} files copied, {report.defaced} of them defaced; {report.refused} files left out.")
    for reason, count in report.reasons.items():
        typer.echo(f"  {count:>8}  {reason}")


@app.command()
def status(site_dir: Dir, as_json: Json = False) -> None:
    """What the site allows, holds, refused, and has spent."""
    paths, policy = _site(site_dir)
    from client.site_status import in_words, site_status

    with _unusable():
        values = site_status(paths, policy)
    typer.echo(json.dumps(values, indent=1) if as_json else in_words(values))


@app.command()
def forget(
    site_dir: Dir,
    patient: Annotated[str | None, typer.Argument(help="A patient's id in the hospital, or a pseudonym.")] = None,
    listed: Annotated[Path | None, typer.Option("--list", help="A file with one patient a line.")] = None,
    issuer: Annotated[str, typer.Option(help="Issuer of the patient ids, where the images name one.")] = "",
    as_json: Json = False,
) -> None:
    """Erase every record of some patients. What was trained on stays bounded by its differential privacy."""
    paths, _ = _site(site_dir)
    patients = _patients(patient, listed)
    from client.records.store import RecordStore
    from client.vault.feature_cache import erase_features
    from privacy.deidentify import Identity, Pseudonyms
    from privacy.keys import SiteKeys

    with _unusable():
        pseudonyms = Pseudonyms(SiteKeys.open(site_dir).pseudonym_key)
        store = RecordStore.open(site_dir)
        try:
            here = set(store.patients())
            said = {one: {one, pseudonyms.patient(Identity(patient_id=one, issuer=issuer))} & here for one in patients}
            records = store.forget({pseudonym for found in said.values() for pseudonym in found})
        finally:
            store.close()
        erase_features(paths.state)
    figures = {
        "forgotten": sum(map(bool, said.values())),
        "records": records,
        "unknown": sum(not f for f in said.values()),
    }
    if as_json:
        typer.echo(json.dumps(figures, indent=1))
    else:
        typer.echo(
            f"{figures['records']} records of {figures['forgotten']} patients erased;"
            f" {figures['unknown']} of those named are not in the store. Take them out of the source too, or the next"
            " ingest reads them again."
        )


def _patients(patient: str | None, listed: Path | None) -> list[str]:
    from client.site_setup import SiteUnusable

    if (patient is None) == (listed is None):
        raise typer.BadParameter("Give one patient, or a file of them with --list.")
    if listed is None:
        return [str(patient).strip()]
    try:
        lines = listed.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise SiteUnusable(f"{listed} cannot be read: give a text file with one patient a line.") from None
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _site(site_dir: Path) -> tuple[SitePaths, SitePolicy]:
    """A site's places and policy. Raises SiteUnusable where the folder is none."""
    from client.site_config import SitePaths
    from privacy.policy import SitePolicy

    paths = SitePaths(site_dir)
    with _unusable():
        return paths, SitePolicy.read(paths.policy)


@contextmanager
def _unusable() -> Iterator[None]:
    """A policy or keys that cannot be used are an unusable input here, not a refusal: the sentence stays."""
    from client.site_setup import SiteUnusable
    from privacy.errors import ConfigInvalid, KeysUnusable

    try:
        yield
    except (ConfigInvalid, KeysUnusable) as error:
        raise SiteUnusable(str(error)) from None


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """A bar on stderr with the time left; silent for machines."""
    from client.progress import progress_bars

    bars = progress_bars(quiet=quiet)
    task = bars.add_task("Reading files", total=None)

    def show(looked_at: int, total: int) -> None:
        bars.start()  # only now: a source that cannot be used is one sentence and no bar
        bars.update(task, completed=looked_at, total=total)

    try:
        yield show
    finally:
        bars.stop()


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]

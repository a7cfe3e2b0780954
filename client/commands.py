"""`fedm2g site`: what a hospital does on its own machine. Only `relay` and `check` speak to anybody: the coordinator.

Each command imports what it needs only when it runs. Exit codes are those of `fedm2g` itself: 2 wrong usage, 3 an
input that cannot be used, 4 refused by the policy or the ledger. Counts that these commands print are true ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.joining_commands import connect, enrol, init
from client.running_commands import cancel, check, relay, start, stop, vault
from client.site_options import Dir, Json, site_at, unusable
from client.study_commands import approve, ledger, withdraw

if TYPE_CHECKING:
    from client.records.ingest import Progress

app = typer.Typer(
    name="site",
    help="A hospital's own commands: join, ingest records, approve studies, run, see what was spent, forget patients.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


for command in (init, enrol, connect, approve, withdraw, ledger, start, stop, cancel, check, vault, relay):
    app.command()(command)


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
    site_at(site_dir)
    from client.records.ingest import ingest as run
    from client.records.sources import Filters

    filters = Filters(site_groups=frozenset(site_group or ()), splits=frozenset(split or ()))
    with unusable(), _progress(as_json) as progress:
        report = run(site_dir, source, image_size=image_size, filters=filters, workers=workers, progress=progress)
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
def status(site_dir: Dir, as_json: Json = False) -> None:
    """What the site allows, holds, refused, and has spent."""
    paths, policy = site_at(site_dir)
    from client.site_status import in_words, site_status
    from client.vault_status import running_words, vault_status

    with unusable():
        values = site_status(paths, policy) | {"vault": vault_status(site_dir)}
    typer.echo(
        json.dumps(values, indent=1) if as_json else "\n".join([in_words(values), *running_words(values["vault"])])
    )


@app.command()
def forget(
    site_dir: Dir,
    patient: Annotated[str | None, typer.Argument(help="A patient's id in the hospital, or a pseudonym.")] = None,
    listed: Annotated[Path | None, typer.Option("--list", help="A file with one patient a line.")] = None,
    issuer: Annotated[str, typer.Option(help="Issuer of the patient ids, where the images name one.")] = "",
    as_json: Json = False,
) -> None:
    """Erase every record of some patients. What was trained on stays bounded by its differential privacy."""
    paths, _ = site_at(site_dir)
    patients = _patients(patient, listed)
    from client.records.store import RecordStore
    from client.vault.feature_cache import erase_features
    from privacy.deidentify import Identity, Pseudonyms
    from privacy.keys import SiteKeys

    with unusable():
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

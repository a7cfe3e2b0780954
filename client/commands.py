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
from client.rights.commands import dpia, forget, opt_outs
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
for command in (forget, opt_outs, dpia):
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
    _, policy = site_at(site_dir)
    from client.records.ingest import ingest as run
    from client.records.rules import ReadingRules
    from client.records.sources import Filters

    filters = Filters(site_groups=frozenset(site_group or ()), splits=frozenset(split or ()))
    rules = ReadingRules.of(policy)
    with unusable(), _progress(as_json) as progress:
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
    _, policy = site_at(site_dir)
    from client.records.rules import ReadingRules
    from client.records.shared_copy import copy_deidentified

    with unusable(), _progress(as_json) as progress:
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
    paths, policy = site_at(site_dir)
    from client.site_status import in_words, site_status
    from client.vault_status import running_words, vault_status

    with unusable():
        values = site_status(paths, policy) | {"vault": vault_status(site_dir)}
    typer.echo(
        json.dumps(values, indent=1) if as_json else "\n".join([in_words(values), *running_words(values["vault"])])
    )


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

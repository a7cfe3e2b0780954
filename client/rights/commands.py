"""`fedm2g site` forget, opt-outs, dpia: what a hospital owes its patients, and what it can show of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.site_options import Dir, Json, print_json, site_at, unusable


def forget(
    site_dir: Dir,
    patient: Annotated[str | None, typer.Argument(help="A patient's id in the hospital, or a pseudonym.")] = None,
    listed: Annotated[Path | None, typer.Option("--list", help="A file with one patient a line.")] = None,
    issuer: Annotated[str, typer.Option(help="Issuer of the patient ids, where the images name one.")] = "",
    as_json: Json = False,
) -> None:
    """Erase every record of some patients, and take no more of them. What was trained on stays bounded by its
    differential privacy."""
    if (patient is None) == (listed is None):
        raise typer.BadParameter("Give one patient, or a file of them with --list.")
    site_at(site_dir)
    from dataclasses import asdict

    from client.rights.forgetting import forget as erase
    from client.rights.naming import lines_of

    with unusable():
        named = lines_of(listed) if listed is not None else [str(patient).strip()]
        done = erase(site_dir, [f"{one}^^^{issuer}" if issuer and "^^^" not in one else one for one in named])
    if as_json:
        print_json(asdict(done))
        return
    typer.echo(
        f"{done.records} records of {done.forgotten} patients erased; {done.unknown} of those named are not in the"
        " store. No later ingest takes any of them. Not erased, because it cannot be done from here: the source and its"
        " backups, and what a generator has learned, which differential privacy bounds (`fedm2g site dpia`)."
    )


def opt_outs(site_dir: Dir, as_json: Json = False) -> None:
    """How many lines of opt-out.txt fit somebody in the store: a line that fits nobody may be misspelt."""
    paths, _ = site_at(site_dir)
    from client.records.store import RecordStore, has_store
    from client.rights.naming import lines_of, names_in
    from privacy.deidentify import Pseudonyms
    from privacy.keys import SiteKeys

    with unusable():
        pseudonyms = Pseudonyms(SiteKeys.open(site_dir).pseudonym_key)
        lines = lines_of(paths.opt_out) if paths.opt_out.exists() else []
        here: set[str] = set()
        if has_store(site_dir):
            store = RecordStore.open(site_dir)
            here = set(store.patients())
            store.close()
    fitting = sum(bool(names_in(line, pseudonyms) & here) for line in lines)
    if as_json:
        print_json({"lines": len(lines), "in_the_store": fitting})
        return
    typer.echo(f"{len(lines)} patients have opted out; {fitting} of them have records here, which no step draws.")
    if fitting < len(lines):
        typer.echo(
            f"{len(lines) - fitting} lines fit nobody in the store. If somebody should be there: the images may name an"
            " issuer, then write ID^^^ISSUER. No ingest takes files of any of them."
        )


def dpia(
    site_dir: Dir,
    study: Annotated[Path | None, typer.Argument(help="A study.toml; every approved study without it.")] = None,
) -> None:
    """Print the data-protection impact record, filled in from study, policy and ledger. Holds no true count."""
    paths, policy = site_at(site_dir)
    from client.rights.impact import impact_record
    from protocol.study import Study

    proposed = Study.read(study) if study is not None else None
    with unusable():
        typer.echo(impact_record(paths, policy, proposed), nl=False)

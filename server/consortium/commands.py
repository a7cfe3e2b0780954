"""`fedm2g consortium`: what the coordinator of a consortium does. Each command imports what it needs when it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.consortium.places import ConsortiumPlaces

app = typer.Typer(
    name="consortium",
    help="The coordinator's commands: set up, enrol hospitals, run studies, see how they stand, fetch the generator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Dir = Annotated[Path, typer.Option("--dir", help="The consortium's folder.", envvar="FEDM2G_CONSORTIUM")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
DEFAULT = Path("consortium")


@app.command()
def init(
    host: Annotated[
        list[str] | None, typer.Option(help="Name or address by which hospitals reach it; repeatable.")
    ] = None,
    folder: Dir = DEFAULT,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The one port.")] = 8000,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",
    renew: Annotated[bool, typer.Option("--renew", help="Only a new certificate, from the same authority.")] = False,
) -> None:
    """Make certificates, the operator's token and the database. Never overwrites a consortium."""
    from server.consortium.certificates import fingerprint
    from server.consortium.places import ConsortiumSettings
    from server.consortium.setup import create_consortium, renew_certificate

    if renew:
        renew_certificate(_places(folder))
        typer.echo("The server has a new certificate: stop and start the coordinator. Hospitals change nothing.")
        return
    if not host:
        raise typer.BadParameter("Give --host as hospitals reach the coordinator; more than once if there are several.")
    places = create_consortium(folder, ConsortiumSettings(hosts=tuple(host), port=port, bind=bind))
    typer.echo(
        f"A consortium lies in {folder}. Give hospitals {places.ca_certificate} (fingerprint "
        f"{fingerprint(places.ca_certificate.read_bytes())}, read it out on the telephone) and the address "
        f"{places.read().address}. Everything else in it stays here; back it up, and keep {places.ca_key} apart."
    )


@app.command()
def enroll(
    site: Annotated[Path, typer.Argument(help="The SITE.json that a hospital sent; or a site's name with --remove.")],
    folder: Dir = DEFAULT,
    replace: Annotated[bool, typer.Option("--replace", help="The hospital has a new key or new declarations.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Expel the site of this name.")] = False,
) -> None:
    """Enrol a hospital: its key may connect, under its name only."""
    from server.consortium.coordinator import running_coordinator
    from server.consortium.enrolling import enrol, expel, register_all
    from server.consortium.operator import operator

    places = _places(folder)
    if remove:
        expel(places, str(site))
        said = f"{site} is expelled"
    else:
        enrolment = enrol(places, site, replace=replace)
        said = (
            f"{enrolment.name} is enrolled ({enrolment.declared_patients} patients, "
            f"{', '.join(enrolment.declared_flows)}). Telephone the hospital: its file's fingerprint must be "
            f"{enrolment.fingerprint}"
        )
    if running_coordinator(places):
        with operator(places) as coordinator:
            register_all(places, coordinator)
        typer.echo(f"{said}.")
    else:
        typer.echo(f"{said}. It takes effect when the coordinator starts.")


@app.command()
def start(
    folder: Dir = DEFAULT,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background.")] = False,
) -> None:
    """Start the coordinator: SuperLink behind its guard, on one port."""
    from server.consortium.coordinator import Coordinator
    from server.consortium.running import start_detached

    places = _places(folder)
    if detach:
        start_detached(places)
        typer.echo(f"The coordinator serves hospitals at {places.read().address}; it logs into {places.log}.")
    else:
        raise typer.Exit(Coordinator(places).run())


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="The study.toml.")],
    folder: Dir = DEFAULT,
    generator: Annotated[Path | None, typer.Option(help="Initial generator; as the study says without it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    prepare: Annotated[bool, typer.Option("--prepare", help="Only write the file that hospitals approve.")] = False,
    join_minutes: Annotated[float, typer.Option(min=0.0, help="How long to wait for hospitals to approve.")] = 60.0,
    wait: Annotated[bool, typer.Option("--wait", help="Come back when the study has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Start a study; it goes on in the coordinator, whoever logs out."""
    from server.consortium.launch import launch
    from server.consortium.running import wait_for_end

    places = _places(folder)
    launched = launch(
        places, study, generator=generator, resume=resume, join_seconds=60.0 * join_minutes, only_prepare=prepare
    )
    if as_json:
        facts = {"study": launched.study.name, "digest": launched.digest, "file": str(launched.study_file)}
        typer.echo(json.dumps(facts | {"run_id": launched.run_id}, indent=1))
    else:
        verb = "is prepared" if prepare else "runs"
        typer.echo(
            f"Study {launched.study.name} {verb}. Hospitals approve {launched.study_file} by its digest "
            f"{launched.digest[:16]}; how it stands: fedm2g consortium status."
        )
    if wait and not prepare:
        wait_for_end(places, launched.study.name)


@app.command()
def status(folder: Dir = DEFAULT, as_json: Json = False) -> None:
    """What runs, who is awaited, what failed last and where, what privacy was spent."""
    from server.consortium.status import consortium_status, in_words, to_json

    values = consortium_status(_places(folder))
    typer.echo(to_json(values) if as_json else in_words(values))


@app.command()
def stop(
    folder: Dir = DEFAULT,
    study: Annotated[str | None, typer.Option(help="Stop this study only; its checkpoint stays.")] = None,
) -> None:
    """Stop the coordinator, or one study."""
    from server.consortium.running import stop_coordinator, stop_study

    places = _places(folder)
    if study is None:
        stop_coordinator(places)
        typer.echo("The coordinator has stopped; a study that ran goes on with --resume.")
    else:
        stop_study(places, study)
        typer.echo(f"Study {study} has stopped; it goes on with --resume.")


@app.command()
def fetch(
    study: Annotated[str, typer.Argument(help="The study's name.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
    folder: Dir = DEFAULT,
) -> None:
    """Copy the generator of a completed study."""
    from server.consortium.running import fetch_generator

    fetch_generator(_places(folder), study, out)
    typer.echo(f"The generator lies in {out}; its card says by whom it was trained and under which privacy.")


def _places(folder: Path) -> ConsortiumPlaces:
    """Raises ConsortiumUnusable where the folder is none."""
    from server.consortium.places import ConsortiumPlaces

    places = ConsortiumPlaces(folder.resolve())
    places.read()
    return places

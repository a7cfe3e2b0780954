"""`fedm2g site` start, stop, cancel, check, vault, relay: the two processes of a site, and the doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.site_options import Dir, Json, print_json, site_at, unusable

OPERATOR_SECONDS = 3.0


def vault(site_dir: Dir) -> None:
    """Run the vault in the foreground, as systemd and containers do. It has no network."""
    from client.owner import act_as_owner
    from client.vault.daemon import run

    act_as_owner(site_dir)
    raise typer.Exit(run(site_dir))


def relay(
    relay_dir: Annotated[Path, typer.Option(help="The relay's folder, with relay.toml and node_key.")],
) -> None:
    """Run the SuperNode in the foreground. It can read nothing of the vault's."""
    from client.owner import act_as_owner
    from client.supernode import run

    act_as_owner(relay_dir)
    raise typer.Exit(run(relay_dir))


def start(
    site_dir: Dir,
    detached: Annotated[bool, typer.Option("--detach", help="Go on when this terminal closes.")] = False,
) -> None:
    """Run vault and relay and keep both alive. Where systemd does that, enable its units instead."""
    from client.supervisor import Supervisor, detach

    with unusable():
        if detached:
            process = detach(site_dir)
            typer.echo(f"The site runs (process {process}); see {site_dir / 'site.log'} and `fedm2g site status`.")
            return
        code = Supervisor(site_dir).run()
    raise typer.Exit(code)


def stop(site_dir: Dir) -> None:
    """Stop what `start` runs. A round that is cut short stays charged and begins again on the study's spare rounds."""
    from client.supervisor import stop as stop_supervisor

    typer.echo("The site has stopped." if stop_supervisor(site_dir) else "Nothing ran.")


def cancel(site_dir: Dir) -> None:
    """Stop the round that runs now, and nothing else; what it reserved stays spent."""
    from client.socket_vault import SocketVault
    from client.vault.settings import operator_socket

    site_at(site_dir)
    if SocketVault(operator_socket(site_dir), connect_seconds=OPERATOR_SECONDS).cancel():
        typer.echo(
            "The round stops before its next patient. What it reserved stays spent; the coordinator may ask anew."
        )
    else:
        typer.echo("No round was running.")


def check(site_dir: Dir, as_json: Json = False) -> None:
    """The doctor: everything this site needs, each line with what to do. Changes nothing, takes ten seconds at most.

    Exit code 3 where something must be mended before the site can train.
    """
    from client.doctor.examination import examine, in_words
    from client.doctor.finding import State

    with unusable():
        findings = examine(site_dir)
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        typer.echo(in_words(findings))
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(3)

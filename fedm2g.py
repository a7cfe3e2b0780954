"""The one command: every room's commands under one name, and what a failure means to a shell.

Each command imports what it needs only when it runs, so that help is fast and never loads torch.

Exit codes: 0 done; 1 an error of fedm2g itself; 2 wrong usage; 3 an input or study that cannot be used; 4 refused by a
site's policy or its privacy budget; 5 a run that began and failed; 130 interrupted; 143 ended by SIGTERM.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from client.commands import app as site_app
from privacy.audit.commands import app as audit_app
from protocol.offline import go_offline
from protocol.version import VERSION
from server.consortium.commands import app as consortium_app
from simulations.audit.commands import add_to as add_audits
from simulations.commands import add_to as add_commands

__version__ = VERSION

INTERNAL, USAGE, INVALID, REFUSED, FAILED, INTERRUPTED = 1, 2, 3, 4, 5, 130
#: Error class, by module and name so that nothing is imported to look it up, and the exit code it means.
EXIT_CODES = {
    ("protocol.errors", "ProtocolError"): INVALID,
    ("privacy.errors", "PrivacyError"): REFUSED,
    ("simulations.errors", "RunFailed"): FAILED,
    ("simulations.errors", "SimulationError"): INVALID,
    ("medm2g.errors", "MedM2GError"): INVALID,
    ("client.vault.errors", "VaultError"): REFUSED,
    ("client.errors", "ClientError"): INVALID,
    ("server.errors", "ConsortiumUnusable"): INVALID,
    ("server.service.errors", "StartRefused"): INVALID,
    ("server.errors", "ServerError"): FAILED,
}

app = typer.Typer(
    name="fedm2g",
    help="One generator of CT, MRI, X-ray and report text, trained across hospitals that never share a patient.",
    epilog="Exit codes: 0 done, 1 internal error, 2 usage, 3 unusable input, 4 refused by policy, 5 run failed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.add_typer(site_app)
add_audits(audit_app)
app.add_typer(audit_app)
app.add_typer(consortium_app)
add_commands(app)


@app.command()
def serve(
    generator: Annotated[str, typer.Argument(help="A generator folder, or `shipped`.")],
    bind: Annotated[str, typer.Option(help="IP address to listen on; beyond loopback only with TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0 takes a free one.")] = 8400,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Of the gRPC service.")] = 8401,
    token_file: Annotated[Path | None, typer.Option(help="Holds the token, mode 0600; made if absent.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate with its chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key.")] = None,
    max_body: Annotated[int, typer.Option(min=1, max=1024, help="MiB of one request.")] = 32,
    max_count: Annotated[int, typer.Option(min=1, help="Samples of each target in one request.")] = 8,
    max_steps: Annotated[int, typer.Option(min=1, max=1000, help="Denoising steps of one request.")] = 100,
    max_candidates: Annotated[int, typer.Option(min=1, help="Draws of each sample, of which the best stays.")] = 8,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests that sample at once.")] = 1,
    queue: Annotated[int, typer.Option(min=0, help="Requests that may wait.")] = 8,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds of one request, waiting included.")] = 300.0,
) -> None:
    """Serve a generator: a page for the browser and gRPC, for who holds the token."""
    from server.service.address import tls_of
    from server.service.limits import Limits
    from server.service.options import ServeOptions, prepare
    from simulations.generators import generator_folder

    limits = Limits(
        max_body_bytes=max_body << 20,
        max_count=max_count,
        max_steps=max_steps,
        max_candidates=max_candidates,
        concurrency=concurrency,
        queue=queue,
        timeout_seconds=timeout,
    )
    start = prepare(
        ServeOptions(
            folder=generator_folder(generator),
            bind=bind,
            port=port,
            grpc_port=grpc_port,
            token_file=token_file,
            tls=tls_of(tls_cert, tls_key),
            limits=limits,
        )
    )
    from server.service.serve import serve as run

    run(start, say=typer.echo)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"fedm2g {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    go_offline()


def _exit_code(error: BaseException) -> int | None:
    for kind in type(error).__mro__:
        if (code := EXIT_CODES.get((kind.__module__, kind.__name__))) is not None:
            return code
    return None


def _terminated(number: int, _frame: object) -> NoReturn:
    """As an exit, so that what the command has started ends with it: a scheduler sends no Ctrl-C."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command; every failure is one sentence on standard error and a documented exit code."""
    signal.signal(signal.SIGTERM, _terminated)  # commands that serve put their own in its place
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("Interrupted; what was finished is kept.", err=True)
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if os.environ.get("FEDM2G_TRACEBACK"):
            raise
        code = _exit_code(error)
        # The text of a foreign error may hold a path or a value from data, so only its class is printed.
        unexpected = f"fedm2g failed inside ({type(error).__name__}); set FEDM2G_TRACEBACK=1 to see where."
        typer.echo(unexpected if code is None else str(error), err=True)
        raise SystemExit(INTERNAL if code is None else code) from None


if __name__ == "__main__":
    main()

"""`fedm2g audit`: what an auditor runs. Each command says what held, what did not, and what it would have noticed.

Exit code 0 where every proposition held, 5 where one did not. Commands that need a model are added to `app` by
`simulations`: this room knows none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from privacy.audit.check import CheckResult
    from privacy.chain import Head

CLAIM_FAILED = 5

app = typer.Typer(
    name="audit",
    help="What an auditor can recompute, measure and attack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:
    """A group even while it has one command."""


@app.command()
def ledger(
    site: Annotated[Path, typer.Argument(metavar="SITE_DIR", help="A site's folder, or a copy of its ledger file.")],
    public_key: Annotated[
        str | None, typer.Option(help="The site's ledger key, hex, where the folder has no keys.")
    ] = None,
    rounds: Annotated[list[Path] | None, typer.Option(help="A coordinator's rounds.jsonl; repeatable.")] = None,
    claims: Annotated[bool, typer.Option("--claims/--no-claims", help="Recompute every epsilon too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Verify a site's ledger: whole, newest, within its plans and policy; names the first entry or page at fault."""
    from privacy.audit.ledger_checks import check_claims, check_ledger, heads_in_rounds

    path = site / "ledger.sqlite" if site.is_dir() else site
    key, anchor = _trusted(path.parent, public_key)
    name = _site_name(path) if rounds else ""
    heads = {str(file): heads_in_rounds(file, name) for file in rounds or ()}
    results = check_ledger(path, public_key=key, anchor=anchor, heads=heads)
    if claims and all(result.passed for result in results if result.name in ("chain", "entries")):
        results.append(check_claims(path))
    tell(results, as_json=as_json)


def tell(results: Sequence[CheckResult], *, as_json: bool) -> None:
    """Print the results; leave with exit code 5 where a proposition did not hold."""
    if as_json:
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(result) for result in results], indent=1))
    else:
        for result in results:
            typer.echo(f"{'holds ' if result.passed else 'FAILED'}  {result.name}: {result.proposition}")
            typer.echo(f"        {result.figure}")
            typer.echo(f"        would notice: {result.power}")
    if not all(result.passed for result in results):
        raise typer.Exit(CLAIM_FAILED)


def _trusted(folder: Path, given: str | None) -> tuple[bytes | None, Head | None]:
    """The site's public key and the head that its key store remembers, as far as they are here."""
    from privacy.anchor import HeadAnchor
    from privacy.errors import KeysUnusable
    from privacy.keys import FOLDER, SiteKeys

    if given is not None:
        try:
            key = bytes.fromhex(given)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise KeysUnusable("A public key is 64 hexadecimal digits: take it from the site's enrolment file.")
        return key, HeadAnchor.in_keys(folder / FOLDER).read()
    if not (folder / FOLDER).is_dir():
        return None, None
    return SiteKeys.open(folder).public_key, HeadAnchor.in_keys(folder / FOLDER).read()


def _site_name(path: Path) -> str:
    """The name under which the ledger was opened: it finds the site in a run's records."""
    from privacy import chain
    from privacy.errors import LedgerTampered

    try:
        with chain.connected(path, read_only=True) as connection:
            return str(next(chain.entries(connection)).body["policy_terms"]["name"])
    except (StopIteration, KeyError, TypeError, ValueError):
        raise LedgerTampered("The ledger does not begin as a ledger does: nobody can say whose it is.") from None

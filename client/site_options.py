"""What the site's commands share: their options, how they open a site, and how they ask a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from client.site_config import SitePaths
    from privacy.policy import SitePolicy

Dir = Annotated[Path, typer.Option("--dir", help="The site's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def site_at(site_dir: Path) -> tuple[SitePaths, SitePolicy]:
    """A site's places and policy; from here on this process is the folder's owner. Raises SiteUnusable."""
    from client.owner import act_as_owner
    from client.site_config import SitePaths
    from privacy.policy import SitePolicy

    act_as_owner(site_dir)
    paths = SitePaths(site_dir)
    with unusable():
        return paths, SitePolicy.read(paths.policy)


@contextmanager
def unusable() -> Iterator[None]:
    """A policy or keys that cannot be used are an unusable input here, not a refusal: the sentence stays."""
    from client.site_setup import SiteUnusable
    from privacy.errors import ConfigInvalid, KeysUnusable

    try:
        yield
    except (ConfigInvalid, KeysUnusable) as error:
        raise SiteUnusable(str(error)) from None


def interactive() -> bool:
    """Whether a person sits at this terminal."""
    return sys.stdin.isatty()


def ask(question: str, *, yes: bool, instead: str = "--yes") -> bool:
    """Whether the person agrees. Without a terminal and without the flag, nobody has agreed: exit code 2."""
    if yes:
        return True
    if not interactive():
        raise typer.BadParameter(f"Nobody is here to ask: read what is said above, then give {instead}.")
    return typer.confirm(question, default=False)


def print_json(values: Any) -> None:
    """Machine-readable output."""
    typer.echo(json.dumps(values, indent=1))

"""The Flower bundle: a small generated app folder that holds no room, only the way to the installed package.

Flower puts a bundle first on `sys.path`, drops weight files from it, and ships it to every site. If it carried our
rooms it would shadow the code that the site has installed and approved. So it holds a `pyproject.toml` and one module
that imports the two apps; a site runs what it has installed, and the study's digest holds the version.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from protocol.version import VERSION

APP_NAME = "fedm2g-app"  # Flower wants letters, digits and hyphens, of the folder too
PUBLISHER = "consortium"
MODULE = "fedm2g_app"
FLOWER_VERSIONS = "flwr>=1.41,<1.43"

_PYPROJECT = f"""\
[project]
name = "{APP_NAME}"
version = "{VERSION}"
description = "FedM2G {VERSION}: runs the installed package; contains no code of its own."
license = {{ text = "Apache-2.0" }}
dependencies = ["{FLOWER_VERSIONS}"]

[tool.flwr.app]
publisher = "{PUBLISHER}"

[tool.flwr.app.components]
serverapp = "{MODULE}:server_app"
clientapp = "{MODULE}:client_app"

# Paths are the coordinator's. `flwr run -c` may only override keys that stand here.
[tool.flwr.app.config]
study = ""
generator = ""
out = ""
resume = false
join-seconds = 60.0
"""

_MODULE = f'''\
"""FedM2G {VERSION} under Flower: both apps come from the installed package, never from this bundle."""

from client.relay import app as client_app
from server.deployed import app as server_app

__all__ = ["client_app", "server_app"]
'''


@dataclass(frozen=True)
class Bundle:
    """A built bundle."""

    path: Path
    sha256: str
    """By which a site approves it; the same sources give the same bytes."""


def write_app_folder(parent: Path) -> Path:
    """Write `<parent>/fedm2g-app`, which `flwr run` accepts, and return it."""
    folder = parent / APP_NAME
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(_PYPROJECT, encoding="utf-8")
    (folder / f"{MODULE}.py").write_text(_MODULE, encoding="utf-8")
    return folder


def build_bundle(parent: Path) -> Bundle:
    """Write the app folder and its FAB beside it."""
    from flwr.cli.build import build_fab_from_disk  # Flower's command-line stack, wanted only here

    content: bytes = build_fab_from_disk(write_app_folder(parent))
    digest = hashlib.sha256(content).hexdigest()
    path = parent / f"{PUBLISHER}.{APP_NAME}.{VERSION.replace('.', '-')}.{digest[:8]}.fab"
    path.write_bytes(content)
    return Bundle(path=path, sha256=digest)

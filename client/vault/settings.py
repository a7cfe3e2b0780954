"""`vault.toml`: what the vault's own process needs beside the policy. Nothing in it widens what the policy allows.

It lies in the site's folder, which only the vault's user can enter. Unknown keys are refused.
"""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from typing import Annotated, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.site_setup import SiteUnusable

FILE = "vault.toml"
SOCKET = "vault.sock"


class VaultSettings(BaseModel):
    """Settings of the daemon; a site without the file runs on the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: str = "shipped"
    """Folder of the generator that studies start from, or `shipped` for the weights of the package."""
    socket: str = ""
    """Where the relay finds the vault; `run/vault.sock` below the site's folder when empty."""
    socket_group: str = ""
    """Group that may connect; the group of the socket's folder when empty."""
    relay_dir: str = "relay"
    """The relay's folder, relative to the site's or absolute; outside of it where the relay has a user of its own."""
    idle_seconds: Annotated[float, Field(gt=0)] = 900.0
    """After so long without a round the process begins anew: model and features leave its memory."""
    max_request_bytes: Annotated[int, Field(ge=1 << 20)] = 2_000_000_000
    """A larger request is refused by its header, before any of it is held."""

    @classmethod
    def read(cls, site_dir: Path) -> Self:
        """Read `vault.toml`. Raises SiteUnusable with the first thing to mend."""
        path = Path(site_dir) / FILE
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls()
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SiteUnusable(f"{path} is not valid TOML ({error}): mend that line.") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise SiteUnusable(f"In {path}, {place}: {first['msg']}.") from None

    def write(self, site_dir: Path) -> None:
        """Write the file, readable by the vault's user only."""
        path = Path(site_dir) / FILE
        path.touch(mode=0o600)
        path.write_text(tomli_w.dumps(self.model_dump()), encoding="utf-8")

    def socket_path(self, site_dir: Path) -> Path:
        """The relay's socket."""
        return Path(self.socket) if self.socket else Path(site_dir).resolve() / "run" / SOCKET

    def relay_folder(self, site_dir: Path) -> Path:
        """The relay's folder."""
        return Path(site_dir).resolve() / self.relay_dir

    def generator_folder(self) -> Path:
        """The generator's folder. Raises SiteUnusable where there is none."""
        folder = _shipped() if self.generator == "shipped" else Path(self.generator)
        if not folder.is_dir():
            raise SiteUnusable(f"There is no generator in {folder}: set `generator` in {FILE}.")
        return folder


def operator_socket(site_dir: Path) -> Path:
    """The operator's socket: inside the folder that only the vault's user can enter."""
    return Path(site_dir).resolve() / "state" / "operator.sock"


def _shipped() -> Path:
    """The package's own weights, found without importing torch."""
    package = importlib.util.find_spec("medm2g")
    if package is None or not package.submodule_search_locations:
        raise SiteUnusable("The package medm2g is not installed: install fedm2g, or name a generator folder.")
    return Path(package.submodule_search_locations[0]) / "weights" / "tiny"

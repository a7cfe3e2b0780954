"""`relay.toml`: how this site reaches the coordinator. It lies in the relay's own folder and holds no secret.

Beside it: `node_key` (the SuperNode's private key, made here, never sent), `ca.crt` (the consortium's, as the
coordinator sent it), and what Flower keeps. The relay's user needs nothing else, and can read nothing of the vault's.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.site_setup import SiteUnusable

FILE = "relay.toml"


class RelaySettings(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    """The registered name."""
    socket: str
    """The vault's socket."""
    superlink: Annotated[str, Field(pattern=r"^$|^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")] = ""
    """The coordinator, `host:port`; the one place this site ever connects to. Empty until it is known."""
    root_certificates: str = "ca.crt"
    """The consortium's certificate authority, relative to the relay's folder or absolute."""
    runtime_port: Annotated[int, Field(ge=1, le=65535)] = 9094
    """On loopback only: where the SuperNode and its app processes meet. Another one for each site of one machine."""


@dataclass(frozen=True)
class RelayPlaces:
    """The files of a relay's folder."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / FILE

    @property
    def node_key(self) -> Path:
        """Private key of the SuperNode, OpenSSH text, mode 0600."""
        return self.folder / "node_key"

    @property
    def node_id(self) -> Path:
        """The node id that the coordinator gave last; see `client.supernode`."""
        return self.folder / "node_id"

    @property
    def flower_home(self) -> Path:
        return self.folder / "flower"

    def read(self) -> RelaySettings:
        """Read `relay.toml`. Raises SiteUnusable with the first thing to mend."""
        try:
            return RelaySettings.model_validate(tomllib.loads(self.settings.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise SiteUnusable(f"There is no {self.settings}: run `fedm2g site init` first.") from None
        except PermissionError:
            raise SiteUnusable(f"{self.settings} cannot be read: run this as the relay's user.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SiteUnusable(f"{self.settings} is not valid TOML ({error}): mend that line.") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise SiteUnusable(f"In {self.settings}, {place}: {first['msg']}.") from None

    def write(self, settings: RelaySettings) -> Self:
        """Write `relay.toml`; the folder is made, closed to others."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings.touch(mode=0o640)
        self.settings.write_text(tomli_w.dumps(settings.model_dump()), encoding="utf-8")
        return self

    def certificates(self, settings: RelaySettings) -> Path:
        """The CA's file. Raises SiteUnusable where it is missing."""
        path = self.folder / settings.root_certificates
        if not path.is_file():
            raise SiteUnusable(f"There is no {path}: ask the coordinator for ca.crt and run `fedm2g site connect`.")
        return path

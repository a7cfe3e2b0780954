"""Where everything of a consortium lies: one folder of the coordinator's user, closed to everyone else.

`consortium.toml` is what `init` was told. `tls/ca.crt` is the one file that hospitals get; `tls/ca.key`, the server's
key, the operator's token and Flower's secret never leave this folder.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.errors import ConsortiumUnusable

PRIVATE_FOLDER, PRIVATE_FILE, PUBLIC_FILE = 0o700, 0o600, 0o644


class ConsortiumSettings(BaseModel):
    """`consortium.toml`. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names and addresses by which hospitals reach the coordinator; the server's certificate carries them."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """The one port."""
    bind: str = "0.0.0.0"
    """The address it listens on; all by default."""

    @property
    def address(self) -> str:
        """`host:port`, as hospitals write it into `relay.toml`."""
        host = self.hosts[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def local_address(self) -> str:
        """Where processes of this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind, self.bind)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True)
class ConsortiumPlaces:
    """The files below a consortium's folder; nothing here opens one but `read`."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "consortium.toml"

    @property
    def ca_certificate(self) -> Path:
        """For hospitals: what their SuperNodes trust."""
        return self.folder / "tls" / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """Signs server certificates. May be moved off the machine; only `init --renew` needs it."""
        return self.folder / "tls" / "ca.key"

    @property
    def certificate(self) -> Path:
        return self.folder / "tls" / "server.crt"

    @property
    def key(self) -> Path:
        return self.folder / "tls" / "server.key"

    @property
    def token(self) -> Path:
        """The operator's: whoever has it may start and stop studies and enrol sites."""
        return self.folder / "operator.token"

    @property
    def secret(self) -> Path:
        """Shared by SuperLink and its executor: nobody else may take a task."""
        return self.folder / "superexec.secret"

    @property
    def database(self) -> Path:
        """Flower's state: nodes, runs, messages on their way."""
        return self.folder / "state.db"

    @property
    def audit(self) -> Path:
        """One line per request that is not a site's routine."""
        return self.folder / "audit.jsonl"

    @property
    def sites(self) -> Path:
        """`<name>.json`: what each enrolled site said of itself."""
        return self.folder / "sites"

    @property
    def runs(self) -> Path:
        """`<study>/`: one folder per study, as `server.app` leaves it."""
        return self.folder / "runs"

    @property
    def flower_home(self) -> Path:
        return self.folder / "flower"

    @property
    def log(self) -> Path:
        """What SuperLink, its executor and the ServerApps print, rotated."""
        return self.folder / "coordinator.log"

    @property
    def lock(self) -> Path:
        """Held by the one coordinator that runs over this folder; its process id is inside."""
        return self.folder / "coordinator.lock"

    def run(self, study_name: str) -> Path:
        """The run folder of a study."""
        return self.runs / study_name

    def read(self) -> ConsortiumSettings:
        """Read `consortium.toml`. Raises ConsortiumUnusable with the first thing to mend."""
        try:
            return ConsortiumSettings.model_validate(tomllib.loads(self.settings.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ConsortiumUnusable(f"There is no {self.settings}: run `fedm2g consortium init` first.") from None
        except PermissionError:
            raise ConsortiumUnusable(f"{self.settings} cannot be read: run this as the coordinator's user.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConsortiumUnusable(f"{self.settings} is not valid TOML ({error}): mend that line.") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ConsortiumUnusable(f"In {self.settings}, {place}: {first['msg']}.") from None

    def write(self, settings: ConsortiumSettings) -> Self:
        """Write `consortium.toml`."""
        write_private(self.settings, tomli_w.dumps(settings.model_dump()).encode())
        return self


def write_private(path: Path, content: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write a file that nobody else may read, at no moment: it gets its mode before its content."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        os.fchmod(stream.fileno(), mode)  # whatever the umask says
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def check_private(path: Path) -> None:
    """Raises ConsortiumUnusable where a secret is missing or others may read it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        raise ConsortiumUnusable(f"{path} is missing or cannot be read: run this as the coordinator's user.") from None
    if mode & 0o077:
        raise ConsortiumUnusable(f"Others may read {path}: set its mode to 0600, and think about who has.")

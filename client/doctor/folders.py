"""Who may read what: the site's folder, its keys, the relay's folder, the socket between them, and the two users."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from client.doctor.finding import Finding, fail, ok, unknown, warn
from client.errors import ClientError
from client.owner import name_of
from client.relay_settings import RelayPlaces
from client.site_config import SitePaths
from client.socket_vault import SocketVault
from client.vault.errors import DaemonRefused
from client.vault.settings import VaultSettings
from client.vault.sockets import check_folder
from privacy.errors import PrivacyError
from privacy.keys import SiteKeys

SOCKET_SECONDS = 2.0


def site_folder(site_dir: Path) -> Finding:
    """Nobody but the vault's user enters the site's folder."""
    name, mode = "site folder", stat.S_IMODE(site_dir.stat().st_mode)
    if mode & 0o077:
        return fail(name, f"{site_dir} has mode {mode:04o}: others may enter", f"Run: chmod 0700 {site_dir}")
    wide = [path for path in _secrets(site_dir) if path.stat().st_mode & 0o077]
    if wide:
        return fail(name, f"{len(wide)} files in it are open to others", f"Run: chmod -R go= {wide[0].parent}")
    return ok(name, f"{site_dir} belongs to {name_of(site_dir.stat().st_uid)} alone")


def _secrets(site_dir: Path) -> list[Path]:
    paths = SitePaths(site_dir)
    return [path for path in (paths.ledger, paths.incidents, paths.keys, *paths.keys.glob("*")) if path.exists()]


def keys(site_dir: Path) -> Finding:
    """The four keys are there and closed."""
    try:
        SiteKeys.open(site_dir)
    except PrivacyError as error:
        return fail("keys", "The site's keys cannot be used", str(error))
    except PermissionError:
        return unknown("keys", "Closed to this user", "Run the check as root or as the vault's user.")
    return ok("keys", "all four are there, closed to others")


def relay_folder(places: RelayPlaces) -> Finding:
    """The relay's folder holds its key, closed to everybody else."""
    name = "relay folder"
    try:
        mode = stat.S_IMODE(places.folder.stat().st_mode)
        key = places.node_key.stat()
    except FileNotFoundError:
        return fail(name, f"{places.folder} lacks relay.toml or node_key", "Run `fedm2g site enrol`.")
    except PermissionError:
        return unknown(name, f"{places.folder} is closed to this user", "Run the check as root to see it.")
    if mode & 0o077 or key.st_mode & 0o077:
        return fail(name, f"{places.folder} or its key is open to others", f"Run: chmod -R go= {places.folder}")
    return ok(name, f"{places.folder} belongs to {name_of(key.st_uid)} alone")


def two_users(site_dir: Path, places: RelayPlaces) -> Finding:
    """The relay runs code that comes with a study, so it should be a user who can read nothing of the vault's."""
    name = "two users"
    try:
        vault, relay = site_dir.stat().st_uid, places.folder.stat().st_uid
    except OSError:
        return unknown(name, "Cannot be seen by this user", "Run the check as root.")
    if vault == relay:
        do = "Give vault and relay a user each: `fedm2g site init --vault-user ... --relay-user ...`, docs/deploy.md."
        return warn(name, f"Vault and relay are both {name_of(vault)}: the relay could read the records", do)
    return ok(name, f"vault: {name_of(vault)}; relay: {name_of(relay)}")


def socket(site_dir: Path, settings: VaultSettings) -> Finding:
    """The socket is where the relay looks for it, and somebody answers."""
    name, path = "vault", settings.socket_path(site_dir)
    try:
        if path.parent.is_dir() and path.parent.stat().st_uid == os.geteuid():
            check_folder(path.parent)
        status = SocketVault(path, connect_seconds=SOCKET_SECONDS).status()
    except (DaemonRefused, PermissionError) as error:
        return fail(name, f"{path.parent} is not as it should be", str(error))
    except ClientError:
        return warn(name, f"Nobody answers at {path}", "Start it: `fedm2g site start`, or its systemd unit.")
    return ok(name, f"answers at {path}, {'at work' if status.busy else 'idle'}")

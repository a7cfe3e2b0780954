"""Joining a consortium: the relay's folder, its key, `SITE.json`, and later where the coordinator is."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from client.node_key import enrolment_of, make_node_key
from client.owner import user_id
from client.relay_settings import RelayPlaces, RelaySettings
from client.site_setup import SiteUnusable
from client.vault.settings import VaultSettings
from privacy.keys import SiteKeys
from privacy.policy import SitePolicy
from protocol.enrolment import Enrolment

ENROLMENT = "SITE.json"


@dataclass(frozen=True)
class Enrolled:
    """What `join` leaves."""

    file: Path
    """To be sent to the coordinator."""
    enrolment: Enrolment
    relay_dir: Path


def join(
    site_dir: Path, policy: SitePolicy, settings: VaultSettings, *, superlink: str = "", port: int = 9094
) -> Enrolled:
    """Make the relay's folder with its key, and `SITE.json`; what is there already is kept. Raises SiteUnusable."""
    site_dir = Path(site_dir).resolve()
    places = RelayPlaces(settings.relay_folder(site_dir))
    node_key = make_node_key(places.node_key)
    if not places.settings.exists():
        socket = settings.socket_path(site_dir)
        check_address(superlink)
        places.write(RelaySettings(site=policy.name, socket=str(socket), superlink=superlink, runtime_port=port))
    enrolment = enrolment_of(policy, SiteKeys.open(site_dir), node_key)
    file = site_dir / ENROLMENT
    file.write_text(enrolment.to_json(), encoding="utf-8")
    return Enrolled(file, enrolment, places.folder)


def connect(places: RelayPlaces, *, superlink: str, certificates: Path | None) -> RelaySettings:
    """Write down where the coordinator is and what its certificates are signed with. Raises SiteUnusable."""
    check_address(superlink)
    settings = places.read().model_copy(update={"superlink": superlink})
    if certificates is not None:
        check_certificates(certificates)
        shutil.copyfile(certificates, places.folder / "ca.crt")
        settings = settings.model_copy(update={"root_certificates": "ca.crt"})
    places.write(settings)
    return settings


def give_to(site_dir: Path, relay_dir: Path, *, vault_user: str, relay_user: str) -> None:
    """Give the two folders to their two users. Root only. Raises SiteUnusable."""
    if os.geteuid() != 0:
        raise SiteUnusable("Only root can give folders to other users: run `fedm2g site init` with sudo.")
    if relay_dir.resolve().is_relative_to(site_dir.resolve()):
        raise SiteUnusable("A relay with a user of its own cannot live inside the vault's folder: give a --relay-dir.")
    _give(relay_dir, user_id(relay_user))
    _give(site_dir, user_id(vault_user))


def _give(folder: Path, owner: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, owner, -1, follow_symlinks=False)


def check_address(superlink: str) -> None:
    """Raises SiteUnusable for what is not `host:port` and not empty."""
    try:
        RelaySettings(site="a", socket="", superlink=superlink)
    except ValueError:
        raise SiteUnusable("The coordinator's address must read host:port, without https://.") from None


def check_certificates(path: Path) -> None:
    """Raises SiteUnusable for a file that holds no certificate."""
    try:
        x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise SiteUnusable(f"{path} cannot be read ({error.strerror}): give the coordinator's ca.crt.") from None
    except ValueError:
        raise SiteUnusable(f"{path} is not a certificate in PEM form: give the coordinator's ca.crt.") from None

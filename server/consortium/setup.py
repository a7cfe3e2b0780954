"""`fedm2g consortium init`: authority, certificate, token, secret and database, each with its mode from the start."""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path

from server.consortium.certificates import Pair, make_authority, make_server
from server.consortium.places import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    PUBLIC_FILE,
    ConsortiumPlaces,
    ConsortiumSettings,
    write_private,
)
from server.errors import ConsortiumUnusable


def create_consortium(folder: Path, settings: ConsortiumSettings) -> ConsortiumPlaces:
    """Make a consortium's folder. Never touches one that is there. Raises ConsortiumUnusable."""
    places = ConsortiumPlaces(folder.resolve())
    if places.settings.exists():
        raise ConsortiumUnusable(f"There is a consortium in {folder} already: choose another --dir, or --renew it.")
    authority = make_authority("fedm2g consortium")
    server = make_server(authority, settings.hosts)  # a bad name is told before anything is written
    for part in (places.folder, places.ca_key.parent, places.sites, places.runs, places.flower_home):
        part.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        part.chmod(PRIVATE_FOLDER)
    write_private(places.ca_key, authority.key)
    write_private(places.ca_certificate, authority.certificate, mode=PUBLIC_FILE)
    _write_server(places, server)
    write_private(places.token, secrets.token_urlsafe(32).encode())
    write_private(places.secret, secrets.token_bytes(32))
    os.close(os.open(places.database, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
    sqlite3.connect(places.database).close()
    places.write(settings)  # last: with this file the folder is a consortium
    return places


def renew_certificate(places: ConsortiumPlaces) -> None:
    """A new server certificate under the same authority, for the hosts in `consortium.toml`; hospitals change nothing.

    Raises ConsortiumUnusable. It is used from the coordinator's next start.
    """
    settings = places.read()
    try:
        authority = Pair(places.ca_certificate.read_bytes(), places.ca_key.read_bytes())
    except OSError as error:
        raise ConsortiumUnusable(f"{error.filename} cannot be read: bring the authority's key back first.") from None
    _write_server(places, make_server(authority, settings.hosts))


def _write_server(places: ConsortiumPlaces, server: Pair) -> None:
    write_private(places.key, server.key)
    write_private(places.certificate, server.certificate, mode=PUBLIC_FILE)

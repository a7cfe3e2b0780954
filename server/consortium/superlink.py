"""`python -m server.consortium.superlink --dir DIR`: Flower's SuperLink behind the guard, in this process.

Flower's command line starts it without one. So this builds Flower's own configuration and application (names of flwr
1.41 and 1.42, pinned in pyproject.toml; a start with another flwr fails here, before a port is opened) and serves them
through `Guard`, with TLS, node keys, SQLite, and ServerApps in processes of their own.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from protocol.offline import go_offline
from server.consortium.audit import AuditLog
from server.consortium.guard import Guard
from server.consortium.places import ConsortiumPlaces, ConsortiumSettings, check_private
from server.errors import ConsortiumUnusable

REFUSED = 4
"""Exit code: what keeps it from starting is for a person, and trying again will not help."""


LOCK_SECONDS = 60


def flower_arguments(places: ConsortiumPlaces, settings: ConsortiumSettings) -> list[str]:
    """Arguments as `flower-superlink` would take them."""
    return [
        "--host", settings.bind, "--port", str(settings.port),
        "--ssl-ca-certfile", str(places.ca_certificate),
        "--ssl-certfile", str(places.certificate), "--ssl-keyfile", str(places.key),
        "--enable-supernode-auth", "--database", str(places.database),
        "--isolation", "process", "--superexec-auth-secret-file", str(places.secret),
        "--disable-runtime-dependency-installation",
    ]  # fmt: skip


def serve(places: ConsortiumPlaces) -> None:
    """Serve until SIGTERM. Raises ConsortiumUnusable."""
    settings = places.read()
    for path in (places.key, places.token, places.secret):
        check_private(path)
    token = places.token.read_text().strip()

    import uvicorn
    from flwr.superlink.main import create_app

    _wait_for_the_disk()
    flower_superlink = importlib.import_module("flwr.superlink.cli.flower_superlink")  # not the function of that name
    sys.argv = ["flower-superlink", *flower_arguments(places, settings)]
    config = flower_superlink._parse_superlink_lifespan_config()
    if not (config.enable_supernode_auth and config.superexec_auth_secret and config.certificates):
        raise ConsortiumUnusable("Flower took over no TLS, node keys or executor's secret: nothing is served.")
    app = Guard(create_app(config, flower_superlink.SuperLinkLifespan), token=token, audit=AuditLog(places.audit))
    logging.getLogger("fedm2g").info("serving on %s:%d", settings.bind, settings.port)
    uvicorn.run(
        app,
        host=settings.bind,
        port=settings.port,
        ssl_certfile=str(places.certificate),
        ssl_keyfile=str(places.key),
        lifespan="on",
        access_log=False,  # a line per poll of every site; what matters is in the audit log
        proxy_headers=False,  # the peer is who holds the connection, whatever a header says
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


def _wait_for_the_disk() -> None:
    """Flower answers with an error when its database was locked for 5 s, and a SuperNode that gets it ends.

    A slow disk is no error: the patience is raised where Flower keeps it.
    """
    module: Any = importlib.import_module("flwr.supercore.sql_mixin")
    pragmas = dict(module.SQLITE_PRAGMAS)
    if "busy_timeout" not in pragmas:
        raise ConsortiumUnusable("This version of flwr keeps its database settings elsewhere: install the pinned one.")
    module.SQLITE_PRAGMAS = tuple((pragmas | {"busy_timeout": str(1000 * LOCK_SECONDS)}).items())


def _end_with_parent() -> None:
    """A SuperLink without its coordinator would keep the port from the next one."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 4 with one sentence where it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m server.consortium.superlink")
    parser.add_argument("--dir", type=Path, required=True, help="The consortium's folder.")
    parser.add_argument("--with-parent", action="store_true", help="End when the process that started this one ends.")
    options = parser.parse_args(arguments)
    if options.with_parent:
        _end_with_parent()
    go_offline()
    os.umask(0o077)
    try:
        serve(ConsortiumPlaces(options.dir.resolve()))
    except ConsortiumUnusable as error:
        print(error, file=sys.stderr, flush=True)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())

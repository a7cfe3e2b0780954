"""The vault's own process: `python -m client.vault.daemon --site-dir DIR`, or `fedm2g site vault --dir DIR`.

It alone reads records, ledger and keys. It has two unix sockets, no network, and runs installed code only. What third
parties log, warn or raise goes to `vault.log` in the site's folder; standard error says in fixed words what happens.
Exit codes: 0 stopped when asked to; 4 refused to start; 1 failed.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from client.errors import ClientError
from client.parent import FLAG, end_with_parent
from client.site_config import SitePaths
from client.vault import sockets
from client.vault.errors import DaemonRefused
from client.vault.quiet import give_voice_back, keep_quiet, say
from client.vault.resident import ResidentVault
from client.vault.service import MAX_WAITING, OperatorService, VaultService
from client.vault.settings import VaultSettings, operator_socket
from privacy.allocator import keep_freed_memory
from privacy.errors import PrivacyError
from protocol import vault_pb2_grpc
from protocol.lock import take_lock
from protocol.offline import go_offline

SERVICE = "fedm2g.vault.v1.Vault"
LOOK_SECONDS = 0.5
"""How often the process looks whether it was told to stop, or has been idle for long enough."""
STOP_SECONDS = 20.0
"""How long a stop waits for a reply on its way. A round cut short is charged and begins again on spare steps."""
MAX_MESSAGE_BYTES = 16 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
)
REFUSED, FAILED = 4, 1


class Daemon:
    """One site's vault behind its two sockets."""

    def __init__(self, site_dir: Path) -> None:
        """Raises ClientError or PrivacyError with one sentence that says what to mend."""
        self.site_dir = Path(site_dir).resolve()
        self.settings = VaultSettings.read(self.site_dir)
        self._stopping = threading.Event()
        self._only_one = _only_one(self.site_dir)
        self._vault = ResidentVault(self.site_dir, generator_folder=self.settings.generator_folder())

    def run(self) -> bool:
        """Serve until told to stop (False), or until the vault was idle for long enough after a round (True)."""
        os.umask(0o077)
        relay_socket, own_socket = self.settings.socket_path(self.site_dir), operator_socket(self.site_dir)
        sockets.prepare_folder(relay_socket.parent, group=self.settings.socket_group)
        limit = self.settings.max_request_bytes
        with ExitStack() as open_now:
            open_now.callback(self._only_one.close)
            open_now.callback(self._vault.close)
            for path, umask, service in (
                (own_socket, sockets.OPERATOR_UMASK, OperatorService(self._vault, max_request_bytes=limit)),
                (relay_socket, sockets.RELAY_UMASK, VaultService(self._vault, max_request_bytes=limit)),
            ):
                server = _server(service)
                sockets.bind(server, path, umask=umask)
                server.start()
                open_now.callback(_stop, server)
            say(f"The vault of {self._vault.site} answers at {relay_socket}.")
            while not self._stopping.wait(LOOK_SECONDS):
                if self._vault.model_resident and self._vault.idle_seconds() > self.settings.idle_seconds:
                    return True
            return False

    def stop(self) -> None:
        """Ask `run` to end: a reply that is nearly done may still leave, a longer round is cut short."""
        self._stopping.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; what keeps it from starting is one sentence."""
    parser = argparse.ArgumentParser(prog="python -m client.vault.daemon", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--site-dir", type=Path, required=True, help="The site's folder.")
    parser.add_argument(FLAG, action="store_true", help="End when whoever started this process is gone.")
    found = parser.parse_args(arguments)
    return run(found.site_dir, with_parent=found.with_parent)


def run(site_dir: Path, *, with_parent: bool = False) -> int:
    """Run the daemon until it is told to stop; the exit code."""
    go_offline()
    if with_parent:
        end_with_parent()
    try:
        if SitePaths(site_dir).policy.exists():  # else it is no site, and no file is to be made there
            keep_quiet(site_dir)
        keep_freed_memory()
        daemon = Daemon(site_dir)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: daemon.stop())
        begin_anew = daemon.run()
    except (ClientError, PrivacyError) as error:
        say(str(error))
        return REFUSED
    except Exception as error:  # the text may quote a record
        logging.exception("the vault failed inside")
        say(f"The vault failed inside ({type(error).__name__}).")
        return FAILED
    if begin_anew:
        # All memory goes back, the patients' features with it: nothing that was freed and kept could do as much.
        flags = [FLAG] if with_parent else []
        again = [sys.executable, "-m", "client.vault.daemon", "--site-dir", str(daemon.site_dir), *flags]
        give_voice_back()
        os.execv(sys.executable, again)
    say("The vault has stopped.")
    return 0


def _server(service: VaultService) -> grpc.Server:
    """Threads for every round that may wait, and some for questions. Unix sockets only: nothing listens on a port."""
    pool = ThreadPoolExecutor(max_workers=MAX_WAITING + 5, thread_name_prefix="vault")
    server = grpc.server(pool, options=OPTIONS, maximum_concurrent_rpcs=4 * (MAX_WAITING + 5))
    vault_pb2_grpc.add_VaultServicer_to_server(service, server)
    state = health.HealthServicer()
    for name in ("", SERVICE):
        state.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    return server


def _stop(server: grpc.Server) -> None:
    server.stop(STOP_SECONDS).wait()


def _only_one(site_dir: Path) -> IO[bytes]:
    """A lock for as long as this process lives: two vaults over one site would answer one round twice."""
    path = SitePaths(site_dir).prepare().state / "vault.lock"
    if (lock := take_lock(path)) is None:
        raise DaemonRefused(f"A vault runs over {site_dir} already: stop it first.")
    return lock


if __name__ == "__main__":
    sys.exit(main())

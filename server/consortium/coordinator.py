"""`fedm2g consortium start`: SuperLink and its executor side by side, kept alive.

A child that ends is started again, after one second at first and after half a minute at most. A study goes on when
SuperLink is back: its ServerApp lives in a process of its own, below the executor, and waits. A SuperLink that refuses
to start with a sentence ends the coordinator instead. Under systemd this is the one service.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from protocol.lock import lock_holder, take_lock
from protocol.offline import go_offline
from server.consortium.certificates import days_left
from server.consortium.enrolling import register_all
from server.consortium.operator import operator
from server.consortium.places import PRIVATE_FILE, ConsortiumPlaces
from server.consortium.superlink import REFUSED
from server.errors import ConsortiumUnusable, CoordinatorUnreachable, ServerError

FIRST_PAUSE, LONGEST_PAUSE, GOOD_LIFE = 1.0, 30.0, 60.0
STOP_SECONDS = 15.0
MAX_BYTES, BACKUPS = 10_000_000, 5


@dataclass
class Child:
    """One of the two processes."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    start_at: float = 0.0


class Coordinator:
    """Runs both until it is told to stop."""

    def __init__(self, places: ConsortiumPlaces) -> None:
        """Raises ConsortiumUnusable: one runs already, or the certificate has expired."""
        settings = places.read()
        self._places = places
        if days_left(places.certificate.read_bytes()) <= 0:
            raise ConsortiumUnusable(
                "The server's certificate has expired, so no site would connect: run `fedm2g consortium init --renew`."
            )
        self._lock = only_one(places)
        self._children = [
            Child("superlink", superlink_command(places)),
            Child("executor", executor_command(places, settings.local_address)),
        ]
        self._stopping, self._serving = threading.Event(), threading.Event()
        self._groups: list[int] = []
        self._log = _log(places.log)

    def run(self) -> int:
        """Exit code: 0 when told to stop, 4 where SuperLink refused to start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._stopping.set())
        refused = False
        while not self._stopping.is_set() and not refused:
            refused = any(self._look_after(child) for child in self._children)
            self._stopping.wait(0.2)
        self._end()
        return REFUSED if refused else 0

    def _look_after(self, child: Child) -> bool:
        """Start what does not run; whether it refused to."""
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at and (child.name == "superlink" or self._serving.is_set()):
                self._start(child)
            return False
        code = child.process.poll()
        if code is None:
            return False
        self._log.warning("%s ended with code %s", child.name, code)
        child.pause = FIRST_PAUSE if now - child.started > GOOD_LIFE else min(2 * child.pause, LONGEST_PAUSE)
        child.process, child.start_at = None, now + child.pause
        return code == REFUSED and child.name == "superlink"

    def _start(self, child: Child) -> None:
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            child.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment(self._places), start_new_session=True,
        )  # fmt: skip
        self._groups.append(child.process.pid)
        self._log.info("%s started (process %d)", child.name, child.process.pid)
        threading.Thread(target=self._copy, args=(child.name, child.process.stdout), daemon=True).start()
        if child.name == "superlink":
            threading.Thread(target=self._register, daemon=True).start()

    def _register(self) -> None:
        """As soon as SuperLink answers, its nodes are the enrolled sites."""
        while not self._stopping.wait(0.5):
            try:
                with operator(self._places) as coordinator:
                    register_all(self._places, coordinator)
            except CoordinatorUnreachable:
                continue
            except ServerError as error:
                self._log.error("%s", error)
            else:
                self._log.info("ready: every enrolled site is registered")
            self._serving.set()  # Flower's executor waits longer at every refusal, so it starts when there is an answer
            return

    def _copy(self, name: str, stream: IO[bytes]) -> None:
        for line in stream:
            self._log.info("%s: %s", name, line.decode(errors="replace").rstrip())

    def _end(self) -> None:
        """The executor first, and with it the ServerApps of its group: they are resumed, not lost."""
        for child in reversed(self._children):
            if child.process is not None:
                _signal_group(child.process.pid, signal.SIGTERM)
                try:
                    child.process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    self._log.warning("%s did not end when it was told to", child.name)
        for group in self._groups:  # whoever is left of this start and of earlier ones
            _signal_group(group, signal.SIGKILL)
        self._lock.close()


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def superlink_command(places: ConsortiumPlaces) -> list[str]:
    """SuperLink behind the guard; it ends with whoever started it."""
    return [sys.executable, "-m", "server.consortium.superlink", "--dir", str(places.folder), "--with-parent"]


def executor_command(places: ConsortiumPlaces, address: str) -> list[str]:
    """Flower's process that starts a ServerApp for each run; it trusts our authority and holds the secret."""
    return [
        str(Path(sys.executable).with_name("flower-superexec")),
        "--runtime-api-address", address, "--root-certificates", str(places.ca_certificate),
        "--superexec-auth-secret-file", str(places.secret), "--parent-pid", str(os.getpid()),
    ]  # fmt: skip


def environment(places: ConsortiumPlaces) -> dict[str, str]:
    """Variables of everything that the coordinator starts: offline, its own Flower home, no proxy for loopback."""
    go_offline()
    direct = [part for part in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",") if part]
    direct = list(dict.fromkeys([*direct, "127.0.0.1", "localhost", "::1"]))
    return os.environ | {
        "FLWR_HOME": str(places.flower_home),
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
        "NO_PROXY": ",".join(direct),
        "no_proxy": ",".join(direct),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
    }


def only_one(places: ConsortiumPlaces) -> IO[bytes]:
    """Two coordinators over one database would both hand out its messages. Raises ConsortiumUnusable."""
    if (lock := take_lock(places.lock)) is None:
        raise ConsortiumUnusable("A coordinator runs over this folder already: stop it first.")
    return lock


def running_coordinator(places: ConsortiumPlaces) -> int | None:
    """Process id of the coordinator that holds the lock; None where none does."""
    return lock_holder(places.lock)


def _log(path: Path) -> logging.Logger:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
    logger = logging.getLogger("fedm2g.coordinator")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    file = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.handlers = [file, logging.StreamHandler(sys.stderr)]
    return logger


def main() -> int:
    """`python -m server.consortium.coordinator --dir DIR`: as `fedm2g consortium start`."""
    parser = argparse.ArgumentParser(prog="python -m server.consortium.coordinator")
    parser.add_argument("--dir", type=Path, required=True, help="The consortium's folder.")
    try:
        return Coordinator(ConsortiumPlaces(parser.parse_args().dir.resolve())).run()
    except ServerError as error:
        print(error, file=sys.stderr, flush=True)
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())

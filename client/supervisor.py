"""`fedm2g site start`: vault and relay side by side, kept alive, for a machine without systemd or for a container.

Each child that ends is started again, after one second at first and after a minute at most. A child that refuses to
start with a sentence (exit code 4) ends the supervisor instead, for that sentence is for a person. As root, each child
gets the user who owns its folder. Lines of both children go to one rotated file, `site.log`, and to the terminal.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from client.owner import become
from client.parent import FLAG
from client.site_config import SitePaths
from client.site_setup import SiteUnusable
from client.vault.incidents import PrivateFile
from client.vault.settings import VaultSettings
from client.vault.sockets import prepare_folder
from protocol.lock import lock_holder, take_lock

REFUSED = 4
FIRST_PAUSE, LONGEST_PAUSE, GOOD_LIFE = 1.0, 60.0, 60.0
STOP_SECONDS = 75.0
"""The vault waits for a reply on its way (20 s) and for the round that it cuts short (30 s)."""
MAX_BYTES, BACKUPS = 4_000_000, 3
LOCK = "site.lock"


@dataclass
class Child:
    """One of the two processes."""

    name: str
    command: list[str]
    owner: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    start_at: float = 0.0
    threads: list[threading.Thread] = field(default_factory=list)


def children(site_dir: Path) -> list[Child]:
    """The vault first: the relay waits for it."""
    settings = VaultSettings.read(site_dir)
    relay = settings.relay_folder(site_dir)
    if not relay.is_dir():
        raise SiteUnusable(f"There is no relay's folder at {relay}: run `fedm2g site enrol` first.")
    return [
        _child("vault", ["client.vault.daemon", "--site-dir", str(site_dir)], site_dir),
        _child("relay", ["client.supernode", "--relay-dir", str(relay)], relay),
    ]


def _child(name: str, words: list[str], folder: Path) -> Child:
    return Child(name, [sys.executable, "-m", *words, FLAG], folder.stat().st_uid)


class Supervisor:
    """Runs both until it is told to stop."""

    def __init__(self, site_dir: Path) -> None:
        """Raises SiteUnusable where one runs already."""
        self.site_dir = Path(site_dir).resolve()
        self._children = children(self.site_dir)
        self._lock = only_one(self.site_dir)
        _make_socket_folder(self.site_dir)
        self._stopping = threading.Event()
        self._log = _log(self.site_dir)

    def run(self) -> int:
        """Exit code: 0 when told to stop, 4 where a child refused to start."""
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
            if now >= child.start_at:
                self._start(child)
            return False
        code = child.process.poll()
        if code is None:
            return False
        for thread in child.threads:
            thread.join(timeout=2.0)
        child.process = None
        if code == REFUSED:
            self._say("site", f"the {child.name} refused to start; its sentence stands above")
            return True
        child.pause = FIRST_PAUSE if now - child.started > GOOD_LIFE else min(2 * child.pause, LONGEST_PAUSE)
        child.start_at = now + child.pause
        self._say("site", f"the {child.name} ended (code {code}); it starts again in {child.pause:.0f} s")
        return False

    def _start(self, child: Child) -> None:
        drop = (lambda: become(child.owner)) if os.geteuid() == 0 and child.owner != 0 else None
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            child.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor alone, which ends them in order
            preexec_fn=drop,
        )
        self._say("site", f"the {child.name} starts (process {child.process.pid})")
        reader = threading.Thread(target=self._pass_on, args=(child.name, child.process.stdout), daemon=True)
        reader.start()
        child.threads = [reader]

    def _pass_on(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._say(name, line.decode(errors="replace").rstrip())

    def _end(self) -> None:
        """The relay first, so that no new round comes in."""
        for child in reversed(self._children):
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
                try:
                    child.process.wait(timeout=STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
            for thread in child.threads:
                thread.join(timeout=2.0)
        self._say("site", "both have stopped")
        for handler in self._log.handlers:
            handler.close()
        self._lock.close()

    def _say(self, name: str, line: str) -> None:
        self._log.info("%s: %s", name, line)


def _make_socket_folder(site_dir: Path) -> None:
    """Root makes it for a vault that has a user of its own and may not, below /run for instance."""
    owner, settings = site_dir.stat().st_uid, VaultSettings.read(site_dir)
    folder = settings.socket_path(site_dir).parent
    if os.geteuid() == 0 and owner != 0 and not folder.exists():
        prepare_folder(folder, group=settings.socket_group)
        os.chown(folder, owner, -1)


def only_one(site_dir: Path) -> IO[bytes]:
    """The supervisor's lock. Raises SiteUnusable where another one holds it."""
    if (lock := take_lock(SitePaths(site_dir).prepare().state / LOCK)) is None:
        raise SiteUnusable("This site runs already: see `fedm2g site status`.")
    os.fchown(lock.fileno(), Path(site_dir).stat().st_uid, -1)  # the vault's user asks who runs, too
    return lock


def running(site_dir: Path) -> int | None:
    """Process id of the supervisor that holds the lock; None where nobody does."""
    return lock_holder(SitePaths(site_dir).state / LOCK)


def stop(site_dir: Path) -> bool:
    """Tell the supervisor to stop and wait until it has; whether there was one. Raises SiteUnusable if it does not."""
    process = running(site_dir)
    if process is None:
        return False
    os.kill(process, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS + 10.0
    while running(site_dir) == process:
        if time.monotonic() > end:
            raise SiteUnusable(f"The supervisor (process {process}) does not stop: look at site.log.")
        time.sleep(0.2)
    return True


def detach(site_dir: Path) -> int:
    """Start a supervisor of its own session and return its process id; it lives when the terminal closes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "client.supervisor", str(site_dir)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 20.0
    while running(site_dir) is None:
        if process.poll() is not None or time.monotonic() > end:
            raise SiteUnusable("The site did not start: run `fedm2g site start` without --detach to see why.")
        time.sleep(0.1)
    return process.pid


def _log(site_dir: Path) -> logging.Logger:
    """Not registered anywhere; its lines go to the file and to this terminal."""
    logger = logging.Logger("site", logging.INFO)
    file = PrivateFile(site_dir / "site.log", maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(file)
    logger.addHandler(logging.StreamHandler(sys.stderr))
    return logger


if __name__ == "__main__":
    sys.exit(Supervisor(Path(sys.argv[1])).run())

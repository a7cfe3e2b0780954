"""`fedm2g site start`: what ends is started again, what refuses is not, and nothing outlives its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client import supervisor
from client.owner import act_as_owner, as_owner
from client.site_setup import SiteUnusable
from client.supervisor import REFUSED, Child, Supervisor
from client.vault.settings import VaultSettings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "relay").mkdir()
    return tmp_path


@pytest.fixture
def run(site: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Supervisor, threading.Thread, list[int]]]:
    """A supervisor over small programs, in a thread; its exit code comes into the list."""

    def start(**programs: str) -> tuple[Supervisor, threading.Thread, list[int]]:
        found = [Child(name, [sys.executable, "-c", text], os.geteuid()) for name, text in programs.items()]
        monkeypatch.setattr(supervisor, "children", lambda _: found)
        monkeypatch.setattr(signal, "signal", lambda *_: None)  # a thread may not, and need not
        monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.1)
        one, codes = Supervisor(site), []
        thread = threading.Thread(target=lambda: codes.append(one.run()))
        thread.start()
        return one, thread, codes

    return start


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


LIVES = "import time; print('here', flush=True); time.sleep(600)"


def test_what_ends_is_started_again_and_both_stop_when_asked(run: Callable[..., tuple], site: Path) -> None:
    one, thread, codes = run(vault=LIVES, relay="print('once', flush=True); raise SystemExit(1)")
    log = site / "site.log"
    until(lambda: log.exists() and log.read_text().count("relay: once") >= 2)
    first = one._children[0].process
    assert first is not None
    first.kill()
    until(lambda: log.read_text().count("vault: here") == 2)
    one._stopping.set()
    thread.join()
    assert codes == [0] and all(child.process.poll() is not None for child in one._children if child.process)
    assert "the vault ended (code -9); it starts again" in log.read_text() and log.stat().st_mode & 0o077 == 0


def test_a_refusal_ends_the_supervisor_and_its_sentence_is_kept(run: Callable[..., tuple], site: Path) -> None:
    refuses = f"print('Write the coordinator into relay.toml.'); raise SystemExit({REFUSED})"
    one, thread, codes = run(vault=LIVES, relay=refuses)
    thread.join()
    assert codes == [REFUSED] and "relay: Write the coordinator" in (site / "site.log").read_text()
    assert one._children[0].process is not None and one._children[0].process.poll() is not None


def test_one_supervisor_at_a_time_and_it_is_known_by_its_process(site: Path) -> None:
    assert supervisor.running(site) is None and supervisor.stop(site) is False
    lock = supervisor.only_one(site)
    assert supervisor.running(site) == os.getpid()
    with pytest.raises(SiteUnusable, match="runs already"):
        supervisor.only_one(site)
    lock.close()
    assert supervisor.running(site) is None


def test_a_child_ends_when_its_supervisor_was_killed_without_a_word(tmp_path: Path) -> None:
    waits = "print('up', flush=True); time.sleep(600)"
    child = f"import time; from client.parent import end_with_parent; end_with_parent(); {waits}"
    begins = f"p = subprocess.Popen([sys.executable, '-c', {child!r}]); print(p.pid, flush=True)"
    parent = f"import subprocess, sys, time; {begins}; time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = {process.stdout.readline().strip(), process.stdout.readline().strip()}  # in whichever order
    (number,) = (int(line) for line in lines if line.isdigit())
    process.kill()
    process.wait()
    process.stdout.close()
    until(lambda: not Path(f"/proc/{number}").exists() or "Z" in Path(f"/proc/{number}/stat").read_text().split()[2])


def test_a_site_without_a_relays_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SiteUnusable, match="site enrol"):
        Supervisor(tmp_path)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that other users can enter; pytest's own lie below one that they cannot."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_root_makes_for_the_vault_what_the_vault_must_own(open_place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    site, sockets = open_place / "site", open_place / "run"
    for folder in (site, open_place / "relay"):
        folder.mkdir()
        os.chown(folder, 64123, 64123)
    VaultSettings(socket=str(sockets / "vault.sock"), relay_dir="../relay").write(site)
    supervisor = Supervisor(site)
    supervisor._lock.close()
    for handler in supervisor._log.handlers:
        handler.close()
    assert [path.stat().st_uid for path in (site / "state", sockets)] == [64123, 64123]
    assert sockets.stat().st_mode & 0o7777 == 0o2750


def test_root_looks_at_a_ledger_as_its_owner(open_place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    os.chown(open_place, 64123, 64123)

    def job() -> int:
        (open_place / "seal").touch()
        return os.geteuid()

    assert as_owner(open_place, job, seconds=10) == 64123
    assert (open_place / "seal").stat().st_uid == 64123 and os.geteuid() == 0
    with pytest.raises(SiteUnusable, match="ZeroDivisionError"):
        as_owner(open_place, lambda: 1 // 0, seconds=10)
    with pytest.raises(TimeoutError):
        as_owner(open_place, lambda: time.sleep(60), seconds=0.1)


def test_a_command_of_root_becomes_the_folders_owner_and_others_are_told_whom_to_be(open_place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    folder = open_place / "site"
    folder.mkdir()
    os.chown(folder, 64123, 64123)

    def as_user(user: int) -> str:
        """In a process of its own, forked, because an interpreter in a home folder cannot be started by others."""
        reads, writes = os.pipe()
        if (child := os.fork()) == 0:
            try:
                os.setuid(user)
                act_as_owner(folder)
                os.write(writes, f"{os.geteuid()} {os.getgroups()}".encode())
            except SiteUnusable as error:
                os.write(writes, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writes)
        with os.fdopen(reads) as stream:
            return stream.read()

    assert as_user(0) == "64123 []" and as_user(64123).startswith("64123")
    assert "belongs to 64123: run the command as that user, with sudo -u 64123" in as_user(64124)

"""One holder at a time, known by its process id, and free again as soon as it ends, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from protocol.lock import lock_holder, take_lock

ROOT = Path(__file__).resolve().parents[2]
HOLD = "import sys; from pathlib import Path; from protocol.lock import take_lock; lock = take_lock(Path(sys.argv[1]));"


def test_the_second_is_told_who_holds_it_until_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    assert lock_holder(path) is None and not path.exists()
    held = take_lock(path)
    assert held is not None and path.stat().st_mode & 0o777 == 0o600
    assert take_lock(path) is None and lock_holder(path) == os.getpid()
    held.close()
    assert lock_holder(path) is None
    again = take_lock(path)
    assert again is not None
    again.close()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    program = HOLD + "print(lock is not None, flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        assert lock_holder(path) == process.pid and take_lock(path) is None
        process.kill()
        process.wait()
    assert lock_holder(path) is None


def test_who_waits_gets_it_next(tmp_path: Path) -> None:
    path = tmp_path / "queue.lock"
    held = take_lock(path)
    assert held is not None
    threading.Timer(0.3, held.close).start()
    waited = take_lock(path, wait=True)
    assert waited is not None
    waited.close()

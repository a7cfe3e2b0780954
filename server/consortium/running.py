"""Starting in the background, waiting, stopping, fetching: what the commands do with a coordinator that runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from server.consortium.coordinator import environment, running_coordinator
from server.consortium.launch import stop as ask_to_stop
from server.consortium.operator import operator
from server.consortium.places import ConsortiumPlaces
from server.errors import ConsortiumUnusable, CoordinatorUnreachable, QuorumMissed
from server.progress import COMPLETED, ENDED, INTERRUPTED, STOPPED, Progress, ProgressFile, is_running

START_SECONDS = 180.0
STOP_SECONDS = 45.0
LOOK_SECONDS = 0.3


def start_detached(places: ConsortiumPlaces) -> int:
    """Start the coordinator in the background and wait until it serves; its process id. Raises ServerError."""
    if running_coordinator(places):
        raise ConsortiumUnusable("A coordinator runs over this folder already.")
    process = subprocess.Popen(
        [sys.executable, "-m", "server.consortium.coordinator", "--dir", str(places.folder)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=environment(places), start_new_session=True, cwd="/",
    )  # fmt: skip
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            said = process.stderr.read().decode(errors="replace").strip().splitlines() if process.stderr else []
            raise ConsortiumUnusable(said[-1] if said else f"The coordinator ended at once: look into {places.log}.")
        try:
            with operator(places) as coordinator:
                coordinator.nodes()
            return process.pid
        except CoordinatorUnreachable:
            time.sleep(LOOK_SECONDS)
    raise CoordinatorUnreachable(f"The coordinator does not serve after {START_SECONDS:.0f} s: look into {places.log}.")


def stop_coordinator(places: ConsortiumPlaces) -> None:
    """SIGTERM, and wait until its lock is free. Raises ConsortiumUnusable, CoordinatorUnreachable."""
    process = running_coordinator(places)
    if process is None:
        raise ConsortiumUnusable("No coordinator runs over this folder.")
    os.kill(process, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while running_coordinator(places) == process:
        if time.monotonic() > end:
            raise CoordinatorUnreachable(f"The coordinator (process {process}) does not stop: look into {places.log}.")
        time.sleep(LOOK_SECONDS)


def stop_study(places: ConsortiumPlaces, name: str) -> None:
    """Stop a study's ServerApp and say so in its progress. Raises ServerError."""
    out = places.run(name)
    if not is_running(out):
        raise ConsortiumUnusable(f"Study {name} does not run.")
    ask_to_stop(places, name)
    end = time.monotonic() + STOP_SECONDS
    while is_running(out):
        if time.monotonic() > end:
            raise CoordinatorUnreachable(f"Study {name} does not stop: look into {places.log}.")
        time.sleep(LOOK_SECONDS)
    if (progress := Progress.read(out)) is not None and progress.state == INTERRUPTED:
        ProgressFile(out, progress).say(state=STOPPED, awaited=(), message="It was stopped by the operator.")


def wait_for_end(places: ConsortiumPlaces, name: str) -> None:
    """Wait until a study has ended. Raises QuorumMissed with how it ended, unless it is completed."""
    while (progress := Progress.read(places.run(name))) is None or progress.state not in ENDED:
        time.sleep(LOOK_SECONDS)
    if progress.state != COMPLETED:
        raise QuorumMissed(progress.message or f"Study {name} is {progress.state}: see `fedm2g consortium status`.")


def fetch_generator(places: ConsortiumPlaces, name: str, out: Path) -> Path:
    """Copy a completed study's generator. Raises ConsortiumUnusable."""
    source = places.run(name) / "generator"
    if not source.is_dir():
        raise ConsortiumUnusable(f"Study {name} has left no generator yet: see `fedm2g consortium status`.")
    if out.exists():
        raise ConsortiumUnusable(f"{out} exists: choose another --out.")
    building = out.with_name(f".{out.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(source, building)
    os.replace(building, out)
    return out

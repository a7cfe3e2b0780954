"""The ServerApp that SuperLink starts: one study in one run folder, one study of a consortium at a time.

A second study waits until the first has ended, before it asks anybody anything: hospitals train one study at a time,
and a round's deadline must not run while its site is busy with another. What happens is told in `progress.json`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from protocol.lock import take_lock
from protocol.study import Study
from server.app import run_study
from server.errors import RunConfigInvalid, ServerError
from server.memory import give_memory_back
from server.progress import COMPLETED, FAILED, LOCK, WAITING_FOR_STUDY, Progress, ProgressFile

QUEUE = "queue.lock"
"""Beside the run folders: held by the study that runs."""

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Read the run configuration (`study`, `generator`, `out`, `resume`, `join-seconds`) and run the study."""
    give_memory_back()
    config = context.run_config
    study, out = Study.read(_path(config, "study")), _path(config, "out")
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        own = take_lock(out / LOCK)
        if own is None:
            raise RunConfigInvalid(f"Study {study.name} runs in this folder already: stop that run first.")
        locks.enter_context(own)
        progress = ProgressFile(out, Progress(study=study.name))
        turn = take_lock(out.parent / QUEUE)
        if turn is None:
            progress.say(state=WAITING_FOR_STUDY)
            turn = take_lock(out.parent / QUEUE, wait=True)
            assert turn is not None
        locks.enter_context(turn)
        _run(grid, study, config, out, progress)


def _run(grid: Grid, study: Study, config: Mapping[str, object], out: Path, progress: ProgressFile) -> None:
    try:
        run_study(
            grid,
            study,
            generator_folder=generator_folder(study, str(config.get("generator", ""))),
            out=out,
            resume=bool(config.get("resume", False)),
            join_seconds=float(str(config.get("join-seconds", 60.0))),
            progress=progress,
            only_registered=True,
        )
    except ServerError as error:
        progress.say(state=FAILED, awaited=(), message=str(error))
        raise
    except httpx.HTTPStatusError:
        progress.say(state=FAILED, awaited=(), message="SuperLink was away too long and let the run go: resume it.")
        raise
    except Exception as error:
        name = type(error).__name__
        progress.say(state=FAILED, awaited=(), message=f"fedm2g failed inside ({name}): coordinator.log says where.")
        raise
    progress.say(state=COMPLETED, awaited=(), message="The generator is ready to be fetched.")


def _path(config: Mapping[str, object], name: str) -> Path:
    if not (value := str(config.get(name, ""))):
        raise RunConfigInvalid(f"The run configuration lacks `{name}`: pass it with -c '{name}=\"/absolute/path\"'.")
    return Path(value)


def generator_folder(study: Study, configured: str = "") -> Path:
    """As configured, else as the study says, else the weights that come with the package (found without torch)."""
    if configured or study.generator != "shipped":
        return Path(configured or study.generator)
    package = importlib.util.find_spec("medm2g")
    if package is None or not package.submodule_search_locations:
        raise RunConfigInvalid("The package medm2g is not installed: install fedm2g, or name a generator folder.")
    return Path(package.submodule_search_locations[0]) / "weights" / study.preset

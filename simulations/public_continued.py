"""The honest rival of a private federation: the same compute on more public phantoms, in the open.

The same study without privacy (no clipping, no noise, the same trained groups, sampling, steps and server optimizer),
over sites that hold phantoms of the public hospitals that the generator has not seen.

It runs in a process of its own while the private study runs: at `tiny` size neither keeps a second core busy.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from protocol.study import Study
from simulations.errors import RunFailed
from simulations.phantoms.public import PUBLIC

POPULATION = PUBLIC
#: Away from the seeds of pre-training and of the study's own sites.
_SEED_OFFSET = 50_000
_LOOK_EVERY_SECONDS = 0.2


def continue_in_public(
    study: Study,
    generator_folder: Path,
    folder: Path,
    *,
    size: int,
    on_round: Callable[[int], None] = lambda _: None,
) -> Path:
    """Run it in `folder` and return the generator that came out."""
    from simulations import engines
    from simulations.scenario import build_phantom_sites
    from simulations.study_file import without_privacy

    public = without_privacy(study)
    sites = build_phantom_sites(public, folder / "sites", size=size, population=POPULATION, seed_offset=_SEED_OFFSET)
    engines.approve(public, sites, generator_folder)
    result = engines.run(
        "local",
        public,
        sites,
        generator_folder=generator_folder,
        out=folder,
        on_round=lambda _, state: on_round(state.rounds_done),
    )
    assert result.generator is not None
    return result.generator


@contextmanager
def half_of_the_threads() -> Iterator[None]:
    """Torch on half of the cores: for a study, whether a rival runs beside it or not, so that both repeat to the bit.

    Two processes whose threads outnumber the cores wait for each other (35 times slower, measured).
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(_half_of_the_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)


class PublicRival:
    """`continue_in_public` in the background, for as long as the block lasts, on half of the cores."""

    def __init__(self, study: Study, generator_folder: Path, folder: Path, *, size: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)  # an interrupted run's
        context = multiprocessing.get_context("spawn")
        self._rounds = context.Value("q", 0)
        self._ours, theirs = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_run, args=(study, generator_folder, folder, size, _half_of_the_cores(), self._rounds, theirs)
        )
        self._theirs = theirs

    def __enter__(self) -> PublicRival:
        self._process.start()
        self._theirs.close()  # so that the death of the process is the end of the pipe
        return self

    def wait(self, on_round: Callable[[int], None]) -> Path:
        """The generator that came out. Raises RunFailed."""
        while not self._ours.poll(_LOOK_EVERY_SECONDS):
            on_round(self._rounds.value)
        try:
            return Path(self._ours.recv())
        except EOFError:
            raise RunFailed(
                "The same compute on public phantoms failed; its own error stands above. The private run is kept: "
                "repeat the judgement with --resume."
            ) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()


def _half_of_the_cores() -> int:
    return max(1, (os.cpu_count() or 1) // 2)


def _run(study: Study, generator_folder: Path, folder: Path, size: int, threads: int, rounds: Any, result: Any) -> None:
    """In the rival's process."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run that it belongs to ends it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exit, so that the builders of phantoms end first
    torch.set_num_threads(threads)
    master = multiprocessing.parent_process()

    def tell(done: int) -> None:
        if master is not None and not master.is_alive():
            sys.exit(1)
        rounds.value = done

    found = continue_in_public(study, generator_folder, folder, size=size, on_round=tell)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # all is done: being ended while it closes is no matter, and silent
    result.send(str(found))

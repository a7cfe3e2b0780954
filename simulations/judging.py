"""Judges several generators in parallel: one process per core, one torch thread each, each generator opened once.

Sampling is nearly all of an evaluation. Two processes of one thread use two cores better than one process of two, since
the networks are small.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from simulations.evaluation import EvaluationSettings, OmniscientReferee
from simulations.held_out import HeldOut
from simulations.summary import FlowQuality, Quality

if TYPE_CHECKING:
    from medm2g.generator import Generator

NoteDone = Callable[[], None]


@dataclass
class _Bench:
    """What one worker holds."""

    referee: OmniscientReferee
    open: Callable[[str], Generator]


_bench: _Bench | None = None


def _take_seat(held_out: HeldOut, settings: EvaluationSettings, referee_folder: Path | None) -> None:
    """Runs once in each worker."""
    import torch

    from simulations.text_memory import RememberingTextEncoder

    global _bench
    torch.set_num_threads(1)
    encoder = RememberingTextEncoder()
    opened: dict[str, Generator] = {}

    def open_once(folder: str) -> Generator:
        if folder not in opened:
            opened[folder] = settings.opened(folder, text_encoder=encoder)
        return opened[folder]

    _bench = _Bench(OmniscientReferee(held_out, settings, referee_folder), open_once)


def _judge(generator_folder: str, flow: str, sampling_seed: int) -> FlowQuality:
    assert _bench is not None
    generator = _bench.open(generator_folder)
    return _bench.referee.judge(generator, sampling_seeds=[sampling_seed], flows=[flow]).flows[flow]


def _held_out_accuracy() -> dict[str, float]:
    assert _bench is not None
    return _bench.referee.held_out_accuracy()


class _SameProcess(Executor):
    """Runs each call at once, in this process: for tests, and for machines with little memory."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The call's outcome as a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Panel(AbstractContextManager["Panel"]):
    """A pool of referees over one held-out set. `summon` returns at once; `Verdict.wait` gives the figures."""

    def __init__(
        self,
        held_out: HeldOut,
        settings: EvaluationSettings,
        *,
        flows: Sequence[str],
        referee_folder: Path | None = None,
        workers: int | None = None,
    ) -> None:
        """workers: processes; None for one per core, 0 for none but this one."""
        self.settings, self.flows = settings, tuple(flows)
        self._pool: Executor
        if workers == 0:
            _take_seat(held_out, settings, referee_folder)
            self._pool = _SameProcess()
        else:
            self._pool = ProcessPoolExecutor(
                max_workers=workers or max(1, min(4, os.cpu_count() or 1)),
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_take_seat,
                initargs=(held_out, settings, referee_folder),
            )

    def summon(
        self,
        generator_folder: Path,
        *,
        sampling_seeds: Sequence[int] | None = None,
        flows: Sequence[str] | None = None,
        note_done: NoteDone = lambda: None,
    ) -> Verdict:
        """Begin judging a generator."""
        seeds = self.settings.sampling_seeds if sampling_seeds is None else sampling_seeds
        parts: dict[str, list[Future[FlowQuality]]] = {}
        for flow in self.flows if flows is None else flows:
            parts[flow] = [self._pool.submit(_judge, str(generator_folder), flow, seed) for seed in seeds]
            for part in parts[flow]:
                part.add_done_callback(lambda _: note_done())
        return Verdict(parts)

    def held_out_accuracy(self) -> dict[str, float]:
        """The referee's accuracy on the held-out originals."""
        return self._pool.submit(_held_out_accuracy).result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Verdict:
    """Figures on their way."""

    parts: Mapping[str, Sequence[Future[FlowQuality]]]

    def wait(self) -> Quality:
        """All of them, one value per sampling seed. Raises what a referee raised."""
        return Quality({flow: _joined([part.result() for part in parts]) for flow, parts in self.parts.items()})


def _joined(parts: Sequence[FlowQuality]) -> FlowQuality:
    return FlowQuality(
        frechet=tuple(value for part in parts for value in part.frechet),
        finding_accuracy=tuple(value for part in parts for value in part.finding_accuracy),
        frechet_reason=parts[0].frechet_reason,
        accuracy_reason=parts[0].accuracy_reason,
    )

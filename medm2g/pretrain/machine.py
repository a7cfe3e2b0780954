"""Where pre-training runs: on the processor, or on an accelerator with the processor's cores to draw batches.

Networks of this size keep an accelerator waiting: a step is some hundred small kernels, each launched by Python. So
work for an accelerator runs in processes of its own, several of which train beside each other on the one device. The
process that they are forked from never touches it, and runs no network: on a machine with CUDA a pass on the processor
opened the device too (an H100, torch 2.11), and after that no fork could.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from medm2g.errors import ConfigInvalid
from medm2g.pretrain.loop import Progress, no_progress

T = TypeVar("T")
_MOST_WORKERS = 8
"""Processes that draw one network's batches: each batch that waits holds a file descriptor per tensor."""
_FORKING = threading.Lock()


@dataclass(frozen=True)
class Machine:
    """A device, and processor cores beside it."""

    device: torch.device = torch.device("cpu")
    cores: int | None = 2
    """None: as many as torch uses already, for one network after the other."""

    @classmethod
    def named(cls, device: str, cores: int | None) -> Machine:
        """`cpu`, or an accelerator as torch names it (`cuda`). Raises ConfigInvalid where there is none."""
        try:
            found = torch.device(device)
        except RuntimeError as error:
            raise ConfigInvalid(f"There is no device {device!r}: choose cpu or cuda.") from error
        if found.type not in ("cpu", "cuda"):
            raise ConfigInvalid(f"Pre-training does not run on {device!r}: choose cpu or cuda.")
        machine = cls(found, cores)
        # asked elsewhere: a process that has seen the accelerator cannot lend it to those forked from it
        if machine.elsewhere and not machine.run(lambda _: torch.cuda.device_count(), moves=[], trains=[]):
            raise ConfigInvalid("torch sees no CUDA device on this machine: leave --device out, or install its build.")
        return machine

    @property
    def elsewhere(self) -> bool:
        """Whether work leaves this process."""
        return self.device.type != "cpu"

    def at_once(self, jobs: int) -> int:
        """How many of so many networks train beside each other."""
        return jobs if self.elsewhere else min(self.cores or 1, jobs)

    def workers(self, at_once: int = 1) -> int:
        """Processes that draw the batches of each of the networks that train at once; on the processor none."""
        return max(1, min(_MOST_WORKERS, (self.cores or 1) // at_once)) if self.elsewhere else 0

    def run(
        self,
        work: Callable[[Progress], T],
        *,
        moves: Sequence[nn.Module],
        trains: Sequence[nn.Module],
        progress: Progress = no_progress,
    ) -> T:
        """work(progress) with `moves` on the device. Of what it changes, only `trains` comes back, and its result."""
        if not self.elsewhere:
            return work(progress)
        return _forked(lambda told: _on(self.device, lambda: work(told), moves, trains), [*moves, *trains], progress)


def _on(device: torch.device, work: Callable[[], T], moves: Sequence[nn.Module], trains: Sequence[nn.Module]) -> T:
    """In the forked process: what is trained is written back into the memory that it shares with its parent."""
    home = _tensors(trains)
    for module in moves:
        module.to(device)
    result = work()
    with torch.no_grad():
        for place, value in zip(home, _tensors(trains), strict=True):
            place.copy_(value)
    return result


def _tensors(modules: Sequence[nn.Module]) -> list[Tensor]:
    return [tensor.data for module in modules for tensor in (*module.parameters(), *module.buffers())]


def _forked(work: Callable[[Progress], T], shared: Sequence[nn.Module], progress: Progress) -> T:
    """The result of work in a process forked from this one. Raises what it raised, or RuntimeError if it died."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    with _FORKING:
        for module in shared:
            module.share_memory()
        process = context.Process(target=_serve, args=(work, theirs))
        process.start()
    theirs.close()
    try:
        return _heard(ours, progress)
    except EOFError as error:
        process.join()
        raise RuntimeError(f"A process that trained a network died with exit code {process.exitcode}.") from error
    finally:
        ours.close()
        process.join()


def _heard(pipe: Connection, progress: Progress) -> Any:
    while True:
        what, value = pipe.recv()
        if what == "progress":
            progress(*value)
            continue
        pipe.send("received")  # tensors are handed over by their owner, who must live until then
        if what == "error":
            raise value
        return value


def _serve(work: Callable[[Progress], Any], pipe: Connection) -> None:
    torch.set_num_threads(1)  # threads of the parent did not come along
    try:
        found = "result", work(lambda *told: pipe.send(("progress", told)))
    except Exception as error:
        found = "error", error
    pipe.send(found)
    pipe.recv()

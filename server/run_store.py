"""One checkpoint per round: everything that the next round needs, in one file that is either old or new, never half.

The server draws nothing at random, so groups, averages, moments and counts are the whole state: a resumed run equals
the uninterrupted one. Groups that no round has trained stay in the generator folder that the study names by digest.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from protocol.arrays import Array, GroupArrays, Groups
from protocol.study import OptimizerSpec, Study
from server.errors import CheckpointInvalid
from server.optimizer import Moments, ServerOptimizer, average

_SEPARATOR = "|"  # neither group names nor parameter names contain it


@dataclass
class RunState:
    """What a round changes."""

    study_digest: str
    groups: dict[str, dict[str, Array]]
    """Last weights of every group of the study."""
    optimizer: ServerOptimizer
    ema: dict[str, dict[str, Array]] = field(default_factory=dict)
    """Averaged weights of the groups trained so far."""
    finished: dict[str, int] = field(default_factory=dict)
    """Stage to rounds done, in the order of stages."""

    @property
    def rounds_done(self) -> int:
        """Over all stages."""
        return sum(self.finished.values())

    def apply(self, means: Groups, *, learning_rate: float, ema_decay: float) -> None:
        """Step every group that was trained and move its average; the others stay."""
        for group_name, update in means.items():
            arrays = self.groups[group_name]
            ema = self.ema.setdefault(group_name, {name: array.copy() for name, array in arrays.items()})
            self.optimizer.apply(group_name, arrays, update, learning_rate=learning_rate)
            average(ema, arrays, decay=ema_decay)


class RunStore:
    """The checkpoint of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoint.safetensors"

    def exists(self) -> bool:
        """Whether some round (or the start) was saved here."""
        return self.path.exists()

    def save(self, state: RunState) -> None:
        """Write `state` atomically and durably."""
        tensors: dict[str, Array] = {}
        for group_name, averages in state.ema.items():
            tensors |= _flat("last", group_name, state.groups[group_name]) | _flat("ema", group_name, averages)
        for group_name, moments in state.optimizer.moments.items():
            tensors |= _flat("first", group_name, moments.first) | _flat("second", group_name, moments.second)
        facts = {
            "study_digest": state.study_digest,
            "finished": state.finished,
            "trained": list(state.ema),
            "optimizer_steps": {name: moments.step for name, moments in state.optimizer.moments.items()},
        }
        temporary = self.path.with_suffix(".tmp")
        save_file(tensors, temporary, metadata={"state": json.dumps(facts)})
        _make_durable(temporary)
        os.replace(temporary, self.path)
        _make_durable(self.path.parent)

    def load(self, study: Study, *, study_digest: str, groups: dict[str, dict[str, Array]]) -> RunState:
        """The saved state over the initial `groups`. Raises CheckpointInvalid for another study or a broken file."""
        try:
            with safe_open(self.path, framework="numpy") as file:
                facts = json.loads((file.metadata() or {})["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError):
            raise CheckpointInvalid(
                f"{self.path.name} cannot be read: start the study again in another folder."
            ) from None
        if facts["study_digest"] != study_digest:
            raise CheckpointInvalid(
                "The run folder belongs to another study (its digest differs): resume with the study.toml, generator "
                "and fedm2g version it was started with, or choose another folder."
            )
        loaded = {name: _unflat(tensors, "last", name) for name in facts["trained"]}
        return RunState(
            study_digest=study_digest,
            groups=groups | loaded,
            optimizer=_load_optimizer(study.optimizer, tensors, facts["optimizer_steps"]),
            ema={name: _unflat(tensors, "ema", name) for name in facts["trained"]},
            finished=facts["finished"],
        )


def _load_optimizer(spec: OptimizerSpec, tensors: dict[str, Array], steps: dict[str, int]) -> ServerOptimizer:
    moments = {
        name: Moments(first=_unflat(tensors, "first", name), second=_unflat(tensors, "second", name), step=step)
        for name, step in steps.items()
    }
    return ServerOptimizer(spec, moments)


def _flat(kind: str, group_name: str, arrays: GroupArrays) -> dict[str, Array]:
    return {
        _SEPARATOR.join((kind, group_name, name)): np.require(array, requirements="C") for name, array in arrays.items()
    }


def _unflat(tensors: dict[str, Array], kind: str, group_name: str) -> dict[str, Array]:
    prefix = _SEPARATOR.join((kind, group_name, ""))
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""What a run keeps from round to round, all on disk: weights, averages and moments pass through memory one by one.

`checkpoint.json` says what is valid: the study's digest, the rounds done, and for every group that was trained a file
in `checkpoint/` with its last weights, their average and Adam's moments, by digest. A round writes new files beside
the old, and then replaces `checkpoint.json`: a crash at any line leaves either the old state or the new one. The server
draws nothing at random, so this is the whole state and a resumed run equals the uninterrupted one. Groups that no
round has trained stay in the generator folder that the study names by digest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from protocol.arrays import Array
from protocol.codec import AsSent
from protocol.digests import digest_group
from protocol.errors import MalformedMessage
from protocol.groups import flow_of
from protocol.study import OptimizerSpec
from server.errors import CheckpointFailed, CheckpointInvalid
from server.optimizer import Moments, average, step, update_scale
from server.tensor_file import StoredArrays, TensorFile, TensorFileInvalid, TensorWriter

#: What a file of the checkpoint holds of every parameter, by prefix (parameter names contain no bar).
KINDS = LAST, EMA, FIRST, SECOND = "last|", "ema|", "first|", "second|"


@dataclass(frozen=True)
class StoredGroup:
    """One trained group in the checkpoint."""

    file: str
    step: int
    """Steps of its optimizer so far."""
    digest: str
    """Of its last weights, exactly: whether the file is what was written."""
    has_moments: bool


@dataclass
class RunState:
    """Where a run stands. Holds names, digests and headers, never a group."""

    study_digest: str
    store: RunStore
    groups: dict[str, StoredArrays]
    """Last weights of every group of the study; each access reads one tensor from disk."""
    digests: dict[str, str]
    """Of every group's last weights as they are sent: what sites call it by."""
    trained: dict[str, StoredGroup] = field(default_factory=dict)
    finished: dict[str, int] = field(default_factory=dict)
    """Stage to rounds done, in the order of stages."""

    @classmethod
    def begin(cls, study_digest: str, store: RunStore, groups: dict[str, StoredArrays]) -> RunState:
        """Before the first round."""
        digests = {name: digest_group(AsSent(arrays)) for name, arrays in groups.items()}
        return cls(study_digest=study_digest, store=store, groups=dict(groups), digests=digests)

    @property
    def rounds_done(self) -> int:
        """Over all stages."""
        return sum(self.finished.values())

    @property
    def ema(self) -> dict[str, StoredArrays]:
        """Averaged weights of the groups trained so far."""
        return {name: self.store.arrays(stored.file, EMA) for name, stored in self.trained.items()}

    def apply(
        self,
        means: dict[str, dict[str, Array]],
        spec: OptimizerSpec,
        *,
        learning_rate: float,
        flow_rates: Mapping[str, float],
        ema_decay: float,
        last_round: bool = False,
    ) -> None:
        """Step every group that was trained and move its average; `means` is used up, group by group.

        flow_rates: factors of the rate, by flow.
        last_round: of a stage, whose groups are not trained again: their moments are let go.
        Nothing of it is valid before `commit`. Raises CheckpointFailed when the disk does not take it; this object is
        then of no use any more and the run resumes from the checkpoint.
        """
        try:
            for name in list(means):
                mean = means.pop(name)
                rate = learning_rate * flow_rates.get(flow_of(name), 1.0)
                self._step_group(name, mean, spec, learning_rate=rate, ema_decay=ema_decay, last_round=last_round)
        except OSError as error:
            raise _failed(error) from error

    def _step_group(
        self,
        name: str,
        mean: dict[str, Array],
        spec: OptimizerSpec,
        *,
        learning_rate: float,
        ema_decay: float,
        last_round: bool,
    ) -> None:
        before, last = self.trained.get(name), self.groups[name]
        step_number = before.step + 1 if before else 1
        remembers = spec.name == "adam"
        kinds = KINDS if remembers and not last_round else (LAST, EMA)
        file = f"{name.replace('/', '.')}.{self.rounds_done + 1:06d}.safetensors"
        ema = self.store.arrays(before.file, EMA) if before else last  # the average starts at the first weights
        scale = np.float32(update_scale(spec, mean))
        moments_file = self.store.file(before.file) if remembers and before and before.has_moments else None
        with self.store.writer(
            file, {kind + key: shape for key, shape in last.shapes().items() for kind in kinds}
        ) as new:
            for key in last:
                array, averaged, update = last[key], ema[key], mean.pop(key)
                moments = _moments(moments_file, key, array.shape) if remembers else None
                if scale != 1.0:
                    update *= scale
                step(spec, array, update, moments, learning_rate=learning_rate, step_number=step_number)
                average(averaged, array, decay=ema_decay)
                values = (array, averaged) if moments is None else (array, averaged, moments.first, moments.second)
                for kind, value in zip(kinds, values, strict=False):
                    new.put(kind + key, value)
        self.groups[name] = self.store.arrays(file, LAST)
        self.digests[name] = digest_group(AsSent(self.groups[name]))
        self.trained[name] = StoredGroup(
            file=file, step=step_number, digest=digest_group(self.groups[name]), has_moments=kinds is KINDS
        )


class RunStore:
    """The checkpoint of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoint.json"
        self._folder = folder / "checkpoint"

    def exists(self) -> bool:
        """Whether some round (or the start) was committed here."""
        return self.path.exists()

    def file(self, name: str) -> TensorFile:
        """One of the checkpoint's files; nothing but its header is read."""
        return TensorFile(self._folder / name)

    def arrays(self, name: str, kind: str) -> StoredArrays:
        """One kind of a trained group's tensors (of `KINDS`); none is read yet."""
        return StoredArrays(self.file(name), kind)

    def writer(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> TensorWriter:
        """A new file of the checkpoint; it counts for nothing before `commit`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return TensorWriter(self._folder / name, shapes, {})

    def commit(self, state: RunState) -> None:
        """Make `state` the one that a resumed run starts from, atomically and durably; drop what it replaced."""
        facts = {
            "study_digest": state.study_digest,
            "finished": state.finished,
            "trained": {name: asdict(stored) for name, stored in state.trained.items()},
        }
        temporary = self.path.with_suffix(".tmp")
        try:
            if state.trained:
                _flush(self._folder)
            temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")
            _flush(temporary)
            os.replace(temporary, self.path)
            _flush(self.path.parent)
        except OSError as error:
            raise _failed(error) from error
        valid = {stored.file for stored in state.trained.values()}
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            if path.name not in valid:
                path.unlink(missing_ok=True)

    def load(self, *, study_digest: str, groups: dict[str, StoredArrays]) -> RunState:
        """The committed state over the initial `groups`. Raises CheckpointInvalid: another study, or damaged files."""
        try:
            facts = json.loads(self.path.read_text(encoding="utf-8"))
            if facts["study_digest"] != study_digest:
                raise CheckpointInvalid(
                    "The run folder belongs to another study (its digest differs): resume with the study.toml, "
                    "generator and fedm2g version it was started with, or choose another folder."
                )
            state = RunState.begin(study_digest, self, groups)
            state.finished = {str(stage): int(rounds) for stage, rounds in facts["finished"].items()}
            state.trained = {name: StoredGroup(**stored) for name, stored in facts["trained"].items()}
            for name, stored in state.trained.items():
                state.groups[name] = self.arrays(stored.file, LAST)
                state.digests[name] = digest_group(AsSent(state.groups[name]))
            whole = all(digest_group(state.groups[name]) == stored.digest for name, stored in state.trained.items())
        except (OSError, TensorFileInvalid, KeyError, TypeError, ValueError, MalformedMessage):
            raise _damaged() from None
        if not whole:
            raise _damaged()
        return state


def _moments(file: TensorFile | None, key: str, shape: tuple[int, ...]) -> Moments:
    """Of one tensor: as they were left, or zero before the first step."""
    if file is None:
        return Moments(first=np.zeros(shape, np.float32), second=np.zeros(shape, np.float32))
    return Moments(first=file.read(FIRST + key), second=file.read(SECOND + key))


def _failed(error: OSError) -> CheckpointFailed:
    return CheckpointFailed(
        f"The run folder does not take the round's checkpoint ({error.strerror or type(error).__name__}): make room or "
        "mend the disk, then resume; the rounds before it are safe."
    )


def _damaged() -> CheckpointInvalid:
    return CheckpointInvalid("The checkpoint cannot be read or is damaged: start the study again in another folder.")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

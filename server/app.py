"""`run_study` is the whole run, on any of Flower's engines; `server.deployed` is what SuperLink starts.

A run folder holds `rounds.jsonl` (one line per round, every site by name), `checkpoint.json` with `checkpoint/` (the
state after the last completed round) and, when the study is done, `generator/`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flwr.serverapp import Grid

from protocol.study import Study
from protocol.version import VERSION
from server.errors import CheckpointInvalid
from server.generator_folder import bind, epsilon_by_site, open_groups, write_generator
from server.participants import Participants
from server.progress import Progress, ProgressFile
from server.rounds import RoundLog, RoundRecord
from server.run_store import RunState, RunStore
from server.strategy import OnRound, StudyStrategy, check_reachable


@dataclass(frozen=True)
class SiteTotals:
    """One site over the whole study, a resumed part included."""

    rounds: int
    """Rounds in which its update was folded."""
    bytes_up: int
    bytes_down: int
    epsilon: float | None
    """As the site last reported; None where it reported none."""


@dataclass(frozen=True)
class StudyResult:
    """What a run leaves."""

    study: Study
    """Bound to its generator."""
    study_digest: str
    completed: bool
    """False where `stop_after` ended the run early."""
    records: list[RoundRecord]
    """Every round of the study so far, failed ones included."""
    generator: Path | None
    """The result's folder, once the study is completed."""
    sites: Mapping[str, SiteTotals]
    wall_seconds: float
    """Of this run alone."""
    training_seconds: float | None
    """Of this run, by the training clock; None where there is none."""


def run_study(
    grid: Grid,
    study: Study,
    *,
    generator_folder: Path,
    out: Path,
    resume: bool = False,
    stop_after: int | None = None,
    on_round: OnRound | None = None,
    join_seconds: float = 0.0,
    training_clock: Callable[[], float] | None = None,
    progress: ProgressFile | None = None,
    only_registered: bool = False,
) -> StudyResult:
    """Run a study on `grid` from the start, or from its checkpoint in `out`, to its generator.

    stop_after: rounds of the whole study after which to stop; resume to go on.
    join_seconds: how long to wait for the study's sites to connect.
    training_clock: seconds of training so far, as the vaults or the engine count them (`LocalGrid.site_seconds`).
    only_registered: a node must have been registered under the name by which it answers; every deployment sets it.
    Raises ServerError: GeneratorInvalid, CheckpointInvalid, NotEnoughSites, QuorumMissed.
    """
    started, trained_before = time.monotonic(), training_clock() if training_clock else 0.0
    check_reachable(study)
    study = bind(study, generator_folder)
    study_digest = study.digest(version=VERSION)
    out.mkdir(parents=True, exist_ok=True)
    store, round_log = RunStore(out), RoundLog(out / "rounds.jsonl")
    state = _opening_state(study, study_digest, generator_folder, store, round_log, resume=resume)
    progress = progress or ProgressFile(None, Progress(study=study.name))
    progress.say(
        study_digest=study_digest,
        rounds_done=state.rounds_done,
        rounds_total=sum(stage.rounds for stage in study.stages),
    )
    participants = Participants(study, study_digest, VERSION, only_registered=only_registered, progress=progress)
    participants.gather(grid, join_seconds=join_seconds)
    StudyStrategy(
        study,
        state,
        participants,
        store=store,
        round_log=round_log,
        progress=progress,
        training_clock=training_clock,
        on_round=on_round,
        stop_after=stop_after,
    ).start(grid)
    records = round_log.read()
    completed = all(state.finished.get(stage.name, 0) == stage.rounds for stage in study.stages)
    return StudyResult(
        study=study,
        study_digest=study_digest,
        completed=completed,
        records=records,
        generator=_write(generator_folder, out, study, state, records) if completed else None,
        sites=_totals(study, records),
        wall_seconds=time.monotonic() - started,
        training_seconds=training_clock() - trained_before if training_clock else None,
    )


def _opening_state(
    study: Study, study_digest: str, folder: Path, store: RunStore, round_log: RoundLog, *, resume: bool
) -> RunState:
    """The checkpoint's state, or the study's beginning, saved."""
    groups = open_groups(study, folder)
    if resume and store.exists():
        state = store.load(study_digest=study_digest, groups=groups)
        round_log.keep_until(finished=state.finished)
        return state
    if store.exists():
        raise CheckpointInvalid("The run folder already holds a run: resume it, or choose another folder.")
    state = RunState.begin(study_digest, store, groups)
    round_log.path.unlink(missing_ok=True)
    store.commit(state)
    return state


def _write(source: Path, out: Path, study: Study, state: RunState, records: list[RoundRecord]) -> Path:
    target = out / "generator"
    return write_generator(source, target, groups=state.groups, ema=state.ema, study=study, records=records)


def _totals(study: Study, records: list[RoundRecord]) -> dict[str, SiteTotals]:
    spent = epsilon_by_site(records)
    totals = {}
    for site in study.sites:
        outcomes = [record.sites[site.name] for record in records if site.name in record.sites]
        totals[site.name] = SiteTotals(
            rounds=sum(record.completed and site.name in record.accepted for record in records),
            bytes_up=sum(outcome.bytes_up for outcome in outcomes),
            bytes_down=sum(outcome.bytes_down for outcome in outcomes),
            epsilon=spent.get(site.name),
        )
    return totals

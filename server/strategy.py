"""Our Flower strategy: every stage in order, every round to a quorum, a checkpoint after each.

Flower's own `start` waits for all replies in one list and demands the same keys from every site; ours pushes, pulls
reply by reply, folds each into the masked mean and lets it go. The hooks keep Flower's names and do the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from logging import INFO
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from flwr.supercore import log

from protocol.study import StageSpec, Study
from server.errors import NotEnoughSites, QuorumMissed
from server.ledger_heads import LedgerHeads
from server.open_round import OpenRound
from server.optimizer import learning_rate
from server.participants import Participants
from server.progress import RUNNING, ProgressFile
from server.rounds import RoundLog, RoundRecord
from server.run_store import RunState, RunStore

OnRound = Callable[[RoundRecord, RunState], None]
"""Called after each completed round with its record and the state, which it may read and must not change."""
NAMED = 8
"""Sites that the sentence about a missed quorum names; `rounds.jsonl` has them all."""


class StudyStrategy(Strategy):
    """Carries a study from where its state stands to its end.

    training_clock: seconds of training so far, where the vaults or the engine can tell.
    stop_after: stop when this many rounds of the whole study are done; the next run resumes.
    """

    def __init__(
        self,
        study: Study,
        state: RunState,
        participants: Participants,
        *,
        store: RunStore,
        round_log: RoundLog,
        progress: ProgressFile,
        training_clock: Callable[[], float] | None = None,
        on_round: OnRound | None = None,
        stop_after: int | None = None,
    ) -> None:
        self.study, self.state, self.participants = study, state, participants
        self._store, self._round_log, self._progress = store, round_log, progress
        self._training_clock, self._on_round, self._stop_after = training_clock, on_round, stop_after
        self._open: OpenRound | None = None
        self._heads = LedgerHeads(round_log.read())

    # --- the loop -----------------------------------------------------------------------------------------------------

    def start(self, grid: Grid, *_: Any, **__: Any) -> Result:
        """Run what remains of the study. Raises QuorumMissed; everything before that round is in the checkpoint.

        Flower's other arguments have no effect: rounds, deadline and configuration are the study's.
        """
        self.summary()
        for stage, round_number in self._remaining():
            self.participants.meet(grid, again=round_number == 1 or self.participants.asked_long_ago())
            record = self._round(grid, stage, round_number)
            self._round_log.append(record)
            self._heads.note(record)
            if not record.completed:
                raise QuorumMissed(self._why(record))
            self._store.commit(self.state)
            self._progress.say(rounds_done=self.state.rounds_done)
            if self._on_round is not None:
                self._on_round(record, self.state)
        return Result()

    def _remaining(self) -> Iterator[tuple[StageSpec, int]]:
        """Stage and round number of every round still to do, up to `stop_after`."""
        for stage in self.study.stages:
            for round_number in range(self.state.finished.get(stage.name, 0) + 1, stage.rounds + 1):
                if self._stop_after is not None and self.state.rounds_done >= self._stop_after:
                    return
                yield stage, round_number

    def _round(self, grid: Grid, stage: StageSpec, round_number: int) -> RoundRecord:
        before = self._training_clock() if self._training_clock else 0.0
        self._open = OpenRound(
            self.study,
            stage,
            round_number,
            study_digest=self.state.study_digest,
            groups=self.state.groups,
            digests=self.state.digests,
            grid=grid,
            heads=self._heads,
        )
        messages = list(self.configure_train(round_number, ArrayRecord(), ConfigRecord(), grid))
        self._open.send([(self._site_at(message.metadata.dst_node_id), message) for message in messages])
        del messages  # with them go the encoded groups
        self._progress.say(
            state=RUNNING,
            stage=stage.name,
            round_number=round_number,
            rounds=stage.rounds,
            awaited=self._open.awaited(),
            missing=self.participants.absent(),
        )
        self.aggregate_train(round_number, self._open.exchange.replies(self._open.look_again))
        rate = learning_rate(stage, self.study.optimizer, round_number=round_number)
        spent = self._training_clock() - before if self._training_clock else None
        record = self._open.close(learning_rate=rate, training_seconds=spent)
        if record.completed:
            self._apply(stage, round_number, rate)
        self._open = None
        return record

    def _apply(self, stage: StageSpec, round_number: int, rate: float) -> None:
        assert self._open is not None
        self.state.apply(
            self._open.mean.value(),
            self.study.optimizer,
            learning_rate=rate,
            flow_rates=stage.flow_rates,
            ema_decay=self.study.optimizer.ema_decay,
            last_round=round_number == stage.rounds,
        )
        self.state.finished[stage.name] = round_number

    # --- Flower's hooks -----------------------------------------------------------------------------------------------

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message to every admitted site that the open round's stage reaches; the arrays are the state's."""
        assert self._open is not None
        messages = [
            self._open.ask(site, self.participants.nodes[site.name])
            for site in self.study.sites
            if site.name in self.participants.nodes
        ]
        return [message for message in messages if message is not None]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Hear the replies one by one; the mean stays in the open round until its quorum is known."""
        assert self._open is not None
        for reply in replies:
            self._open.hear(reply)
            self._progress.say(awaited=self._open.awaited())
            del reply  # before the next is pulled: one reply is alive at a time
        return None, None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """None: what a site measures on patients is a release, made and charged within `train`."""
        return ()

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Nothing was asked."""
        return None

    def summary(self) -> None:
        """One line at the start: who takes part, from where."""
        log(
            INFO,
            "Study %s: %d of %d sites, %d rounds done",
            self.study.name,
            len(self.participants.nodes),
            len(self.study.sites),
            self.state.rounds_done,
        )

    # --- names --------------------------------------------------------------------------------------------------------

    def _site_at(self, node_id: int) -> str:
        return next(name for name, node in self.participants.nodes.items() if node == node_id)

    def _why(self, record: RoundRecord) -> str:
        dropped = {name: outcome.status for name, outcome in record.sites.items() if not outcome.accepted}
        others = dropped | self.participants.absent()
        named = [f"{name}: {status}" for name, status in list(others.items())[:NAMED]]
        more = [f"and {len(others) - NAMED} more"] if len(others) > NAMED else []
        reasons = ", ".join([*named, *more]) or "no other site"
        return (
            f"Round {record.round_number} of {record.stage} has {len(record.accepted)} accepted replies and the quorum "
            f"needs {self.study.federation.quorum} ({reasons}): mend those sites and resume; "
            f"{self.state.rounds_done} rounds are safe in the checkpoint."
        )


def check_reachable(study: Study) -> None:
    """Raises NotEnoughSites when a stage could never reach its quorum."""
    for stage in study.stages:
        reached = sum(bool(study.groups_of(stage.name, site)) for site in study.sites)
        if reached < study.federation.quorum:
            raise NotEnoughSites(
                f"Stage {stage.name} reaches {reached} sites and the quorum is {study.federation.quorum}: lower "
                "`quorum` or give the sites flows that this stage trains."
            )

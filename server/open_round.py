"""The life of one round: ask each site, hear each reply, fold or drop it by name, and close with a record."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from protocol.codes import Code, Refusal
from protocol.errors import MessageTooLarge
from protocol.groups import reads_of
from protocol.records import encode_groups, record_bytes, reply_from_record, train_request_to_record
from protocol.requests import TrainReply, TrainRequest
from protocol.study import SiteSpec, StageSpec, Study
from server.aggregation import GroupMean, check_update, norm_bound
from server.exchange import Exchange
from server.ledger_heads import LedgerHeads, head_of
from server.rounds import ACCEPTED, RoundRecord, SiteOutcome
from server.tensor_file import StoredArrays

#: How often in one round a site is asked again that lost the question on its way.
TIMES_AGAIN = 2


class OpenRound:
    """One round of one stage, from the first message to the record.

    groups, digests: the server's groups and their digests at the start of the round; neither changes while it is open.
    """

    def __init__(
        self,
        study: Study,
        stage: StageSpec,
        round_number: int,
        *,
        study_digest: str,
        groups: Mapping[str, StoredArrays],
        digests: Mapping[str, str],
        grid: Grid,
        heads: LedgerHeads | None = None,
    ) -> None:
        self.stage, self.round_number = stage, round_number
        self.mean = GroupMean()
        self.outcomes: dict[str, SiteOutcome] = {}
        self._study, self._study_digest = study, study_digest
        self._groups, self._digests = groups, digests
        self._heads = heads or LedgerHeads()
        self._shapes = {name: arrays.shapes() for name, arrays in groups.items()}
        self._grid = grid
        self._lost: set[str] = set()
        self._sent: dict[str, tuple[str, ...]] = {}
        self._asked_again: dict[str, int] = {}
        self._arrivals: dict[int, str] = {}
        self._requests: dict[str, TrainRequest] = {}
        self._nodes: dict[str, int] = {}
        self._encoded: dict[str, ArrayRecord] = {}
        self._trained: dict[str, int] = {}
        self._started = time.monotonic()
        self.exchange = Exchange(
            grid,
            message_type=MessageType.TRAIN,
            group_id=f"{stage.name}-{round_number}",
            deadline_seconds=study.federation.deadline_seconds,
        )

    # --- ask ----------------------------------------------------------------------------------------------------------

    def ask(self, site: SiteSpec, node_id: int) -> Message | None:
        """The message to one site, or None where the stage reaches none of its flows."""
        trains = self._study.groups_of(self.stage.name, site)
        if not trains:
            return None
        reads = (*trains, *reads_of(self._study, self.stage.name, site))
        self._requests[site.name] = TrainRequest(
            study_digest=self._study_digest,
            stage=self.stage.name,
            round_number=self.round_number,
            trains=trains,
            reads={name: self._digests[name] for name in reads},
            groups={},
            release_grid_seconds=self._study.federation.release_grid_seconds,
        )
        self._nodes[site.name] = node_id
        self.outcomes[site.name] = SiteOutcome()
        return self._message(site.name, trains)

    def send(self, messages: Sequence[tuple[str, Message]]) -> None:
        """Push them, each with its site's name, count their bytes, and let go of the encoded groups."""
        for site, message in messages:
            self.outcomes[site].bytes_down += record_bytes(message.content)
        self._arrivals = self._arrivals or self._nodes_here()
        self.exchange.send(messages)
        self._encoded.clear()

    def _message(self, site: str, names: tuple[str, ...]) -> Message:
        for name in names:
            if name not in self._encoded:
                self._encoded |= encode_groups({name: self._groups[name]})
        request, self._sent[site] = self._requests[site], names
        content = train_request_to_record(request, {name: self._encoded[name] for name in names})
        return self.exchange.message(self._nodes[site], content)

    # --- hear ---------------------------------------------------------------------------------------------------------

    def hear(self, message: Message) -> None:
        """Fold one reply, answer what it lacks, or drop it by name. Never raises for what a site sent."""
        site = self.exchange.site_of(message)
        if site is None:
            return
        self.exchange.let_go(site)
        outcome = self.outcomes[site]
        if outcome.accepted:  # it was asked again, and both came: the first is in the sum
            return
        if message.has_error():
            outcome.status = Refusal.UNREACHABLE  # the error's text may quote a patient: it is not read
            self._lost.add(site)
            return
        self._lost.discard(site)
        outcome.bytes_up += record_bytes(message.content)
        reply = self._read(message.content)
        if isinstance(reply, Refusal):
            outcome.status = reply
            return
        outcome.incident = reply.incident
        if reply.code not in (Code.OK, Code.NEEDS_GROUPS):
            outcome.status = reply.code
        elif (refusal := self._refusal(site, reply)) is not None:
            outcome.status = refusal
        elif reply.code is Code.NEEDS_GROUPS:
            self._supply(site, reply.missing)
        else:
            self._fold(site, reply)

    def awaited(self) -> tuple[str, ...]:
        """Sites that owe a reply, and those that lost the question and may still come back."""
        return tuple(sorted({*self.exchange.awaited(), *self._lost}))

    def look_again(self) -> bool:
        """Ask again whoever lost the question: its node came anew since, or the transport answered in its place.

        A vault keeps what it has finished, so asking again costs nothing. True while a lost site could still make up
        the quorum: then the round stays open until its deadline.
        """
        awaited = self.exchange.awaited()
        if not (self._lost or awaited):
            return False
        here = self._nodes_here()
        for site in dict.fromkeys((*self._lost, *awaited)):
            arrival, turns = here.get(self._nodes[site]), self._asked_again.get(site, 0)
            anew = arrival is not None and arrival != self._arrivals.get(self._nodes[site])
            if turns < TIMES_AGAIN and (anew or (arrival is not None and site in self._lost)):
                self._asked_again[site] = turns + 1
                self._arrivals[self._nodes[site]] = arrival or ""
                self._lost.discard(site)
                self.exchange.let_go(site)
                self.send([(site, self._message(site, self._sent[site]))])
        accepted = sum(outcome.accepted for outcome in self.outcomes.values())
        return bool(self.exchange.awaited()) or (bool(self._lost) and accepted < self._study.federation.quorum)

    def _nodes_here(self) -> dict[int, str]:
        """Nodes that are online, with the moment of their coming, as the transport words it."""
        return {node.node_id: node.last_activated_at for node in self._grid.get_nodes() if node.status == "online"}

    def _read(self, content: RecordDict) -> TrainReply | Refusal:
        try:
            return reply_from_record(content, max_bytes=self._study.federation.max_reply_bytes)
        except MessageTooLarge:
            return Refusal.OVERSIZED
        except Exception:  # MalformedMessage, or whatever else a hostile record provokes in a parser
            return Refusal.MALFORMED

    def _refusal(self, site: str, reply: TrainReply) -> Refusal | None:
        request = self._requests[site]
        if reply.site != site:
            return Refusal.WRONG_SITE
        if reply.inputs_digest != request.inputs_digest:
            return Refusal.REPLAYED
        if reply.code is Code.NEEDS_GROUPS:
            return None
        if (rewound := self._heads.refusal(site, reply)) is not None:
            return rewound
        dimension = sum(math.prod(shape) for name in request.trains for shape in self._shapes[name].values())
        return check_update(
            reply.updates,
            asked=request.trains,
            shapes=self._shapes,
            max_norm=norm_bound(self._study, self.stage, self._study.site(site), dimension=dimension),
        )

    def _supply(self, site: str, missing: tuple[str, ...]) -> None:
        """Within the same round, send what the site lacks; once."""
        request, outcome = self._requests[site], self.outcomes[site]
        if outcome.status == Code.NEEDS_GROUPS or not missing or not set(missing) <= set(request.reads):
            outcome.status = Refusal.ASKED_TWICE
            return
        outcome.status = Code.NEEDS_GROUPS
        self.send([(site, self._message(site, tuple(dict.fromkeys((*request.trains, *missing)))))])

    def _fold(self, site: str, reply: TrainReply) -> None:
        self.mean.fold(reply.updates, aggregation_weight=self._study.site(site).aggregation_weight)
        outcome = self.outcomes[site]
        outcome.status = ACCEPTED
        head = head_of(reply)
        outcome.ledger_sequence, outcome.ledger_digest = head.sequence, head.digest
        outcome.metrics = {name: value for name, value in reply.metrics.items() if math.isfinite(value)}
        for name in reply.updates:
            self._trained[name] = self._trained.get(name, 0) + 1

    # --- close --------------------------------------------------------------------------------------------------------

    def close(self, *, learning_rate: float, training_seconds: float | None) -> RoundRecord:
        """The record; whoever has not answered by now did not answer."""
        for outcome in self.outcomes.values():
            if outcome.status in ("", Code.NEEDS_GROUPS):
                outcome.status = Refusal.NO_REPLY
        accepted = sum(outcome.accepted for outcome in self.outcomes.values())
        return RoundRecord(
            stage=self.stage.name,
            round_number=self.round_number,
            completed=accepted >= self._study.federation.quorum,
            learning_rate=learning_rate,
            seconds=time.monotonic() - self._started,
            training_seconds=training_seconds,
            trained=dict(sorted(self._trained.items())),
            sites=self.outcomes,
        )

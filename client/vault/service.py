"""The vault's gRPC service: check, act, answer. Over the relay's socket nothing but public facts and releases leaves.

gRPC puts the text of an exception into the status that the caller sees, so no exception passes: each becomes a code and
an incident number here, and its text stays in the site's own log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

import grpc

from client.vault.incidents import Incident
from client.vault.resident import ResidentVault, Turn
from protocol import vault_pb2 as pb
from protocol import vault_pb2_grpc
from protocol.requests import TrainReply
from protocol.vault_wire import reply_events, request_from, request_header
from protocol.version import VERSION

Answer = TypeVar("Answer")
MAX_WAITING = 4
"""Rounds that may wait for their turn, beside the one that has it."""


class VaultService(vault_pb2_grpc.VaultServicer):
    """What the relay may ask."""

    def __init__(self, vault: ResidentVault, *, max_request_bytes: int) -> None:
        self._vault, self._max_request_bytes = vault, max_request_bytes
        self._places = threading.BoundedSemaphore(1 + MAX_WAITING)

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.Description:
        """Name and versions; what is held only to a study that is approved here. Other studies are not named."""

        def answer() -> pb.Description:
            found = self._vault.describe()
            approved = request.study_digest in found.studies
            held = dict(found.groups_held) if approved else {}
            return pb.Description(site=found.site, versions=dict(found.versions), groups_held=held, approved=approved)

        return self._unary(context, answer)

    def Status(self, request: pb.StatusRequest, context: grpc.ServicerContext) -> pb.VaultStatus:
        """Whether a round has the turn; it keeps it until its reply has left on the time grid."""
        return self._unary(context, self._status)

    def Cancel(self, request: pb.CancelRequest, context: grpc.ServicerContext) -> pb.CancelReply:
        """Not for a relay: it would cost the site spare rounds."""
        _refuse(context, grpc.StatusCode.PERMISSION_DENIED, "only over the operator's socket")

    def Train(self, parts: Iterator[pb.TrainPart], context: grpc.ServicerContext) -> Iterator[pb.TrainEvent]:
        """One round. Whoever hangs up changes nothing: the reply is kept, and given when the same is asked again."""
        if not self._places.acquire(blocking=False):
            _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many rounds wait already")
        try:
            yield from self._train(parts)
        finally:
            self._places.release()

    def _train(self, parts: Iterator[pb.TrainPart]) -> Iterator[pb.TrainEvent]:
        try:
            header = request_header(parts, max_bytes=self._max_request_bytes)
            stage = self._vault.stage(header.study_digest, header.stage)
        except Exception as error:
            yield from reply_events(self._failed(self._vault.incident(error)))  # and no array was taken
            return
        about = Turn(
            study_digest=header.study_digest,
            stage=header.stage,
            round_number=header.round_number,
            steps_planned=stage.steps_per_round,
        )
        waiting = self._vault.turn is not None
        yield pb.TrainEvent(progress=pb.Progress(waiting=waiting, steps_planned=about.steps_planned))
        try:
            events = reply_events(self._vault.train(about, lambda: request_from(header, parts)))
        except Exception as error:
            events = reply_events(self._failed(self._vault.incident(error)))
        yield from events

    def _failed(self, incident: Incident) -> TrainReply:
        return TrainReply(code=incident.code, site=self._vault.site, inputs_digest="", incident=incident.number)

    def _status(self) -> pb.VaultStatus:
        turn = self._vault.turn
        status = pb.VaultStatus(site=self._vault.site, version=VERSION, busy=turn is not None)
        if turn is not None:
            status.round.CopyFrom(
                pb.RunningRound(
                    study_digest=turn.study_digest,
                    stage=turn.stage,
                    round_number=turn.round_number,
                    steps_planned=turn.steps_planned,
                )
            )
        return status

    def _unary(self, context: grpc.ServicerContext, answer: Callable[[], Answer]) -> Answer:
        try:
            return answer()
        except Exception as error:
            incident = self._vault.incident(error)
        _refuse(context, grpc.StatusCode.INTERNAL, f"{incident.code} {incident.number}")


class OperatorService(VaultService):
    """What the site's own people may ask: the same, `Cancel`, and the truth."""

    def Cancel(self, request: pb.CancelRequest, context: grpc.ServicerContext) -> pb.CancelReply:
        """Stop the running round before its next patient."""
        return self._unary(context, lambda: pb.CancelReply(cancelled=self._vault.cancel()))

    def _status(self) -> pb.VaultStatus:
        status, running, last = super()._status(), self._vault.running, self._vault.last_incident
        status.operator.CopyFrom(
            pb.OperatorStatus(
                steps_taken=running.steps_taken if running else 0,
                seconds_running=running.seconds if running else 0.0,
                cancelling=running.cancelling if running else False,
                model_resident=self._vault.model_resident,
                rounds_answered=self._vault.rounds_answered,
                last_incident=last.number if last else "",
                last_code=str(last.code) if last else "",
            )
        )
        return status


def _refuse(context: grpc.ServicerContext, code: grpc.StatusCode, words: str) -> NoReturn:
    context.abort(code, words)
    raise AssertionError("abort returned")

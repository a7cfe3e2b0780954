"""The vault behind its socket, as the relay sees it. Numpy and gRPC only: no torch, no records, no keys.

A vault that is restarted while it works is asked again, once: the round is idempotent, so a reply that was finished
comes at no cost, and one that was not begins again on the study's spare rounds. A vault that dies twice over one
request is not asked a third time, because each beginning is charged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from client.errors import ClientError
from protocol import vault_pb2 as pb
from protocol import vault_pb2_grpc
from protocol.codes import Code
from protocol.errors import MalformedMessage
from protocol.requests import SiteDescription, TrainReply, TrainRequest
from protocol.vault_wire import reply_from, request_parts

CONNECT_SECONDS = 60.0
"""How long a vault may take to come up, as after an update or a restart of the machine."""
ANSWER_SECONDS = 30.0
"""For a question that needs no training."""
BEGINNINGS = 2
MAX_REPLY_BYTES = 8_000_000_000
_OPTIONS = (("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20))
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class VaultUnreachable(ClientError):
    """Nobody answers at the vault's socket, or it broke off."""

    code = Code.SITE_FAILED


class SocketVault:
    """A vault by the path of its socket; a connection per question."""

    def __init__(self, socket: Path, *, connect_seconds: float = CONNECT_SECONDS) -> None:
        self._target = f"unix:{Path(socket)}"
        self._connect_seconds = connect_seconds

    def describe(self, study_digest: str = "") -> SiteDescription:
        """Who this is, and whether that study is approved. Raises VaultUnreachable."""
        with self._stub() as stub, _plainly():
            found = stub.Describe(pb.DescribeRequest(study_digest=study_digest), timeout=ANSWER_SECONDS)
        return SiteDescription(
            site=found.site,
            versions=dict(found.versions),
            groups_held=dict(found.groups_held),
            studies=(study_digest,) if found.approved else (),
        )

    def train(self, request: TrainRequest) -> TrainReply:
        """One round, however long it takes. Raises VaultUnreachable, MalformedMessage."""
        for beginning in range(1, BEGINNINGS + 1):
            try:
                return self._train(request)
            except grpc.RpcError as error:
                if error.code() not in _GONE or beginning == BEGINNINGS:
                    raise VaultUnreachable("The vault broke off: look at `fedm2g site status`.") from None
                time.sleep(1.0)  # a service manager takes a moment to bring it back
        raise AssertionError("unreachable")

    def status(self) -> pb.VaultStatus:
        """What the socket tells; in full over the operator's. Raises VaultUnreachable."""
        with self._stub() as stub, _plainly():
            return stub.Status(pb.StatusRequest(), timeout=ANSWER_SECONDS)

    def cancel(self) -> bool:
        """Stop the running round; whether there was one. Operator's socket only. Raises VaultUnreachable."""
        with self._stub() as stub, _plainly():
            return bool(stub.Cancel(pb.CancelRequest(), timeout=ANSWER_SECONDS).cancelled)

    def _train(self, request: TrainRequest) -> TrainReply:
        with self._stub() as stub:
            events = stub.Train(request_parts(request))
            for event in events:
                if event.WhichOneof("event") == "reply":
                    return reply_from(event.reply, events, max_bytes=MAX_REPLY_BYTES)
        raise MalformedMessage("The vault's answer ended before its reply.")

    @contextmanager
    def _stub(self) -> Iterator[vault_pb2_grpc.VaultStub]:
        with grpc.insecure_channel(self._target, options=_OPTIONS) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=self._connect_seconds)
            except grpc.FutureTimeoutError:
                raise VaultUnreachable("Nobody answers at the vault's socket: start the vault.") from None
            yield vault_pb2_grpc.VaultStub(channel)


@contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise VaultUnreachable(f"The vault did not answer ({error.code().name}).") from None

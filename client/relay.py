"""The relay: the Flower ClientApp in front of a vault. It sees only what may leave, and imports no torch, no records.

Two questions are answered: who are you (`query`), and train this round (`train`). Whatever goes wrong here becomes a
code and a random incident number; the text of an exception goes nowhere, and its class only to this process's own log.
In a deployment the vault is a process of its own, behind the socket that the site's operator names in the node
configuration (`vault-socket`). In simulation it lives in this process and is built when it is first asked
(`client.vault.in_process`). The server's run configuration names neither.
"""

from __future__ import annotations

import importlib
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from protocol import records as wire
from protocol.codes import Code
from protocol.errors import ProtocolError
from protocol.requests import SiteDescription, TrainReply, TrainRequest

MAX_REQUEST_BYTES = 8_000_000_000
SOCKET = "vault-socket"
"""Key of the node configuration, which is the site's own."""
_log = logging.getLogger("fedm2g.relay")


class VaultLike(Protocol):
    """What a vault shows to a relay, in this process or behind a socket. A refusal is a reply, never a raise."""

    def describe(self, study_digest: str = "") -> SiteDescription: ...

    def train(self, request: TrainRequest) -> TrainReply: ...


def make_client_app(vault_for: Callable[[Context], VaultLike]) -> ClientApp:
    """A ClientApp whose every message is answered by the vault that `vault_for` finds."""
    client_app = ClientApp()

    @client_app.query()
    def query(message: Message, context: Context) -> Message:
        return _answer(message, lambda: _describe(vault_for(context), message.content))

    @client_app.train()
    def train(message: Message, context: Context) -> Message:
        return _answer(message, lambda: _train(vault_for(context), message.content))

    return client_app


def _describe(vault: VaultLike, content: RecordDict) -> RecordDict:
    asked = wire.describe_request_from_record(content)
    return wire.description_to_record(vault.describe(asked.study_digest))


def _train(vault: VaultLike, content: RecordDict) -> RecordDict:
    request = wire.train_request_from_record(content, max_bytes=MAX_REQUEST_BYTES)
    return wire.reply_to_record(vault.train(request))


def _answer(message: Message, answer: Callable[[], RecordDict]) -> Message:
    """The outermost wrapper: nothing but a record of the wire contract leaves, whatever happens."""
    try:
        content = answer()
    except Exception as error:
        incident = secrets.token_hex(6)
        _log.error("incident %s: %s", incident, type(error).__name__)
        code = Code.MALFORMED if isinstance(error, ProtocolError) else Code.SITE_FAILED
        content = wire.reply_to_record(TrainReply(code=code, site="", inputs_digest="", incident=incident))
    return Message(content, reply_to=message)


def vault_of(context: Context) -> VaultLike:
    """The site's vault: behind the socket where the operator named one, else in this process. Never one for want of
    the other. Raises ClientError."""
    if SOCKET in context.node_config:
        return importlib.import_module("client.socket_vault").SocketVault(Path(str(context.node_config[SOCKET])))  # type: ignore[no-any-return]
    return importlib.import_module("client.vault.in_process").vault_of(context.node_config)  # type: ignore[no-any-return]


app = make_client_app(vault_of)

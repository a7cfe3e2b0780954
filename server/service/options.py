"""How the service is started; whatever can be refused is refused here, before anything heavy is loaded."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from server.service.address import Address, Tls, address, listening
from server.service.bearer import new_token, token_of_file
from server.service.errors import StartRefused
from server.service.limits import Limits


@dataclass(frozen=True)
class ServeOptions:
    """One start of the service."""

    folder: Path
    """The generator."""
    bind: str = "127.0.0.1"
    port: int = 8400
    """Of the page; 0 takes a free one."""
    grpc_port: int = 8401
    token_file: Path | None = None
    """Without one a token is made and shown once, on a terminal only."""
    tls: Tls | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Start:
    """What a service needs to begin: the page's port is ours already, and nothing answers on it yet."""

    options: ServeOptions
    address: Address
    socket: socket.socket
    token: str = field(repr=False)


def prepare(options: ServeOptions) -> Start:
    """Raises StartRefused: an open address without TLS, a port that is taken, a token file that others may read."""
    where = address(options.bind, options.tls)
    token = _token(options)
    return Start(options, where, listening(where.ip, options.port), token)


def _token(options: ServeOptions) -> str:
    if options.token_file is not None:
        return token_of_file(options.token_file)
    if not sys.stdout.isatty():
        raise StartRefused("Standard output is no terminal, so the token would end in a log: give --token-file.")
    return new_token()

"""What holds for every HTTP request before a route sees it: host, token, size, headers, and a log line without content.

Order: the Host header (against DNS rebinding), the token (everything under `/api/`), the declared length; then the
body is counted while it comes in. No CORS header is ever sent, so no other page may read an answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import ClientDisconnect

from server.service.address import Address
from server.service.bearer import Bearer
from server.service.errors import LOG, RequestRefused, ServiceError, TimedOut, TooLarge, internal
from server.service.limits import Limits

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/api/"
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Door:
    """ASGI, around the whole application. Whatever is raised inside ends here, as one sentence."""

    def __init__(self, app: App, *, address: Address, bearer: Bearer, limits: Limits, routes: frozenset[str]) -> None:
        """routes: paths that may stand in the log; any other is logged as unknown, for a path may hold anything."""
        self._app, self._address, self._bearer, self._limits = app, address, bearer, limits
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event; only HTTP is spoken here."""
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is spoken here")
        started, answer = time.monotonic(), _Answer(send)
        try:
            self._check(scope)
            await self._app(scope, _Body(receive, self._limits), answer)
        except ClientDisconnect:
            pass  # who hangs up needs no answer
        except ServiceError as error:
            await answer.refuse(error)
        except Exception as error:
            await answer.refuse(internal(error))
        finally:
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
            path = scope["path"] if scope["path"] in self._routes else "(unknown path)"
            LOG.info("%s %s %d %.2f s", method, path, answer.status, time.monotonic() - started)

    def _check(self, scope: Scope) -> None:
        self._address.check_host(_only(scope, b"host"))
        if scope["path"].startswith(API):
            self._bearer.check(_only(scope, b"authorization"))
        length = _only(scope, b"content-length")
        if length is not None and length.isdecimal() and int(length[:20]) > self._limits.max_body_bytes:
            raise _too_long(self._limits)


class _Body:
    """Receives a body in pieces: no more bytes, and no longer, than the limits say."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits = receive, limits
        self._bytes, self._deadline = 0, time.monotonic() + limits.timeout_seconds
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:  # what comes now is a hang-up, for which a route may wait as long as it works
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._deadline - time.monotonic()))
        except TimeoutError:
            raise TimedOut("The request came in too slowly: send it again.") from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limits.max_body_bytes:
            raise _too_long(self._limits)
        self._whole = not message.get("more_body", False)
        return message


class _Answer:
    """Sends, with our headers on every answer; knows whether one has begun."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await self._send(message)

    async def refuse(self, error: ServiceError) -> None:
        """An answer in one sentence, unless another has begun already."""
        if self.status:
            return
        body = json.dumps({"code": error.word, "sentence": str(error)}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if error.http_status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="fedm2g"'))
        await self({"type": "http.response.start", "status": error.http_status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def _only(scope: Scope, name: bytes) -> str | None:
    """The value of a header that may stand once. Raises RequestRefused for two of them."""
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise RequestRefused(f"The header {name.decode()} stands twice: send it once.")
    return values[0].decode("latin-1") if values else None


def _too_long(limits: Limits) -> TooLarge:
    return TooLarge(f"The request is larger than {limits.max_body_bytes >> 20} MiB: send less at a time.")

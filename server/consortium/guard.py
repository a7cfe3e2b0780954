"""The guard before SuperLink: who may ask for what, decided before Flower sees a request.

Open-source Flower puts three interfaces on one port and leaves two of them open to whoever reaches it: without this
guard any hospital could start code at every other. Here, and by default refused:

| path | who | why |
| --- | --- | --- |
| `/v1/fleet/...` | sites; Flower checks the node's signature on each request | messages, objects, heartbeats |
| `/v1/fleet/register-node`, `unregister-node` | nobody | sites are enrolled by the operator |
| `/v1/runtime/...` | this machine, and not through a proxy | SuperLink's executor and ServerApps, each with its token |
| `/health` | everyone | says that the server is there |
| anything else | the operator's token | control, documentation pages, whatever a later Flower adds |
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from server.consortium.audit import AuditLog

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Flower cuts arrays into pieces of 5 MB; its largest other message is a bundle of 10 MB.
MAX_BODY_BYTES = 64_000_000
NOBODY = ("/v1/fleet/register-node", "/v1/fleet/unregister-node")
#: A site's coming and going is worth a line; its polling is not.
NOTED = ("/v1/fleet/activate-node", "/v1/fleet/deactivate-node")
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")


class Guard:
    """An ASGI application around SuperLink's."""

    def __init__(self, app: Asgi, *, token: str, audit: AuditLog) -> None:
        """token: the operator's; at least 32 characters, so that nobody guesses it."""
        if len(token) < 32:
            raise ValueError("the operator's token is too short")
        self._app, self._token, self._audit = app, token.encode(), audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal that says nothing else."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path, headers = str(scope["path"]), dict(scope.get("headers", ()))
        status, decision = self._decide(path, headers, scope)
        if decision != "routine":
            self._audit.write(peer=_peer(scope), method=str(scope["method"]), path=path, decision=decision)
        if status == 200:
            await self._app(scope, _bounded(receive), send)
        else:
            await _refuse(send, status, decision)

    def _decide(self, path: str, headers: dict[bytes, bytes], scope: Scope) -> tuple[int, str]:
        """HTTP status (200: pass on) and what the audit says."""
        if _too_large(headers):
            return 413, "too large"
        if path != _plain(path):
            return 404, "not a plain path"
        if path == "/health":
            return 200, "routine"
        if path in NOBODY:
            return 403, "sites are enrolled by the operator"
        if path.startswith("/v1/fleet/"):
            return 200, "site" if path in NOTED else "routine"
        if path.startswith("/v1/runtime/"):
            return (200, "routine") if _from_here(scope, headers) else (403, "only from this machine")
        given = headers.get(b"authorization", b"")
        if not given:
            return 401, "operator token required"
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            return 403, "wrong operator token"
        return 200, "operator"


def _plain(path: str) -> str:
    """The path without what a router might read in two ways."""
    parts = path.split("/")
    odd = ".." in parts or "." in parts or "" in parts[1:] or "%" in path or "\\" in path
    return "" if odd and path != "/" else path


def _from_here(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Whether the peer is a process of this machine: loopback, or the server's own address; and not a proxy's."""
    if any(name in headers for name in _FORWARDED):
        return False
    peer, own = _peer(scope), (scope.get("server") or ("",))[0]
    try:
        return ipaddress.ip_address(peer).is_loopback or peer == own
    except ValueError:
        return False


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _too_large(headers: dict[bytes, bytes]) -> bool:
    length = headers.get(b"content-length", b"0")
    return not length.isdigit() or int(length) > MAX_BODY_BYTES


def _bounded(receive: Receive) -> Receive:
    """`receive`, cut off where a body without a declared length grows too large: the client is gone, for the app."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        return message if total <= MAX_BODY_BYTES else {"type": "http.disconnect"}

    return bounded


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

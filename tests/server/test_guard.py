"""Who may ask the coordinator for what: by default nobody for anything, and what is refused leaves a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.consortium.audit import REFUSALS_PER_MINUTE, AuditLog
from server.consortium.guard import MAX_BODY_BYTES, Guard

TOKEN = "t" * 43
HOSPITAL, HERE = "192.0.2.7", "127.0.0.1"


class Behind:
    """The application behind the guard: counts what reaches it and reads each body."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.bytes = 0
        self.disconnected = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope["path"])
        more = True
        while more:
            message = await receive()
            self.disconnected |= message["type"] == "http.disconnect"
            self.bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"flower"})


class Asked:
    """One guard, asked over and over."""

    def __init__(self, folder: Path) -> None:
        self.behind, self.path = Behind(), folder / "audit.jsonl"
        self.now = 0.0
        self.audit = AuditLog(self.path, clock=lambda: self.now)
        self.guard = Guard(self.behind, token=TOKEN, audit=self.audit)

    def __call__(
        self, path: str, *, peer: str = HOSPITAL, bodies: tuple[bytes, ...] = (b"",), **headers: str
    ) -> tuple[int, bytes]:
        sent: list[dict[str, Any]] = []
        parts = [
            {"type": "http.request", "body": body, "more_body": number + 1 < len(bodies)}
            for number, body in enumerate(bodies)
        ]

        async def receive() -> dict[str, Any]:
            return parts.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "client": (peer, 50000),
            "server": ("192.0.2.1", 8000),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        asyncio.run(self.guard(scope, receive, send))
        return sent[0]["status"], sent[1]["body"]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Asked]:
    asked = Asked(tmp_path)
    yield asked
    asked.audit.close()


CONTROL = (
    "/v1/control/start-run",
    "/v1/control/register-node",
    "/v1/control/list-nodes",
    "/docs",
    "/openapi.json",
    "/",
    "/v2/whatever-a-later-flower-adds",
    "/v1/fleetx",
    "/v1",
)


@pytest.mark.parametrize("path", CONTROL)
def test_everything_that_is_not_a_sites_wants_the_operators_token(ask: Asked, path: str) -> None:
    for peer in (HOSPITAL, HERE):
        assert ask(path, peer=peer)[0] == 401
        for wrong in ("Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, f"Basic {TOKEN}", f"bearer {TOKEN}"):
            assert ask(path, peer=peer, authorization=wrong)[0] == 403
    assert ask.behind.seen == []
    assert ask(path, authorization=f"Bearer {TOKEN}") == (200, b"flower")


def test_a_site_reaches_the_fleet_api_and_cannot_enrol_itself(ask: Asked) -> None:
    for path in ("/v1/fleet/pull-messages", "/v1/fleet/push-object", "/v1/fleet/activate-node"):
        assert ask(path)[0] == 200
    for path in ("/v1/fleet/register-node", "/v1/fleet/unregister-node"):
        assert ask(path)[0] == 403
        assert ask(path, authorization=f"Bearer {TOKEN}")[0] == 403
    assert ask("/health")[0] == 200


def test_the_runtime_api_is_for_this_machine_and_not_for_a_proxy_on_it(ask: Asked) -> None:
    path = "/v1/runtime/acquire-task"
    assert ask(path)[0] == 403
    assert ask(path, authorization=f"Bearer {TOKEN}")[0] == 403
    for peer in (HERE, "::1", "127.8.9.10", "192.0.2.1"):  # the last is the server's own address
        assert ask(path, peer=peer)[0] == 200
    for header in ("x_forwarded_for", "forwarded", "x_real_ip", "via"):
        assert ask(path, peer=HERE, **{header: HOSPITAL})[0] == 403
    assert ask(path, peer="not-an-address")[0] == 403
    assert ask(path, peer="")[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/v1/fleet/../control/start-run", "/v1/fleet//x", "/v1/fleet/./x", "/v1/fleet/%2e%2e/x", "/v1/fleet/\\x", "x"],
)
def test_a_path_that_two_readers_could_read_differently_is_nobodys(ask: Asked, path: str) -> None:
    assert ask(path)[0] in (401, 404)
    assert ask.behind.seen == []


def test_a_large_body_is_refused_by_its_length_or_cut_off_without_one(ask: Asked) -> None:
    assert ask("/v1/fleet/push-object", content_length=str(MAX_BODY_BYTES + 1))[0] == 413
    assert ask("/v1/fleet/push-object", content_length="many")[0] == 413
    assert ask.behind.seen == []
    piece = bytes(MAX_BODY_BYTES // 4)
    ask("/v1/fleet/push-object", bodies=(piece,) * 5)
    assert ask.behind.disconnected
    assert ask.behind.bytes <= MAX_BODY_BYTES


def test_websockets_are_closed(ask: Asked) -> None:
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(ask.guard({"type": "websocket", "path": "/v1/fleet/x"}, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_audit_says_who_asked_for_what_and_holds_no_token(ask: Asked) -> None:
    ask("/v1/control/start-run", peer="198.51.100.9", authorization=f"Bearer {TOKEN}")
    ask("/v1/control/start-run", authorization="Bearer guess" + "x" * 40)
    ask("/v1/fleet/activate-node")
    ask("/v1/fleet/pull-messages")
    ask("/v1/runtime/acquire-task")
    seen = [(line["peer"], line["path"], line["decision"]) for line in ask.lines()]
    assert seen == [
        ("198.51.100.9", "/v1/control/start-run", "operator"),
        (HOSPITAL, "/v1/control/start-run", "wrong operator token"),
        (HOSPITAL, "/v1/fleet/activate-node", "site"),
        (HOSPITAL, "/v1/runtime/acquire-task", "only from this machine"),
    ]
    text = ask.path.read_text()
    assert TOKEN not in text and "guess" not in text
    assert ask.path.stat().st_mode & 0o077 == 0


def test_a_stranger_cannot_flood_the_audit_nor_silence_the_operator(ask: Asked) -> None:
    for _ in range(10 * REFUSALS_PER_MINUTE):
        ask("/v1/control/start-run")
    ask("/v1/control/stop-run", authorization=f"Bearer {TOKEN}")
    ask("/docs", peer="203.0.113.5")
    assert len(ask.lines()) == REFUSALS_PER_MINUTE + 2
    ask.now = 61.0
    ask("/v1/control/start-run")
    assert ask.lines()[-1]["not_written"] == 9 * REFUSALS_PER_MINUTE


def test_a_guard_without_a_real_token_is_not_built(ask: Asked) -> None:
    for token in ("", "short"):
        with pytest.raises(ValueError, match="too short"):
            Guard(ask.behind, token=token, audit=ask.audit)

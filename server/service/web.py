"""The HTTP door: a page of three static files, what the generator is, and one call that samples.

`POST /api/generate` takes one JSON object (`Wish`) and answers JSON lines: `queued`, `seen`, `progress` and `sample`
as they come, and at the end `finished` or `failed`. A request that is refused before that has its own status.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, fields
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, Router

from protocol.version import VERSION
from server.service.address import Address
from server.service.bearer import Bearer
from server.service.desk import Desk, Job
from server.service.door import App, Door, Receive, Scope, Send
from server.service.errors import NoSuchCall, TimedOut
from server.service.events import Event, Failed, Finished
from server.service.limits import Limits
from server.service.studio import Studio
from server.service.wish import wish_of_json

#: Path, file and media type. They hold nothing of the generator, so the token is asked for by the page itself.
PAGE: dict[str, tuple[str, str]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/show.js": ("show.js", "text/javascript; charset=utf-8"),
}
_GRACE_SECONDS = 1.0


def web_app(studio: Studio, desk: Desk, *, limits: Limits, bearer: Bearer, address: Address) -> App:
    """Bare routes behind the door, so that whatever is raised inside ends at the door and nowhere else."""
    said = description(studio, limits)

    async def generator(request: Request) -> Response:
        return JSONResponse(said)

    async def generate(request: Request) -> Response:
        heard: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def deliver(event: Event) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(heard.put_nowait, event)

        job = desk.admit(deliver)
        try:
            wish = wish_of_json(await request.body())
            studio.check(wish)
            job.start(wish)
        except BaseException:
            job.leave()
            raise
        return StreamingResponse(_lines(job, heard), media_type="application/x-ndjson")

    routes = [
        *_page_routes(),
        Route("/api/generator", generator, methods=["GET"]),
        Route("/api/generate", generate, methods=["POST"]),
    ]
    router = Router(routes, redirect_slashes=False, default=_nowhere)
    return Door(router, address=address, bearer=bearer, limits=limits, routes=frozenset(r.path for r in routes))


def description(studio: Studio, limits: Limits) -> dict[str, Any]:
    """What `GET /api/generator` says."""
    facts = studio.facts
    return {
        "generator": facts.name,
        "digest": facts.digest,
        "version": VERSION,
        "image_size": facts.image_size,
        "image_flows": facts.image_flows,
        "text_flow": facts.text_flow,
        "card": facts.card.blocks,
        "alarms": facts.card.alarms,
        "sites_without_privacy": facts.card.sites_without_privacy,
        "limits": asdict(limits),
    }


async def _lines(job: Job, heard: asyncio.Queue[Event]) -> AsyncIterator[bytes]:
    """Every event as a line of JSON; whoever closes this hangs up."""
    try:
        while True:
            try:
                event = await asyncio.wait_for(heard.get(), job.seconds_left + _GRACE_SECONDS)
            except TimeoutError:
                event = Failed(TimedOut("The request took longer than this service allows: ask for less."))
            yield line(event)
            if isinstance(event, Finished | Failed):
                return
    finally:
        job.cancel()  # does nothing to what is done


def line(event: Event) -> bytes:
    """One line; bytes are base64, and what is absent is left out."""
    values: dict[str, Any] = {"event": type(event).__name__.lower()}
    if isinstance(event, Failed):
        values |= {"code": event.error.word, "sentence": str(event.error)}
    else:
        values |= {field.name: getattr(event, field.name) for field in fields(event)}
    spoken = {key: _spoken(value) for key, value in values.items() if value is not None}
    return json.dumps(spoken, separators=(",", ":")).encode() + b"\n"


def _spoken(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _page_routes() -> list[Route]:
    folder = files("server.service") / "page"
    return [_file_route(path, (folder / name).read_bytes(), kind) for path, (name, kind) in PAGE.items()]


def _file_route(path: str, content: bytes, media_type: str) -> Route:
    async def page(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return Route(path, page, methods=["GET"])


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise NoSuchCall("There is no such page or call here: docs/serve.md lists them.")

"""`fedm2g serve`: one generator, its web page and its gRPC service, until it is told to stop."""

from __future__ import annotations

import logging
import resource
import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import uvicorn

from server.service.bearer import Bearer
from server.service.desk import Desk
from server.service.errors import LOG, StartRefused
from server.service.options import ServeOptions, Start
from server.service.rpc import grpc_server
from server.service.studio import Studio
from server.service.web import web_app

_STOP_SECONDS = 5
_MAX_CONNECTIONS = 64


class Service:
    """Both doors of one studio; they listen once it is built, and answer while it runs."""

    def __init__(self, start: Start, studio: Studio) -> None:
        """Raises StartRefused for a gRPC port that is taken or TLS files that do not belong together."""
        options, bearer, limits = start.options, Bearer(start.token), start.options.limits
        self.facts, self.address, self._socket = studio.facts, start.address, start.socket
        self._desk = Desk(studio.sample, limits)
        app = web_app(studio, self._desk, limits=limits, bearer=bearer, address=start.address)
        self._web = uvicorn.Server(_web_config(app, options))
        self._grpc, self.grpc_port = grpc_server(
            studio, self._desk, limits=limits, bearer=bearer, address=start.address, port=options.grpc_port
        )

    @property
    def port(self) -> int:
        """Of the page."""
        return int(self._socket.getsockname()[1])

    @property
    def ready(self) -> bool:
        """Whether the page answers."""
        return self._web.started

    def run(self) -> None:
        """Serve until `stop`, or until a signal (in the main thread) says so."""
        self._grpc.start()
        try:
            self._web.run(sockets=[self._socket])
        finally:
            self._desk.close()
            self._grpc.stop(grace=_STOP_SECONDS).wait()
            self._socket.close()

    def stop(self) -> None:
        """From another thread: `run` returns soon."""
        self._web.should_exit = True


def _web_config(app: Callable[..., object], options: ServeOptions) -> uvicorn.Config:
    tls = options.tls
    try:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,  # ours says the route, never the path or the query
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=_STOP_SECONDS,
            h11_max_incomplete_event_size=1 << 14,
            ssl_certfile=None if tls is None else str(tls.certificate),
            ssl_keyfile=None if tls is None else str(tls.key),
        )
        config.load()
    except OSError:  # ssl.SSLError is one
        raise StartRefused("The TLS certificate and key do not belong together: give a matching pair.") from None
    return config


def serve(start: Start, *, say: Callable[[str], None]) -> None:
    """Load the generator, say where it is and with which token, and serve until interrupted.

    Raises StartRefused, or MedM2GError for a folder that cannot be read.
    """
    options = start.options
    _quieten()
    service = Service(start, Studio(options.folder, options.limits))
    say(f"Serving {service.facts.name} ({service.facts.digest[:12]}). Everything it makes is synthetic.")
    for alarm in service.facts.card.alarms:
        say(alarm)
    say(f"Page: {service.address.scheme}://{_named(service)}:{service.port}")
    say(f"gRPC: {_named(service)}:{service.grpc_port}" + ("" if options.tls is None else " (TLS)"))
    say(f"Token, shown once: {start.token}" if options.token_file is None else "Token: in the file that you gave.")
    say("Stop with Ctrl-C.")
    signal.signal(signal.SIGTERM, _stopped)
    try:
        service.run()
    except KeyboardInterrupt:
        pass
    say("Stopped; nothing of any request was kept.")


def _named(service: Service) -> str:
    ip = service.address.ip
    return f"[{ip}]" if ":" in ip else ip


class _NamesOnly(logging.Formatter):
    """Of what other libraries log, only who spoke and which class of error: their texts may quote a request."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        kind = record.exc_info[0] if record.exc_info else None
        return f"{self.formatTime(record)} {record.levelname.lower()} from {record.name}" + (
            f": {kind.__name__}" if kind else ""
        )


def _quieten() -> None:
    """Our own lines on standard error, of others names only; no core dump, for it would hold uploads."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ours, theirs = logging.StreamHandler(), logging.StreamHandler()
    ours.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    theirs.setFormatter(_NamesOnly())
    theirs.setLevel(logging.WARNING)
    LOG.addHandler(ours)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    logging.getLogger().addHandler(theirs)


def _stopped(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt

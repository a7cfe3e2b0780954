"""The gRPC door: `protocol/generate.proto`, with reflection and health; without the token only `Health.Check`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from queue import Empty, SimpleQueue
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from protocol import generate_pb2 as pb
from protocol import generate_pb2_grpc as stubs
from protocol.version import VERSION
from server.service.address import Address
from server.service.bearer import Bearer
from server.service.desk import Desk, Job
from server.service.errors import LOG, ServiceError, StartRefused, TimedOut, TokenMissing, internal
from server.service.events import Event, Failed, Finished, Progress, Queued, Sample, Seen
from server.service.limits import Limits
from server.service.studio import Studio
from server.service.wish import Wish, wish_of

SERVICE = pb.DESCRIPTOR.services_by_name["Generation"].full_name
_OPEN = f"/{health.SERVICE_NAME}/Check"
_GRACE_SECONDS = 1.0
_MESSAGE_OVERHEAD = 1 << 16


class Generation(stubs.GenerationServicer):
    """Each method answers, or ends the call with one status and one sentence."""

    def __init__(self, studio: Studio, desk: Desk, limits: Limits) -> None:
        self._studio, self._desk, self._limits = studio, desk, limits

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.Description:
        """Public facts only."""
        facts = self._studio.facts
        return pb.Description(
            generator=facts.name,
            digest=facts.digest,
            version=VERSION,
            image_size=facts.image_size,
            image_flows=facts.image_flows,
            text_flow=facts.text_flow or "",
            card=facts.card.text,
            alarms=facts.card.alarms,
            sites_without_privacy=facts.card.sites_without_privacy,
            limits=pb.Limits(**asdict(self._limits)),
        )

    def Generate(self, request: pb.GenerateRequest, context: grpc.ServicerContext) -> Iterator[pb.GenerateEvent]:
        """One request, from its seat to its last event; who hangs up is forgotten at the next step."""
        started, status = time.monotonic(), "CANCELLED"  # which stands where the caller goes away
        job: Job | None = None
        try:
            wish = _wish_of(request)
            self._studio.check(wish)
            heard: SimpleQueue[Event] = SimpleQueue()
            job = self._desk.admit(heard.put)
            if not context.add_callback(job.cancel):
                job.cancel()
            job.start(wish)
            yield from _messages(job, heard)
            status = "OK"
        except ServiceError as error:
            status = error.grpc_status
            _abort(context, error)
        except Exception as error:
            status = ServiceError.grpc_status
            _abort(context, internal(error))
        finally:
            if job is not None:
                job.cancel()  # does nothing to what is done
            LOG.info("gRPC Generate %s %.2f s", status, time.monotonic() - started)


def grpc_server(
    studio: Studio, desk: Desk, *, limits: Limits, bearer: Bearer, address: Address, port: int
) -> tuple[grpc.Server, int]:
    """A server that listens (not started) and its port. Raises StartRefused."""
    calls = limits.seats + 8  # beside those that generate: descriptions, reflection, health
    server = grpc.server(
        ThreadPoolExecutor(calls, thread_name_prefix="grpc"),
        interceptors=[_TokenDemanded(bearer)],
        options=[
            ("grpc.max_receive_message_length", limits.max_body_bytes),
            ("grpc.max_metadata_size", _MESSAGE_OVERHEAD),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=calls,
    )
    stubs.add_GenerationServicer_to_server(Generation(studio, desk, limits), server)
    health_of = health.HealthServicer()
    for name in ("", SERVICE):
        health_of.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health_of, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return server, _listen(server, address, port)


def _listen(server: grpc.Server, address: Address, port: int) -> int:
    target = f"[{address.ip}]:{port}" if ":" in address.ip else f"{address.ip}:{port}"
    try:
        if address.tls is None:
            return int(server.add_insecure_port(target))
        pair = (address.tls.key.read_bytes(), address.tls.certificate.read_bytes())
        return int(server.add_secure_port(target, grpc.ssl_server_credentials([pair])))
    except (RuntimeError, OSError):
        raise StartRefused(f"gRPC cannot listen on port {port}: choose another --grpc-port.") from None


class _TokenDemanded(grpc.ServerInterceptor):
    """Before any handler, and before a byte of a message is read."""

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler, or one that ends the call."""
        if handler_call_details.method == _OPEN:
            return continuation(handler_call_details)
        metadata = dict(handler_call_details.invocation_metadata or ())
        try:
            self._bearer.check(metadata.get("authorization"))
        except TokenMissing as missing:
            refusal = missing
            # Of streams, so that it waits for no message before it refuses.
            return grpc.stream_stream_rpc_method_handler(lambda requests, context: _abort(context, refusal))
        return continuation(handler_call_details)


def _abort(context: grpc.ServicerContext, error: ServiceError) -> NoReturn:
    context.abort(grpc.StatusCode[error.grpc_status], str(error))
    raise AssertionError("abort raises")


def _wish_of(request: pb.GenerateRequest) -> Wish:
    """The message as a wish: what is not set takes the wish's own default."""
    values: dict[str, Any] = {
        "targets": tuple(request.targets),
        "prompt": request.prompt,
        "sources": tuple(
            {"flow": source.flow} | ({kind: getattr(source, kind)} if (kind := source.WhichOneof("given")) else {})
            for source in request.sources
        ),
    }
    for name in ("count", "num_inference_steps", "guidance_scale", "candidates", "seed"):
        if request.HasField(name):
            values[name] = getattr(request, name)
    if request.formats:
        values["formats"] = tuple(request.formats)
    return wish_of(values)


def _messages(job: Job, heard: SimpleQueue[Event]) -> Iterator[pb.GenerateEvent]:
    """Until the last event. Raises the error of a request that failed, and TimedOut for one that says no more."""
    while True:
        try:
            event = heard.get(timeout=job.seconds_left + _GRACE_SECONDS)
        except Empty:
            raise TimedOut("The request took longer than this service allows: ask for less.") from None
        if isinstance(event, Failed):
            raise event.error
        yield _message(event)
        if isinstance(event, Finished):
            return


def _message(event: Event) -> pb.GenerateEvent:
    match event:
        case Queued(ahead):
            return pb.GenerateEvent(queued=pb.Queued(ahead=ahead))
        case Seen(flow, png):
            return pb.GenerateEvent(seen=pb.Seen(flow=flow, png=png))
        case Progress(done, total):
            return pb.GenerateEvent(progress=pb.Progress(done=done, total=total))
        case Sample():
            return pb.GenerateEvent(
                sample=pb.Sample(flow=event.flow, index=event.index, png=event.png, dicom=event.dicom, text=event.text)
            )
        case Finished(seed, seconds):
            return pb.GenerateEvent(finished=pb.Finished(seed=seed, seconds=seconds))
        case Failed(error):
            raise error

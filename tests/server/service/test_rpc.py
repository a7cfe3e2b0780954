"""The gRPC door of the same service: a round trip, reflection, health, and refusals with their statuses."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protocol import generate_pb2 as pb
from protocol import generate_pb2_grpc as stubs
from protocol.synthetic import synthetic_png
from server.service.rpc import SERVICE
from server.service.serve import Service
from tests.server.service.conftest import LIMITS

PROTO = Path(pb.__file__).with_name("generate.proto")
SECRET = "Doe^John-1961"


@pytest.fixture
def channel(service: Service) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> Any:
    return stubs.GenerationStub(channel)


@pytest.fixture
def holder(token: str) -> dict[str, Any]:
    """The token as metadata, and a deadline."""
    return {"metadata": (("authorization", f"Bearer {token}"),), "timeout": 60}


def _status(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        list(call) if hasattr(call, "__iter__") else call()
    return refused.value.code(), refused.value.details()


def test_describe_and_generate_make_the_round_trip(stub: Any, holder: dict[str, Any]) -> None:
    said = stub.Describe(pb.DescribeRequest(), **holder)
    assert list(said.image_flows) == ["xray", "ct", "mri_t1", "mri_t2", "mri_flair"] and said.text_flow == "text"
    assert said.limits.max_count == LIMITS.max_count and said.card.startswith("#") and not said.alarms
    wish = pb.GenerateRequest(targets=["xray", "text"], prompt="Cardiomegaly.", num_inference_steps=2,
                              candidates=1, seed=4, formats=["png", "dicom"])  # fmt: skip
    events = list(stub.Generate(wish, **holder))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["queued", "progress", "progress", "sample", "sample", "finished"]
    assert events[3].sample.png.startswith(b"\x89PNG") and events[3].sample.dicom[128:132] == b"DICM"
    assert events[4].sample.text and events[5].finished.seed == 4


def test_an_uploaded_image_becomes_a_report(stub: Any, holder: dict[str, Any], ramp: np.ndarray) -> None:
    source = pb.GivenSource(flow="xray", image=synthetic_png(ramp))
    events = list(
        stub.Generate(pb.GenerateRequest(targets=["text"], sources=[source], num_inference_steps=2), **holder)
    )
    assert events[1].seen.png and [event.sample.text for event in events if event.HasField("sample")]


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("x-token", "y"),)])
def test_nothing_but_a_health_check_answers_without_the_token(channel: grpc.Channel, metadata: Any) -> None:
    stub, options = stubs.GenerationStub(channel), {"metadata": metadata, "timeout": 30}
    assert _status(lambda: stub.Describe(pb.DescribeRequest(), **options))[0] is grpc.StatusCode.UNAUTHENTICATED
    wish = pb.GenerateRequest(targets=["xray"])
    assert _status(stub.Generate(wish, **options))[0] is grpc.StatusCode.UNAUTHENTICATED
    reflected = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    assert _status(reflected(iter([_list_services()]), **options))[0] is grpc.StatusCode.UNAUTHENTICATED
    watch = health_pb2_grpc.HealthStub(channel).Watch
    assert _status(watch(health_pb2.HealthCheckRequest(), **options))[0] is grpc.StatusCode.UNAUTHENTICATED
    silent = channel.stream_stream("/nowhere/Nothing")(_never(), **options)  # which sends no message at all
    assert _status(silent)[0] is grpc.StatusCode.UNAUTHENTICATED
    for name in ("", SERVICE):
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name), timeout=30)
        assert check.status == health_pb2.HealthCheckResponse.SERVING


def _never() -> Iterator[bytes]:
    threading.Event().wait(15)
    yield from ()


def test_reflection_lists_the_services_to_who_holds_the_token(channel: grpc.Channel, holder: dict[str, Any]) -> None:
    reflected = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    (answer,) = reflected(iter([_list_services()]), **holder)
    names = {service.name for service in answer.list_services_response.service}
    assert names == {
        "fedm2g.generate.v1.Generation",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def _ct(content: bytes) -> pb.GivenSource:
    return pb.GivenSource(flow="ct", image=content)


def _list_services() -> reflection_pb2.ServerReflectionRequest:
    return reflection_pb2.ServerReflectionRequest(list_services="")


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({}, "INVALID_ARGUMENT"), ({"targets": [SECRET]}, "INVALID_ARGUMENT"),
        ({"targets": ["pet"]}, "INVALID_ARGUMENT"),
        ({"targets": ["xray"], "count": 0}, "INVALID_ARGUMENT"), ({"targets": ["xray"], "count": 5}, "OUT_OF_RANGE"),
        ({"targets": ["xray"], "num_inference_steps": 401}, "OUT_OF_RANGE"),
        ({"targets": ["xray"], "formats": [SECRET]}, "INVALID_ARGUMENT"),
        ({"targets": ["xray"], "sources": [_ct(b"%PDF" + SECRET.encode())]}, "INVALID_ARGUMENT"),
        ({"targets": ["xray"], "sources": [pb.GivenSource(flow="ct")]}, "INVALID_ARGUMENT"),
        ({"targets": ["xray"], "sources": [_ct(bytes(LIMITS.max_body_bytes))]}, "RESOURCE_EXHAUSTED"),
    ],
)  # fmt: skip
def test_a_refusal_has_its_status_and_repeats_nothing(
    stub: Any, holder: dict[str, Any], wish: dict[str, Any], code: str
) -> None:
    status, sentence = _status(stub.Generate(pb.GenerateRequest(**wish), **holder))
    assert status is grpc.StatusCode[code] and SECRET not in sentence


def test_an_error_nobody_foresaw_says_nothing_of_the_request(
    stub: Any, holder: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*words: Any, **options: Any) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr("server.service.studio.Studio.check", fails)
    status, sentence = _status(stub.Generate(pb.GenerateRequest(targets=["xray"], prompt=SECRET), **holder))
    assert status is grpc.StatusCode.INTERNAL and "incident" in sentence and SECRET not in sentence
    assert "ValueError" in caplog.text and SECRET not in caplog.text


def test_all_seats_taken_is_said_at_once_and_cancelling_frees_them(stub: Any, holder: dict[str, Any]) -> None:
    wish = pb.GenerateRequest(targets=["xray", "ct", "mri_t1", "mri_t2"], count=4, num_inference_steps=400)
    calls = [stub.Generate(wish, **holder) for _ in range(2)]
    assert sorted(next(call).queued.ahead for call in calls) == [0, 1]
    assert _status(stub.Generate(wish, **holder))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in calls:
        call.cancel()
    small, left = pb.GenerateRequest(targets=["xray"], num_inference_steps=1), time.monotonic()
    while True:
        try:
            events = list(stub.Generate(small, **holder))
            break
        except grpc.RpcError as busy:
            assert busy.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and time.monotonic() - left < 20
            time.sleep(0.05)
    assert events[-1].WhichOneof("event") == "finished"


def test_who_hangs_up_while_waiting_frees_the_seat_at_once(stub: Any, holder: dict[str, Any]) -> None:
    wish = pb.GenerateRequest(targets=["xray", "ct", "mri_t1", "mri_t2"], count=4, num_inference_steps=400)
    first = stub.Generate(wish, **holder)
    assert next(first).queued.ahead == 0
    for _ in range(2):
        waiting, left = stub.Generate(wish, **holder), time.monotonic()
        while (ahead := _ahead(waiting)) is None:
            assert time.monotonic() - left < 20
            waiting = stub.Generate(wish, **holder)
        assert ahead == 1
        waiting.cancel()
    assert next(first).HasField("progress")
    first.cancel()


def _ahead(call: Any) -> int | None:
    """How many are before this call, or None where all seats are taken."""
    try:
        return int(next(call).queued.ahead)
    except grpc.RpcError as busy:
        assert busy.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        return None


def test_the_stubs_were_made_from_the_proto_file_beside_them() -> None:
    """Every message, field and number that the file names, and no other."""
    text = re.sub(r"//.*", "", PROTO.read_text(encoding="utf-8"))
    for name, message in pb.DESCRIPTOR.message_types_by_name.items():
        body = re.search(rf"message {name} \{{(.*?)\n?\}}\n", text, re.DOTALL)
        assert body is not None, name
        said = {field: int(number) for field, number in re.findall(r"\b(\w+) = (\d+);", body[1])}
        assert said == {field.name: field.number for field in message.fields}, name
    assert set(re.findall(r"^message (\w+)", text, re.MULTILINE)) == set(pb.DESCRIPTOR.message_types_by_name)
    methods = pb.DESCRIPTOR.services_by_name["Generation"].methods_by_name
    assert set(re.findall(r"rpc (\w+)", text)) == set(methods)

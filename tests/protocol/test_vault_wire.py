"""What crosses the vault's socket: exact, bounded before it is held, and defined by one file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from protocol import vault_pb2 as pb
from protocol.codec import AsSent
from protocol.codes import Code
from protocol.errors import MalformedMessage, MessageTooLarge
from protocol.requests import TrainReply, TrainRequest
from protocol.vault_wire import PIECE_BYTES, reply_events, reply_from, request_from, request_header, request_parts

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(5)
GROUPS = {
    "alignment/xray": {
        "a.weight": RNG.normal(size=(700, 500)).astype(np.float32),  # more than one piece
        "a.bias": RNG.normal(size=()).astype(np.float32),
        "a.empty": np.empty((0, 3), np.float32),
    },
    "alignment/ct": {"b.weight": RNG.normal(size=(3, 2)).astype(np.float32)},
}
LIMIT = 10_000_000


def asked(**changes: object) -> TrainRequest:
    fields = {"study_digest": "ab" * 32, "stage": "align", "round_number": 3, "trains": tuple(GROUPS)} | changes
    groups = {name: dict(AsSent(arrays)) for name, arrays in GROUPS.items()}
    return TrainRequest(reads=dict.fromkeys(GROUPS, "0" * 64), groups=groups, **fields)  # type: ignore[arg-type]


def taken(parts: Iterator[pb.TrainPart], max_bytes: int = LIMIT) -> TrainRequest:
    return request_from(request_header(parts, max_bytes=max_bytes), parts)


def answered(reply: TrainReply, max_bytes: int = LIMIT) -> TrainReply:
    events = reply_events(reply)
    return reply_from(next(events).reply, events, max_bytes=max_bytes)


def test_a_request_arrives_exactly_as_the_relay_had_it() -> None:
    """What a relay holds has been decoded once; coding it again for the socket changes nothing."""
    sent = asked()
    got = taken(request_parts(sent))
    assert got.inputs_digest == sent.inputs_digest and got.trains == sent.trains
    for group, arrays in sent.groups.items():
        assert list(got.groups[group]) == list(arrays)
        for name, array in arrays.items():
            assert got.groups[group][name].dtype == np.float32 and np.array_equal(got.groups[group][name], array)


def test_pieces_stay_below_what_grpc_takes_by_default() -> None:
    assert max(part.ByteSize() for part in request_parts(asked())) < PIECE_BYTES + 100 < 4 << 20


def test_an_update_crosses_the_socket_rounded_to_eight_bits() -> None:
    reply = TrainReply(code=Code.OK, site="north", inputs_digest="x", updates=GROUPS, metrics={"epsilon_spent": 1.25})
    heads = next(reply_events(reply)).reply.tensors
    assert {head.codec for head in heads} == {"int8-stochastic"}
    got = answered(reply)
    assert (got.code, got.site, got.metrics) == (Code.OK, "north", {"epsilon_spent": 1.25})
    sent, came = GROUPS["alignment/xray"]["a.weight"], got.updates["alignment/xray"]["a.weight"]
    assert not np.array_equal(sent, came) and np.abs(sent - came).max() < np.abs(sent).max() / 63
    assert np.array_equal(answered(got).updates["alignment/xray"]["a.weight"], came)  # the relay's second coding


def test_a_request_is_refused_by_its_header_before_any_array_is_taken() -> None:
    def parts() -> Iterator[pb.TrainPart]:
        yield next(request_parts(asked()))
        raise AssertionError("an array was taken")

    with pytest.raises(MessageTooLarge):
        request_header(parts(), max_bytes=1000)


def test_a_header_must_come_first() -> None:
    for first in (iter(()), iter([pb.TrainPart(piece=b"x")])):
        with pytest.raises(MalformedMessage, match="begins with its header"):
            request_header(first, max_bytes=LIMIT)


@pytest.mark.parametrize("fault", ["short", "long", "shape", "codec", "twice", "name"])
def test_a_message_that_contradicts_its_header_is_malformed(fault: str) -> None:
    parts = list(request_parts(asked()))
    header = parts[0].header
    if fault == "short":
        parts.pop()
    elif fault == "long":
        parts.append(pb.TrainPart(piece=b"x"))
    elif fault == "shape":
        header.tensors[0].shape[0] += 1
    elif fault == "codec":
        header.tensors[0].codec = "pickle"
    elif fault == "twice":
        header.tensors[3].CopyFrom(header.tensors[0])
    else:
        header.tensors[0].name = "x" * 300
    with pytest.raises(MalformedMessage) as refused:
        taken(iter(parts))
    assert "weight" not in str(refused.value)


def test_a_code_outside_the_table_is_malformed() -> None:
    with pytest.raises(MalformedMessage):
        reply_from(pb.ReplyHeader(code="rm -rf /"), [], max_bytes=LIMIT)


def test_no_method_takes_a_path_code_or_a_privacy_setting() -> None:
    service = pb.DESCRIPTOR.services_by_name["Vault"]
    assert [method.name for method in service.methods] == ["Describe", "Train", "Cancel", "Status"]
    asked = ("DescribeRequest", "TrainHeader", "CancelRequest", "StatusRequest", "TensorHead")
    messages = pb.DESCRIPTOR.message_types_by_name
    assert " ".join(field.name for name in asked for field in messages[name].fields) == (
        "study_digest study_digest stage round_number trains reads tensors group name codec shape bytes"
    )


def test_the_stubs_are_those_of_the_definition(tmp_path: Path) -> None:
    if find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed")
    words = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *words, "protocol/vault.proto"], cwd=ROOT, check=True
    )
    made = sorted((tmp_path / "protocol").iterdir())
    assert [path.name for path in made] == ["vault_pb2.py", "vault_pb2.pyi", "vault_pb2_grpc.py"]
    for path in made:
        assert path.read_text() == (ROOT / "protocol" / path.name).read_text(), f"run `make stubs`: {path.name}"

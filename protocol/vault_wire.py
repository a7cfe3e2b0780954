"""The messages of `requests.py` in the shape of `vault.proto`: a header that says every size, then the bytes in pieces.

The header comes first on purpose: the vault refuses an unknown study, a forged field or too many bytes before it takes
a single array. Updates cross the socket already rounded to 8 bits, as they will leave the hospital, so that a relay
that was taken over sees no low-order bits of a release. What does not parse raises MalformedMessage and quotes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from protocol import vault_pb2 as pb
from protocol.arrays import Array, Groups
from protocol.codec import (
    CODECS,
    GROUP_CODEC,
    MAX_NAME_LENGTH,
    UPDATE_CODEC,
    EncodedTensor,
    decode_tensor,
    encode_update,
)
from protocol.codes import Code
from protocol.errors import MalformedMessage, MessageTooLarge
from protocol.requests import TrainReply, TrainRequest

PIECE_BYTES = 1 << 20
"""gRPC refuses messages of more than 4 MiB unless told otherwise."""
MAX_TENSORS = 100_000

Encoded = Mapping[str, Mapping[str, EncodedTensor]]


# --- the request --------------------------------------------------------------------------------------------------


def request_parts(request: TrainRequest) -> Iterator[pb.TrainPart]:
    """A request as it goes to the vault. The release grid stays behind: the vault has its own, approved one."""
    encoded = _encoded(request.groups, GROUP_CODEC)
    header = pb.TrainHeader(
        study_digest=request.study_digest,
        stage=request.stage,
        round_number=request.round_number,
        trains=request.trains,
        reads=dict(request.reads),
        tensors=_heads(encoded),
    )
    yield pb.TrainPart(header=header)
    for piece in _pieces(encoded):
        yield pb.TrainPart(piece=piece)


def request_header(parts: Iterator[pb.TrainPart], *, max_bytes: int) -> pb.TrainHeader:
    """The first part, every field within bounds. Raises MalformedMessage, and MessageTooLarge before any array."""
    first = next(parts, None)
    if first is None or first.WhichOneof("part") != "header":
        raise MalformedMessage("A request begins with its header.")
    header = first.header
    _check_texts([header.study_digest, header.stage, *header.trains, *header.reads.keys(), *header.reads.values()])
    _check_heads(header.tensors, max_bytes=max_bytes)
    return header


def request_from(header: pb.TrainHeader, parts: Iterable[pb.TrainPart]) -> TrainRequest:
    """The request, its arrays taken from the parts behind the header. Raises MalformedMessage."""
    return TrainRequest(
        study_digest=header.study_digest,
        stage=header.stage,
        round_number=header.round_number,
        trains=tuple(header.trains),
        reads=dict(header.reads),
        groups=_decoded(header.tensors, (part.piece for part in parts)),
    )


# --- the reply ----------------------------------------------------------------------------------------------------


def reply_events(reply: TrainReply) -> Iterator[pb.TrainEvent]:
    """A reply as it leaves the vault."""
    encoded = _encoded(reply.updates, UPDATE_CODEC)
    header = pb.ReplyHeader(
        code=str(reply.code),
        site=reply.site,
        inputs_digest=reply.inputs_digest,
        incident=reply.incident,
        missing=reply.missing,
        event_digest=reply.event_digest,
        metrics=dict(reply.metrics),
        tensors=_heads(encoded),
    )
    yield pb.TrainEvent(reply=header)
    for piece in _pieces(encoded):
        yield pb.TrainEvent(piece=piece)


def reply_from(header: pb.ReplyHeader, events: Iterable[pb.TrainEvent], *, max_bytes: int) -> TrainReply:
    """The reply, its updates taken from the events behind the header. Raises MalformedMessage."""
    _check_heads(header.tensors, max_bytes=max_bytes)
    return TrainReply(
        code=Code.read(header.code),
        site=header.site,
        inputs_digest=header.inputs_digest,
        incident=header.incident,
        updates=_decoded(header.tensors, (event.piece for event in events)),
        missing=tuple(header.missing),
        event_digest=header.event_digest,
        metrics=dict(header.metrics),
    )


# --- tensors ------------------------------------------------------------------------------------------------------


def _encoded(groups: Groups, codec: str) -> Encoded:
    return {group: encode_update(arrays, codec=codec) for group, arrays in groups.items()}


def _heads(encoded: Encoded) -> list[pb.TensorHead]:
    return [
        pb.TensorHead(group=group, name=name, codec=tensor.codec, shape=tensor.shape, bytes=len(tensor.data))
        for group, tensors in encoded.items()
        for name, tensor in tensors.items()
    ]


def _pieces(encoded: Encoded) -> Iterator[bytes]:
    for tensors in encoded.values():
        for tensor in tensors.values():
            for first in range(0, len(tensor.data), PIECE_BYTES):
                yield tensor.data[first : first + PIECE_BYTES]


def _check_heads(heads: Iterable[pb.TensorHead], *, max_bytes: int) -> None:
    """Names, codecs and the sum of bytes; shapes are held against their bytes when each is decoded."""
    total, seen = 0, set()
    for head in heads:
        total += head.bytes
        seen.add((head.group, head.name))
        _check_texts([head.group, head.name])
        if head.codec not in CODECS:
            raise MalformedMessage(f"A tensor's codec is not in the table: choose one of {list(CODECS)}.")
        if total > max_bytes:
            raise MessageTooLarge(f"The message is larger than the {max_bytes} bytes that are allowed here.")
        if len(seen) > MAX_TENSORS:
            raise MessageTooLarge(f"The message holds more than {MAX_TENSORS} tensors.")
    if len(seen) != len(list(heads)):
        raise MalformedMessage("Two tensors of the message have one name.")


def _check_texts(texts: Iterable[str]) -> None:
    for text in texts:
        if len(text) > MAX_NAME_LENGTH:
            raise MalformedMessage("A name in the message is longer than any that this contract has.")


def _decoded(heads: Iterable[pb.TensorHead], pieces: Iterable[bytes]) -> Groups:
    """Tensor by tensor, so that the bytes of one are held beside the arrays, not those of all."""
    waiting = iter(pieces)
    groups: dict[str, dict[str, Array]] = {}
    rest = b""
    for head in heads:
        data = bytearray(rest)
        while len(data) < head.bytes:
            piece = next(waiting, None)
            if not piece:
                raise MalformedMessage("The message ends before its last tensor.")
            data += piece
        rest = bytes(data[head.bytes :])
        tensor = EncodedTensor(codec=head.codec, shape=tuple(head.shape), data=bytes(data[: head.bytes]))
        groups.setdefault(head.group, {})[head.name] = decode_tensor(tensor)
    if rest or next(waiting, None) is not None:
        raise MalformedMessage("The message holds more bytes than its header says.")
    return groups

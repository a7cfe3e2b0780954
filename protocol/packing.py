"""A group as one piece on the wire: a short header, then the encoded tensors one after the other.

Flower moves each `Array` of a message as two objects, each with a request and a transaction of its own. A denoiser has
hundreds of tensors: one array per tensor costs a minute a round where one array per group costs a moment.

    8 bytes   length of the header, little-endian
    header    JSON {"codec": name, "tensors": [[name, [size, ...]], ...]}
    data      of each tensor, in that order, as long as its codec and shape say
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from protocol.codec import CODECS, EncodedTensor
from protocol.errors import MalformedMessage

MAX_HEADER_BYTES = 16 << 20
_LENGTH_BYTES = 8


def pack_group(encoded: Mapping[str, EncodedTensor]) -> bytes:
    """One group's tensors, all of one codec, as one piece."""
    codecs = {tensor.codec for tensor in encoded.values()}
    if len(codecs) > 1:
        raise MalformedMessage("A group's tensors must share a codec.")
    tensors = [[name, list(tensor.shape)] for name, tensor in encoded.items()]
    header = json.dumps({"codec": next(iter(codecs), ""), "tensors": tensors}, separators=(",", ":")).encode()
    length = len(header).to_bytes(_LENGTH_BYTES, "little")
    return b"".join([length, header, *(tensor.data for tensor in encoded.values())])


def unpack_group(content: bytes) -> dict[str, EncodedTensor]:
    """The tensors, each a view of its part of `content`. Raises MalformedMessage unless every byte is accounted for."""
    view = memoryview(content)
    length = int.from_bytes(view[:_LENGTH_BYTES], "little")
    if len(view) < _LENGTH_BYTES or length > min(MAX_HEADER_BYTES, len(view) - _LENGTH_BYTES):
        raise MalformedMessage("A group's header is longer than its message.")
    codec, tensors = _header(bytes(view[_LENGTH_BYTES : _LENGTH_BYTES + length]))
    begin, unpacked = _LENGTH_BYTES + length, {}
    for name, shape in tensors:
        end = begin + CODECS[codec].size(math.prod(shape))
        if name in unpacked or end > len(view):
            raise MalformedMessage("A group's tensors repeat a name or are longer than their message.")
        # A view: it has a length and is read like bytes, and nothing is held twice.
        unpacked[name] = EncodedTensor(codec=codec, shape=shape, data=view[begin:end])  # type: ignore[arg-type]
        begin = end
    if begin != len(view):
        raise MalformedMessage("A group's message is longer than its tensors.")
    return unpacked


def _header(content: bytes) -> tuple[str, list[tuple[str, tuple[int, ...]]]]:
    try:
        values = json.loads(content)
        codec, tensors = values["codec"], [(name, tuple(shape)) for name, shape in values["tensors"]]
        sizes = [size for _, shape in tensors for size in shape]
        plain = all(isinstance(name, str) for name, _ in tensors) and all(type(size) is int for size in sizes)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MalformedMessage("A group's header does not follow the wire contract.") from None
    known = isinstance(codec, str) and (codec in CODECS or not tensors)
    if not (plain and known) or any(size < 0 for size in sizes):
        raise MalformedMessage(f"A group's header is not plain, or its codec not one of {list(CODECS)}.")
    return codec, tensors

"""A group in one piece: nothing is lost, and a piece that does not account for every byte is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import CODECS, decode_update, encode_update
from protocol.errors import MalformedMessage
from protocol.packing import pack_group, unpack_group

ARRAYS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "gate": np.array(0.5, dtype=np.float32),
    "empty": np.zeros((0, 2), dtype=np.float32),
}


@pytest.mark.parametrize("codec", list(CODECS))
def test_a_group_survives_packing(codec: str) -> None:
    encoded = encode_update(ARRAYS, codec=codec)
    back = decode_update(unpack_group(pack_group(encoded)), max_bytes=10_000)
    assert list(back) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_allclose(back[name], array, rtol=1e-3)
        assert back[name].shape == array.shape


def test_an_empty_group_is_a_group() -> None:
    assert unpack_group(pack_group({})) == {}


HONEST = pack_group(encode_update(ARRAYS, codec="float32"))


def with_header(values: object, data: bytes = b"") -> bytes:
    header = json.dumps(values).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        (2**62).to_bytes(8, "little") + b"{}",
        HONEST[:-1],
        HONEST + b"0",
        with_header([]),
        with_header({"codec": "float32"}),
        with_header({"codec": "pickle", "tensors": [["w", [1]]]}, b"1234"),
        with_header({"codec": "float32", "tensors": [["w", [1]], ["w", [1]]]}, b"12345678"),
        with_header({"codec": "float32", "tensors": [["w", [-1, -1]]]}, b"1234"),
        with_header({"codec": "float32", "tensors": [["w", [1.0]]]}, b"1234"),
        with_header({"codec": "float32", "tensors": [["w", [True]]]}, b"1234"),
        with_header({"codec": "float32", "tensors": [[1, [1]]]}, b"1234"),
        with_header({"codec": "float32", "tensors": [["w", [2**60, 2**60]]]}, b"1234"),
        with_header({"codec": "float32", "tensors": [["w", "1"]]}, b"1234"),
        with_header({"codec": ["float32"], "tensors": [["w", [1]]]}, b"1234"),
    ],
)
def test_a_piece_that_does_not_follow_the_contract_is_malformed(content: bytes) -> None:
    with pytest.raises(MalformedMessage):
        unpack_group(content)


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=len(HONEST)))
def test_whatever_bytes_come_nothing_but_a_group_or_a_refusal_comes_of_them(junk: bytes, place: int) -> None:
    for content in (junk, HONEST[:place] + junk + HONEST[place + len(junk) :]):
        try:
            unpacked = unpack_group(content)
        except MalformedMessage:
            continue
        assert sum(len(tensor.data) for tensor in unpacked.values()) <= len(content)

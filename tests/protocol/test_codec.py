"""What the wire codec promises: precision where updates are tiny, and nothing decoded beyond the contract."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from protocol.arrays import PART
from protocol.codec import (
    CODECS,
    EncodedGroup,
    EncodedTensor,
    decode_tensor,
    decode_update,
    encode_tensor,
    encode_update,
)
from protocol.errors import MalformedMessage

FINITE = st.floats(min_value=-(2.0**100), max_value=2.0**100, width=32)


def relative_error(decoded: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(decoded.astype(np.float64) - exact) / np.linalg.norm(exact))


def test_an_update_of_rms_1e_minus_7_survives_where_plain_fp16_loses_a_sixth() -> None:
    update = (np.random.default_rng(0).standard_normal((64, 64)) * 1e-7).astype(np.float32)
    plain = relative_error(update.astype(np.float16).astype(np.float32), update)
    ours = relative_error(decode_tensor(encode_tensor(update, "float16-scaled")), update)
    assert plain > 0.1
    assert ours < 3e-4


@given(
    arrays_of.arrays(
        np.float32, arrays_of.array_shapes(min_dims=0, max_dims=4, max_side=5, min_side=0), elements=FINITE
    )
)
def test_float32_is_exact_and_float16_scaled_errs_by_at_most_a_2048th(array: np.ndarray) -> None:
    exact = decode_tensor(encode_tensor(array, "float32"))
    assert exact.shape == array.shape
    assert np.array_equal(exact, array)
    scaled = decode_tensor(encode_tensor(array, "float16-scaled"))
    assert scaled.shape == array.shape
    largest = float(np.max(np.abs(array), initial=0.0))
    # Half an ulp of eleven bits; for what is tiny beside the largest, 2^-39 of that; and fp32 itself ends at 2^-149.
    allowed = np.maximum(np.abs(array.astype(np.float64)) * 2.0**-11, max(largest * 2.0**-39, 2.0**-149))
    assert (np.abs(scaled.astype(np.float64) - array) <= allowed).all()


@pytest.mark.parametrize("codec", list(CODECS))
def test_the_size_of_a_codec_is_what_it_writes(codec: str) -> None:
    array = np.ones((3, 5), dtype=np.float32)
    assert len(encode_tensor(array, codec).data) == CODECS[codec].size(array.size)


def test_an_update_takes_half_the_bytes_of_a_group() -> None:
    group = {"weight": np.ones((128, 128), dtype=np.float32)}
    update, exact = encode_update(group), encode_update(group, codec="float32")
    assert len(update["weight"].data) <= 0.51 * len(exact["weight"].data)


def test_decoded_arrays_are_writable_float32() -> None:
    for codec in CODECS:
        decoded = decode_tensor(encode_tensor(np.ones(3, dtype=np.float32), codec))
        decoded += 1.0
        assert decoded.dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_that_is_not_finite_is_encoded(value: float) -> None:
    with pytest.raises(MalformedMessage, match="not finite"):
        encode_tensor(np.array([0.0, value], dtype=np.float32), "float16-scaled")


GOOD = encode_tensor(np.ones((2, 3), dtype=np.float32), "float16-scaled")


@pytest.mark.parametrize(
    "tensor",
    [
        EncodedTensor("pickle", (2, 3), GOOD.data),
        EncodedTensor("float16-scaled", (2, 3), GOOD.data[:-1]),
        EncodedTensor("float16-scaled", (2, 4), GOOD.data),
        EncodedTensor("float16-scaled", (-2, -3), GOOD.data),
        EncodedTensor("float16-scaled", (1,) * 8 + (2, 3), GOOD.data),
        EncodedTensor("float16-scaled", (2, 3), np.float32("nan").tobytes() + GOOD.data[4:]),
        EncodedTensor("float16-scaled", (2, 3), np.float32(0.0).tobytes() + GOOD.data[4:]),
        EncodedTensor("float16-scaled", (2, 3), np.float32(-1.0).tobytes() + GOOD.data[4:]),
    ],
    ids=["codec", "truncated", "shape", "negative", "dimensions", "nan-scale", "zero-scale", "negative-scale"],
)
def test_a_tensor_that_does_not_fit_the_contract_is_refused(tensor: EncodedTensor) -> None:
    with pytest.raises(MalformedMessage):
        decode_tensor(tensor)


def test_a_group_over_the_limit_is_refused_before_it_is_decoded() -> None:
    lies = {"weight": EncodedTensor("no such codec", (1,), b"x" * 2000)}
    with pytest.raises(MalformedMessage, match="larger than the 1000 bytes"):
        decode_update(lies, max_bytes=1000)


def test_a_name_of_unreasonable_length_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="name"):
        decode_update({"n" * 300: GOOD}, max_bytes=10_000)


def test_every_half_precision_number_is_widened_exactly() -> None:
    """All 65,536 patterns, against numpy's own conversion: signed zeros, subnormals, and what is not finite."""
    patterns = np.arange(1 << 16, dtype=np.uint16)
    data = np.float32(1.0).tobytes() + patterns.astype("<u2").tobytes()
    decoded = decode_tensor(EncodedTensor("float16-scaled", (1 << 16,), data))
    right = patterns.view(np.float16).astype(np.float32)
    finite = np.isfinite(right)
    assert np.array_equal(decoded[finite].view(np.uint32), right[finite].view(np.uint32))
    assert not np.isfinite(decoded[~finite]).any()


@pytest.mark.parametrize("codec", list(CODECS))
def test_parts_are_the_tensor(codec: str) -> None:
    array = np.random.default_rng(4).standard_normal((3, PART - 1), dtype=np.float32)
    group = EncodedGroup(encode_update({"w": array, "empty": array[:0]}, codec=codec), max_bytes=1 << 30)
    parts = list(group.parts("w"))
    assert [len(part) for part in parts] == [PART, PART, PART - 3]
    assert np.array_equal(np.concatenate(parts).reshape(array.shape), group["w"])
    assert list(group.parts("empty")) == [] and group.shapes() == {"w": array.shape, "empty": (0, PART - 1)}

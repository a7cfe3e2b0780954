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
    GROUP_CODEC,
    UPDATE_CODEC,
    AsSent,
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


@given(
    arrays_of.arrays(
        np.float32, arrays_of.array_shapes(min_dims=0, max_dims=2, max_side=300, min_side=0), elements=FINITE
    ),
    st.sampled_from(list(CODECS)),
)
def test_encoding_twice_is_encoding_once(array: np.ndarray, codec: str) -> None:
    """A relay decodes what the vault encoded, and a site names a group by what it decoded: nothing may drift."""
    encoded = encode_tensor(array, codec)
    once = decode_tensor(encoded)
    assert np.array_equal(decode_tensor(encode_tensor(once, codec)), once)
    assert encode_tensor(once, codec) == encoded  # a round asked for again gives the same bytes, by whatever way


def test_a_largest_value_that_rounds_below_half_of_127_keeps_its_bytes() -> None:
    blocks = np.zeros((400, 256), dtype=np.float32)
    blocks[:, 0] = 63.75 * np.sign(np.arange(400) - 200 + 0.5)  # a quarter of the upper half rounds down to 63
    encoded = encode_tensor(blocks, "int8-stochastic")
    values = decode_tensor(encoded)[:, 0]
    assert set(np.abs(values)) == {63.0, 64.0}
    assert encode_tensor(decode_tensor(encoded), "int8-stochastic") == encoded


def test_what_rounds_up_to_a_power_of_two_is_scaled_as_one() -> None:
    """Else the second encoding would halve the scale's room and lose the last bit of the least number."""
    array = np.array([1.0 - 2.0**-14, 3 * 2.0**-39], dtype=np.float32)
    once = decode_tensor(encode_tensor(array, "float16-scaled"))
    assert once[0] == 1.0
    assert np.array_equal(decode_tensor(encode_tensor(once, "float16-scaled")), once)


@given(arrays_of.arrays(np.float32, st.integers(0, 700), elements=FINITE))
def test_int8_errs_by_less_than_a_63rd_of_the_largest_of_256(array: np.ndarray) -> None:
    decoded = decode_tensor(encode_tensor(array, "int8-stochastic")).astype(np.float64)
    for first in range(0, array.size, 256):
        block, exact = decoded[first : first + 256], array[first : first + 256].astype(np.float64)
        step = max(float(np.abs(exact).max()) / 63.5, 2.0**-128)  # the least exponent
        assert (np.abs(block - exact) <= step).all()


def test_int8_is_right_on_average() -> None:
    """Nearest rounding would lose every value below half a step, always the same way."""
    step, small = 2.0**-6, 0.3 * 2.0**-6
    array = np.full((400, 256), small, dtype=np.float32)
    array[:, 0] = 127 * step
    decoded = decode_tensor(encode_tensor(array, "int8-stochastic"))[:, 1:]
    assert set(np.unique(decoded)) == {0.0, np.float32(step)}
    assert abs(float(decoded.mean()) / small - 1.0) < 0.02  # 102,000 coins: four deviations
    assert abs(float(decoded.mean(axis=0).std()) / step - (0.3 * 0.7 / 400) ** 0.5) < 0.003  # and each its own


def test_equal_updates_give_equal_bytes_and_others_other_coins() -> None:
    array = np.random.default_rng(1).standard_normal((300, 70), dtype=np.float32)
    first, again = (encode_tensor(array, "int8-stochastic").data for _ in range(2))
    assert first == again
    changed = array.copy()
    changed[299, 69] += 1.0
    other = np.frombuffer(encode_tensor(changed, "int8-stochastic").data, np.int8)
    assert (np.frombuffer(first, np.int8) != other).mean() > 0.05


def test_a_normal_update_errs_by_two_hundredths_at_most_at_eight_bits() -> None:
    update = (np.random.default_rng(0).standard_normal((64, 64)) * 1e-7).astype(np.float32)
    assert relative_error(decode_tensor(encode_tensor(update, "int8-stochastic")), update) < 0.02


def test_a_part_that_begins_within_a_block_is_refused() -> None:
    data = encode_tensor(np.ones(1000, dtype=np.float32), "int8-stochastic").data
    with pytest.raises(MalformedMessage, match="multiple of 256"):
        CODECS["int8-stochastic"].decode(data, 100, 300)


def test_a_group_as_sent_is_what_its_receiver_decodes() -> None:
    group = {"a": np.random.default_rng(2).standard_normal((5, 7), dtype=np.float32), "b": np.float32([0.1])}
    received = decode_update(encode_update(group, codec=GROUP_CODEC), max_bytes=1 << 20)
    assert list(AsSent(group)) == list(group) and len(AsSent(group)) == 2
    for name, array in AsSent(group).items():
        assert np.array_equal(array, received[name])


@pytest.mark.parametrize("codec", list(CODECS))
def test_the_size_of_a_codec_is_what_it_writes(codec: str) -> None:
    array = np.ones((3, 5), dtype=np.float32)
    assert len(encode_tensor(array, codec).data) == CODECS[codec].size(array.size)


def test_a_group_takes_half_of_fp32_and_an_update_a_quarter() -> None:
    group = {"weight": np.ones((128, 128), dtype=np.float32)}
    down, up = (len(encode_update(group, codec=codec)["weight"].data) for codec in (GROUP_CODEC, UPDATE_CODEC))
    assert down <= 2.01 * 128 * 128 and up <= 1.01 * 128 * 128


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

"""The wire codec: one array to bytes and back, from a closed table, with its size known before it is decoded.

`float32` is exact and carries the groups down to the sites. `float16-scaled` carries updates up: values over a power of
two that is kept as one fp32 scale per tensor. Plain fp16 loses 17 % of an update at rms 1e-7, because it ends at 6e-8;
scaled, the largest value of a tensor always lies in [2^14, 2^15], so the error is at most 2^-11 of each value down to
2^-29 of the largest. An 8-bit codec will be one more row of the table: its name travels with every tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.arrays import PART, Array, GroupArrays, Shapes
from protocol.errors import MalformedMessage

MAX_DIMENSIONS = 8
MAX_NAME_LENGTH = 256
_SCALE_BYTES = 4
_TOP_EXPONENT = 15  # fp16 ends at 65504, so 2^15 is the largest power of two with room to round up


@dataclass(frozen=True)
class EncodedTensor:
    """One array on the wire."""

    codec: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True)
class Codec:
    """A row of the table: how many bytes a tensor takes, and the two directions."""

    dtype: str
    """What travels, in numpy's spelling; Flower's `Array` wants it said."""
    size: Callable[[int], int]
    encode: Callable[[Array], bytes]
    decode: Callable[[bytes, int, int], Array]
    """Of the numbers from `first` on, `count`: a new array, flat."""
    check: Callable[[bytes], None] = lambda _: None
    """Raises MalformedMessage for bytes of the right number that cannot be decoded."""


def _encode_float32(array: Array) -> bytes:
    return array.astype("<f4", copy=False).tobytes()


def _decode_float32(data: bytes, first: int, count: int) -> Array:
    return np.frombuffer(data, dtype="<f4", count=count, offset=4 * first).astype(np.float32)


def _encode_float16_scaled(array: Array) -> bytes:
    largest = float(np.max(np.abs(array), initial=0.0))
    exponent = math.frexp(largest)[1] - _TOP_EXPONENT if largest > 0.0 else 0
    scale = np.float32(math.ldexp(1.0, max(exponent, -149)))  # 2^-149 is the smallest positive fp32
    values = np.divide(array, scale, dtype=np.float64).astype("<f2")
    return scale.astype("<f4").tobytes() + values.tobytes()


def _widened(halves: npt.NDArray[np.int16]) -> Array:
    """The bits of fp16 numbers as fp32 numbers, exactly; what is not finite becomes not a number.

    numpy converts one number at a time; this is 3.6 times as fast, and most of what a server does with a reply. Shifted
    by 13 places, exponent and fraction are those of an fp32 number that is 2^112 too small (IEEE 754, biases 15 and
    127), subnormal ones too; the sign is extended there already, and the mask clears its copies.
    """
    bits = halves.astype(np.int32)
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, np.int32(-0x7000_2000), out=bits)  # the bits 31 and 27 to 13
    values = bits.view(np.float32)
    values *= np.float32(2.0**112)
    exponents = halves & np.int16(0x7C00)
    if exponents.size and exponents.max() == 0x7C00:
        values[exponents == 0x7C00] = np.nan
    return values


def _check_scale(data: bytes) -> None:
    scale = float(np.frombuffer(data, dtype="<f4", count=1)[0])
    if not (math.isfinite(scale) and scale > 0.0):
        raise MalformedMessage("A tensor's scale is not a positive finite number: the sender's codec is broken.")


def _decode_float16_scaled(data: bytes, first: int, count: int) -> Array:
    scale = np.frombuffer(data, dtype="<f4", count=1)[0]
    values = _widened(np.frombuffer(data, dtype="<i2", count=count, offset=_SCALE_BYTES + 2 * first))
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which the receiver's check names
        values *= scale
    return values


#: The closed table. A codec that is not here does not exist.
CODECS: Mapping[str, Codec] = {
    "float32": Codec("float32", lambda count: 4 * count, _encode_float32, _decode_float32),
    "float16-scaled": Codec(
        "float16", lambda count: _SCALE_BYTES + 2 * count, _encode_float16_scaled, _decode_float16_scaled, _check_scale
    ),
}
GROUP_CODEC = "float32"
UPDATE_CODEC = "float16-scaled"


def encode_tensor(array: npt.NDArray[np.floating], codec: str) -> EncodedTensor:
    """Encode one finite array. Raises MalformedMessage for a codec outside the table or a value that is not finite."""
    row = _row(codec)
    exact = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(exact).all():
        raise MalformedMessage("An array to be sent is not finite: nothing was sent.")
    return EncodedTensor(codec=codec, shape=tuple(int(size) for size in np.shape(array)), data=row.encode(exact))


def decode_tensor(encoded: EncodedTensor) -> Array:
    """Decode one array, writable and float32. Raises MalformedMessage unless codec, shape and size agree."""
    _check(encoded)
    return CODECS[encoded.codec].decode(encoded.data, 0, math.prod(encoded.shape)).reshape(encoded.shape)


def _check(encoded: EncodedTensor) -> None:
    """All that can be wrong with a tensor, without decoding it."""
    row = _row(encoded.codec)
    if len(encoded.shape) > MAX_DIMENSIONS or any(size < 0 for size in encoded.shape):
        raise MalformedMessage("A tensor's shape is not one that this contract allows.")
    expected = row.size(math.prod(encoded.shape))
    if len(encoded.data) != expected:
        raise MalformedMessage(f"A tensor has {len(encoded.data)} bytes where its shape and codec need {expected}.")
    row.check(encoded.data)


def encode_update(arrays: GroupArrays, *, codec: str = UPDATE_CODEC) -> dict[str, EncodedTensor]:
    """Encode one group's update, tensor by tensor."""
    return {name: encode_tensor(array, codec) for name, array in arrays.items()}


def decode_update(encoded: Mapping[str, EncodedTensor], *, max_bytes: int) -> dict[str, Array]:
    """Decode one group. The size is checked before anything is decoded. Raises MalformedMessage."""
    _check_group(encoded, max_bytes=max_bytes)
    return {name: decode_tensor(tensor) for name, tensor in encoded.items()}


def _check_group(encoded: Mapping[str, EncodedTensor], *, max_bytes: int) -> None:
    if encoded_bytes(encoded) > max_bytes:
        raise MalformedMessage(f"The group is larger than the {max_bytes} bytes allowed.")
    if any(len(name) > MAX_NAME_LENGTH for name in encoded):
        raise MalformedMessage(f"A parameter's name is longer than {MAX_NAME_LENGTH} characters.")


class EncodedGroup(Mapping[str, Array]):
    """A group that stays encoded: every access decodes one tensor anew, and no two are decoded at once.

    All that could be wrong is checked when it is made. Raises MalformedMessage, then and never later.
    """

    def __init__(self, encoded: Mapping[str, EncodedTensor], *, max_bytes: int) -> None:
        _check_group(encoded, max_bytes=max_bytes)
        for tensor in encoded.values():
            _check(tensor)
        self._encoded = encoded

    def __getitem__(self, name: str) -> Array:
        return decode_tensor(self._encoded[name])

    def shapes(self) -> Shapes:
        """Of every array, without decoding one."""
        return {name: tensor.shape for name, tensor in self._encoded.items()}

    def parts(self, name: str) -> Iterator[Array]:
        """One array, flat, decoded PART numbers at a time."""
        tensor = self._encoded[name]
        total = math.prod(tensor.shape)
        for first in range(0, total, PART):
            yield CODECS[tensor.codec].decode(tensor.data, first, min(PART, total - first))

    def __iter__(self) -> Iterator[str]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)


def encoded_bytes(encoded: Mapping[str, EncodedTensor]) -> int:
    """Bytes on the wire: payload and names."""
    return sum(len(tensor.data) + len(name) for name, tensor in encoded.items())


def _row(codec: str) -> Codec:
    row = CODECS.get(codec)
    if row is None:
        raise MalformedMessage(f"Unknown codec: choose one of {list(CODECS)}.")
    return row

"""The wire codec: one array to bytes and back, from a closed table, with its size known before it is decoded.

`float32` is exact. `float16-scaled` carries groups down to the sites: values over a power of two that is kept as one
fp32 scale per tensor. Plain fp16 loses 17 % of numbers at rms 1e-7, because it ends at 6e-8; scaled, the largest value
of a tensor always lies in [2^14, 2^15), so the error is at most 2^-11 of each value down to 2^-29 of the largest.

`int8-stochastic` carries updates up: whole multiples of a power of two that each block of 256 values has of its own,
rounded up or down at random so that each is right on average (QSGD, arXiv 1610.02132). The error of a block of normal
values is a hundredth of them, and many sites' errors cancel. Error feedback, which would carry it to the next round,
is left out: a site would remember between rounds what it did not send, and a round that is repeated must be the same.
The coins come from a hash of the values themselves, so equal updates give equal bytes.

Rounding twice is rounding once in every codec: a relay decodes what a vault encoded and encodes it again. An update has
its noise before it is encoded, so all of this is post-processing and touches no privacy guarantee.
"""

from __future__ import annotations

import hashlib
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
_TOP_EXPONENT = 15  # fp16 ends at 65504, so values below 2^15 have room to round up
_BLOCK = 256
"""Values that share an exponent: a byte for 256."""
_LARGEST_WHOLE = 127
_LEAST_EXPONENT = -128


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
    mantissa, power = math.frexp(float(np.max(np.abs(array), initial=0.0)))
    if mantissa >= 1.0 - 2.0**-12:  # it rounds up to the next power of two, which a second encoding must find here too
        power += 1
    exponent = power - _TOP_EXPONENT if mantissa > 0.0 else 0
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


def _encode_int8(array: Array) -> bytes:
    flat = array.reshape(-1)
    coins = np.random.Generator(np.random.Philox(key=_hashed(flat)))
    exponents, values = [], []
    for first in range(0, flat.size, PART):
        part = flat[first : first + PART]
        blocks = np.zeros((_blocks(part.size), _BLOCK))
        blocks.reshape(-1)[: part.size] = part
        mantissas, powers = np.frexp(np.abs(blocks).max(axis=1))
        # The least e with largest <= 127 * 2^e, where 127 = (127 / 128) * 2^7.
        least = np.where(mantissas <= _LARGEST_WHOLE / 128, powers - 7, powers - 6)
        least = np.where(mantissas > 0.0, np.maximum(least, _LEAST_EXPONENT), _LEAST_EXPONENT)
        scaled = np.ldexp(blocks, -least[:, None])
        scaled.reshape(-1)[: part.size] += coins.random(part.size, dtype=np.float32)
        whole = np.floor(scaled, out=scaled)
        # Where the largest, just above half of 127, went down to 63, a second encoding would find half the step here.
        halved = (np.abs(whole).max(axis=1) <= _LARGEST_WHOLE // 2) & (least > _LEAST_EXPONENT)
        whole[halved] *= 2.0
        exponents.append((least - halved).astype(np.int8).tobytes())
        values.append(whole.reshape(-1)[: part.size].astype(np.int8).tobytes())
    return b"".join([*exponents, *values])


def _hashed(flat: Array) -> int:
    return int.from_bytes(hashlib.sha256(flat.astype("<f4", copy=False).tobytes()).digest()[:16], "little")


def _blocks(count: int) -> int:
    return -(-count // _BLOCK)


def _decode_int8(data: bytes, first: int, count: int) -> Array:
    """Raises MalformedMessage where `first` is not where a block begins."""
    begin, rest = divmod(first, _BLOCK)
    if rest:
        raise MalformedMessage(f"A part of a tensor begins at a multiple of {_BLOCK}.")
    blocks = -(-len(data) // (_BLOCK + 1))  # of the whole tensor: their exponents stand before all values
    exponents = np.frombuffer(data, dtype=np.int8, count=_blocks(count), offset=begin)
    values = np.frombuffer(data, dtype=np.int8, count=count, offset=blocks + first).astype(np.float32)
    scales = np.ldexp(np.float32(1.0), exponents.astype(np.int32))
    whole = count - count % _BLOCK
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which the receiver's check names
        values[:whole].reshape(-1, _BLOCK)[...] *= scales[: whole // _BLOCK, None]
        values[whole:] *= scales[whole // _BLOCK :]
    return values


#: The closed table. A codec that is not here does not exist.
CODECS: Mapping[str, Codec] = {
    "float32": Codec("float32", lambda count: 4 * count, _encode_float32, _decode_float32),
    "float16-scaled": Codec(
        "float16", lambda count: _SCALE_BYTES + 2 * count, _encode_float16_scaled, _decode_float16_scaled, _check_scale
    ),
    "int8-stochastic": Codec("int8", lambda count: _blocks(count) + count, _encode_int8, _decode_int8),
}
GROUP_CODEC = "float16-scaled"
UPDATE_CODEC = "int8-stochastic"


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


class AsSent(Mapping[str, Array]):
    """A group as those see it who are sent it: every access rounds one array anew, and no two are held at once.

    Server and sites call a group by the digest of this, so that it has one name at both ends.
    """

    def __init__(self, arrays: GroupArrays) -> None:
        self._arrays = arrays

    def __getitem__(self, name: str) -> Array:
        return decode_tensor(encode_tensor(self._arrays[name], GROUP_CODEC))

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


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

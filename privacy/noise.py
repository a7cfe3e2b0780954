"""Secret randomness: Gaussians and coins from a cipher stream that only the operating system has keyed.

A sampler that someone can replay voids amplification, and noise that someone can replay is no noise. So there is
no seed here at all: the key comes from the OS, is never written, and the stream can be neither copied, pickled nor
used in a forked process. Tests replace the class, not the seed.

Guarantees, each proved in tests/privacy/test_noise.py:
1. Gaussians have mean 0, variance 1, the normal distribution and no correlation between neighbours.
2. A coin lands heads with the stated probability to 2**-64, independently.
3. No two streams, forks of one stream, or calls share a draw.

Limits. Values are at most 9.41 standard deviations wide, in both precisions; beyond lie 5e-21 of the mass. They are
floating-point numbers and not all of the reals: which sums of a floating-point number and such noise can come out
depends on the number, so low-order bits of an unrounded release may tell what was summed (Mironov 2012). Releases are
rounded to 8 bits before they leave, which hides most of it and proves nothing. `MechanismConfig.lattice` is the
mitigation that proves: there, noise is drawn in float64 and rounded to a fixed lattice on which the sums lie already.
What remains then is that a lattice point's probability is that of a float64 normal: right to some parts in 2**52 of the
scale over the step (clipping.py: about 1e-9). An exact sampler of discrete normals (Canonne, Kamath, Steinke 2020)
would remove it; none with vector speed was found.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NoReturn, Self

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from privacy.errors import ConfigInvalid, MechanismMisused

BLOCK = 1 << 15
"""Pairs of Gaussians computed at a time: small enough for the cache, large enough to forget Python."""
TURN = 2 * np.pi


class NoiseStream:
    """An AES-256-CTR keystream with a fresh key from the OS. It has no seed parameter."""

    def __init__(self) -> None:
        self._start(os.urandom(32))

    def _start(self, secret: bytes) -> None:
        self._secret = secret
        self._forks = 0
        self._process = os.getpid()
        cipher_key = hmac.digest(secret, b"fedm2g keystream", hashlib.sha256)
        # A key serves one stream only, so the counter may start at zero.
        self._cipher = Cipher(algorithms.AES(cipher_key), modes.CTR(bytes(16))).encryptor()

    def fork(self, label: str) -> Self:
        """A stream of the same class, independent of this one and of every other fork, equal labels included."""
        self._require_own_process()
        self._forks += 1
        child = object.__new__(type(self))
        child._start(hmac.digest(self._secret, f"fork {self._forks} {label}".encode(), hashlib.sha256))
        return child

    def words(self, count: int, dtype: type[np.unsignedinteger[Any]]) -> np.ndarray:
        """`count` uniform unsigned words, never given out before."""
        self._require_own_process()
        size = count * np.dtype(dtype).itemsize
        buffer = np.empty(size + 16, np.uint8)  # the cipher asks for a block to spare
        self._cipher.update_into(bytes(size), buffer.data)
        return buffer[:size].view(dtype)

    def gaussian(self, shape: int | Sequence[int], dtype: type[np.floating[Any]] = np.float32) -> np.ndarray:
        """Independent standard normals of that shape, float32 or float64, by Box and Muller."""
        if dtype not in (np.float32, np.float64):
            raise ConfigInvalid(
                "Gaussian noise is drawn in float32 or float64: anything coarser is visible in the release."
            )
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        count = int(np.prod(shape, dtype=np.int64))
        values = np.empty(count + count % 2, dtype)
        for first in range(0, values.size, 2 * BLOCK):
            self._fill(values[first : first + 2 * BLOCK])
        return values[:count].reshape(shape)

    def _fill(self, out: np.ndarray) -> None:
        """Fill an even-sized array with standard normals: radius from one word, angle from another.

        The radius is computed in float64 from 63 bits whatever the precision of `out`: tails must not be coarse.
        """
        pairs = out.size // 2
        radius = self._open_unit(pairs)
        np.log(radius, out=radius)
        radius *= -2.0
        np.sqrt(radius, out=radius)
        if out.dtype == np.float32:
            angle = self.words(pairs, np.uint32).astype(np.float32)
            angle *= np.float32(TURN * 2.0**-32)
            np.cos(angle, out=out[:pairs])
            np.sin(angle, out=out[pairs:])
        else:
            turned = torch.from_numpy(self._open_unit(pairs)).mul_(TURN)  # torch: five times numpy's speed in float64
            torch.cos(turned, out=torch.from_numpy(out[:pairs]))
            torch.sin(turned, out=torch.from_numpy(out[pairs:]))
        radius = radius.astype(out.dtype, copy=False)
        out[:pairs] *= radius
        out[pairs:] *= radius

    def _open_unit(self, count: int) -> np.ndarray:
        """Uniform float64 above 0 and at most 1, from 63 bits each: (k + 1/2) / 2**63."""
        bits = self.words(count, np.uint64) >> np.uint64(1)
        unit = bits.view(np.int64).astype(np.float64)  # signed words convert ten times as fast
        unit += 0.5
        unit *= 2.0**-63
        return unit

    def bernoulli(self, count: int, probability: float) -> np.ndarray:
        """`count` independent coins, (count,) bool, True with that probability to 2**-64."""
        if not 0.0 <= probability <= 1.0:
            raise ConfigInvalid("A probability lies between 0 and 1.")
        words = self.words(count, np.uint64)
        threshold = int(Fraction(probability) * 2**64)
        return np.ones(count, bool) if threshold >= 2**64 else words < np.uint64(threshold)

    def subset(self, count: int, size: int) -> np.ndarray:
        """`size` places out of `count`, (size,), in no order; every subset of that size is equally likely to 2**-64."""
        return np.argsort(self.words(count, np.uint64), kind="stable")[:size]

    def _require_own_process(self) -> None:
        if os.getpid() != self._process:
            raise MechanismMisused("This noise stream came with a fork: make a new one in the process that uses it.")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise MechanismMisused("A noise stream cannot be copied or pickled: two owners would draw the same noise.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(secret)"

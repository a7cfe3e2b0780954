"""Planes come onto the store's square as MONAI's `Resize` would bring them there."""

from __future__ import annotations

import numpy as np
import pytest

from client.records.resample import to_store


@pytest.mark.parametrize("shape", [(512, 512), (300, 512), (40, 24), (64, 200)])
def test_a_plane_is_resized_as_monai_does(shape: tuple[int, int]) -> None:
    from monai.transforms import Resize

    plane = np.random.default_rng(0).uniform(-1000, 2000, shape).astype(np.float32)
    stored = to_store(plane, size=64, least=-1024.0)
    scale = 64 / max(shape)
    fitted = tuple(round(side * scale) for side in shape)
    mode = "area" if scale <= 1 else "bilinear"
    expected = np.rint(np.asarray(Resize(fitted, mode=mode)(plane[None])[0]))
    top, left = ((64 - side) // 2 for side in fitted)
    assert stored.shape == (64, 64) and stored.dtype == np.int16
    assert np.array_equal(stored[top : top + fitted[0], left : left + fitted[1]], expected)


def test_a_plane_of_the_store_s_size_comes_out_as_it_went_in() -> None:
    plane = np.arange(64 * 64, dtype=np.float32).reshape(64, 64) - 1024
    assert np.array_equal(to_store(plane, size=64, least=0.0), plane)

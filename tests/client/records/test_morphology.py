"""Ours against scipy's, bit for bit: masks and images of every shape, whole, empty, thin and cut off at an edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from client.records.intensity import percentiles
from client.records.morphology import brighter_than_around, darker_than_around, dilated, eroded, filled, near_outside

SIDES = st.integers(1, 24)


@st.composite
def masks(draw: st.DrawFn, *, dimensions: int = 2) -> np.ndarray:
    """Blobs of any coarseness."""
    shape = tuple(draw(SIDES) for _ in range(dimensions))
    noise = np.random.default_rng(draw(st.integers(0, 999))).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, draw(st.floats(0.1, 3.0)))
    return np.asarray(smooth > np.quantile(smooth, draw(st.floats(0.0, 1.0))) - 1e-12 * draw(st.integers(0, 1)))


@given(mask=st.one_of(masks(), masks(dimensions=3)), times=st.integers(1, 3))
def test_dilation_and_erosion(mask: np.ndarray, times: int) -> None:
    assert np.array_equal(dilated(mask, times), ndimage.binary_dilation(mask, iterations=times))
    assert np.array_equal(eroded(mask, times), ndimage.binary_erosion(mask, iterations=times))


@given(mask=masks())
def test_holes(mask: np.ndarray) -> None:
    assert np.array_equal(filled(mask), ndimage.binary_fill_holes(mask))


@settings(max_examples=300)
@example(mask=np.ones((40, 127), dtype=bool), distance=12.0, spacing=(0.5, 0.5))  # with its margins 129: past a byte
@example(mask=np.ones((40, 300), dtype=bool), distance=200.0, spacing=(1.0, 1.0))
@given(
    mask=masks(),
    distance=st.sampled_from([0.0, 3.0, 5.0, 12.0, 15.0]) | st.floats(0.0, 20.0),
    spacing=st.tuples(*[st.sampled_from([1e-9, 0.5, 0.7, 1.0, 2.0, 3.0, 30.0]) | st.floats(0.3, 3.0)] * 2),
)
def test_nearness_to_what_lies_outside(mask: np.ndarray, distance: float, spacing: tuple[float, float]) -> None:
    """The array's own edge is an outside too, and 3, 4, 5 pixels make a triangle that is just near enough."""
    deep = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1]
    assert np.array_equal(near_outside(mask, distance, spacing), deep <= distance)


@pytest.mark.parametrize("width", [3, 5, 7, 13])
@given(plane=arrays(np.float32, st.tuples(SIDES, SIDES), elements=st.floats(0, 1, width=32)))
def test_what_stands_out_of_what_is_beside_it(plane: np.ndarray, width: int) -> None:
    assert np.array_equal(brighter_than_around(plane, width), ndimage.white_tophat(plane, size=(width, width)))
    assert np.array_equal(darker_than_around(plane, width), ndimage.black_tophat(plane, size=(width, width)))


@given(plane=arrays(np.float32, st.tuples(SIDES, SIDES), elements=st.floats(-1000, 3000, width=32)))
def test_percentiles(plane: np.ndarray) -> None:
    shares = [0.0, 0.5, 50.0, 99.5, 100.0]
    np.testing.assert_allclose(percentiles(plane, shares), np.percentile(plane, shares), rtol=1e-5, atol=1e-3)

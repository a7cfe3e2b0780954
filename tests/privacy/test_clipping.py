"""Clipping and the sum: the edge-case table of privacy/clipping.py, row by row."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.clipping import ClippedSum, clip_weights
from privacy.errors import ConfigInvalid, MechanismMisused
from privacy.gradients import PatientGradients


def rows_of(**rows: torch.Tensor) -> PatientGradients:
    count = len(next(iter(rows.values())))
    gradients = PatientGradients(count)
    gradients.add(torch.arange(count), rows)
    return gradients


def summed(
    gradients: PatientGradients, parameters: dict[str, torch.Tensor], clipping_norm: float
) -> dict[str, torch.Tensor]:
    clipped = ClippedSum(parameters, clipping_norm=clipping_norm)
    clipped.fold(gradients)
    return clipped.values()


def norm(values: dict[str, torch.Tensor]) -> float:
    return math.sqrt(sum(float(value.double().square().sum()) for value in values.values()))


def test_a_short_gradient_enters_as_it_is() -> None:
    gradient = torch.tensor([[0.3, 0.4]])
    assert torch.equal(summed(rows_of(w=gradient), {"w": torch.zeros(2)}, 1.0)["w"], gradient[0].double())


@given(st.floats(1e-3, 1e15), st.floats(1e-6, 1e6), st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=60, deadline=None)
def test_whatever_the_gradient_the_norm_over_all_parameters_is_at_most_the_clipping_norm(
    scale: float, clipping_norm: float, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(1)
    rows = {name: torch.randn(1, size, generator=generator).to(dtype) * scale for name, size in (("a", 700), ("b", 31))}
    parameters = {name: torch.zeros(row.shape[1:], dtype=dtype) for name, row in rows.items()}
    moved = norm(summed(rows_of(**rows), parameters, clipping_norm))
    assert moved <= clipping_norm
    long = norm(rows) > clipping_norm
    assert not long or moved > clipping_norm * 0.9999


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf"), 3e38])
def test_a_patient_that_is_not_finite_or_overflows_counts_as_zero_and_spoils_nobody(poison: float) -> None:
    good = torch.tensor([0.3, 0.4])
    rows = torch.stack([good, torch.tensor([poison, poison]), good])
    values = summed(rows_of(w=rows), {"w": torch.zeros(2)}, 1.0)["w"]
    assert torch.allclose(values, 2 * good.double())


@pytest.mark.parametrize("size", [255, 256, 4_000_003])
def test_a_norm_over_millions_of_numbers_is_not_too_small(size: int) -> None:
    """Planted by the last size: float32 adds up four million equal squares to a thousandth less than they are."""
    row = torch.full((1, size), 0.1)
    exact = float(row.double().norm())
    assert math.sqrt(float(rows_of(w=row).squared_norms())) == pytest.approx(exact, rel=7.7e-6)
    assert norm(summed(rows_of(w=row), {"w": torch.zeros(size)}, 1.0)) <= 1.0
    if size > 1_000_000:
        assert float(torch.linalg.vector_norm(row, dim=1)) < exact * (1 - 1e-4), "the plain norm, which was used before"


def test_sums_over_many_patients_do_not_round() -> None:
    """Sixteen million and one patients of gradient one, in float32, are sixteen million and none."""
    clipped = ClippedSum({"w": torch.zeros(1)}, clipping_norm=1e9)
    clipped.fold(rows_of(w=torch.tensor([[2.0**24], [1.0]])))
    assert clipped.values()["w"].item() == 2.0**24 + 1


# --- on a lattice ----------------------------------------------------------------------------------------------------


def lattice_sum(rows: torch.Tensor, clipping_norm: float, *, chunk: int) -> ClippedSum:
    clipped = ClippedSum({"w": torch.zeros(rows.shape[1], dtype=rows.dtype)}, clipping_norm=clipping_norm, lattice=True)
    for part in rows.split(chunk):
        clipped.fold(rows_of(w=part))
    return clipped


@pytest.mark.parametrize("clipping_norm", [0.3, 1.0, 1e-3])
def test_on_a_lattice_sums_are_whole_numbers_and_exact_in_any_order(clipping_norm: float) -> None:
    rows = torch.randn(40, 300, generator=torch.Generator().manual_seed(3)) * 10 ** torch.linspace(-6, 6, 40)[:, None]
    one, other = lattice_sum(rows, clipping_norm, chunk=40), lattice_sum(rows.flip(0), clipping_norm, chunk=3)
    counts = one.counts()["w"]
    assert torch.equal(counts, counts.round()) and torch.equal(counts, other.counts()["w"])
    assert counts.abs().max() > 1000, "fine enough to carry the signal"
    plain = ClippedSum({"w": torch.zeros(300)}, clipping_norm=clipping_norm)
    plain.fold(rows_of(w=rows))
    assert (one.values()["w"] - plain.values()["w"]).norm() < 1e-3 * 40 * clipping_norm


def test_on_a_lattice_a_patient_moves_the_sum_by_at_most_the_clipping_norm_in_whole_numbers() -> None:
    """Integer arithmetic: no rounding hides anything. Cutting towards zero keeps it below: see the next test."""
    rows = torch.randn(9, 500, generator=torch.Generator().manual_seed(4)) * 5
    whole = lattice_sum(rows, 1.0, chunk=4)
    assert whole.lattice_step is not None
    for gone in range(9):
        rest = lattice_sum(torch.cat([rows[:gone], rows[gone + 1 :]]), 1.0, chunk=4)
        moved = (whole.counts()["w"] - rest.counts()["w"]).to(torch.int64)
        assert float((moved * moved).sum()) * whole.lattice_step**2 <= 1.0


def test_planted_rounding_to_the_nearest_would_exceed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coordinates just above half a step, on a coarse lattice: nearest doubles the norm, towards zero erases it."""
    from privacy import clipping

    monkeypatch.setattr(clipping, "LATTICE_BITS", 0)
    step = clipping.lattice_step_for(1.0, 1000)
    row = torch.full((1, 1000), 0.51 * step)
    assert not lattice_sum(row, 1.0, chunk=1).counts()["w"].any()
    monkeypatch.setattr(torch.Tensor, "trunc_", torch.Tensor.round_)
    rounded = lattice_sum(row, 1.0, chunk=1).values()["w"]
    assert rounded.norm() > 1.9 * row.double().norm()


def test_the_lattice_depends_on_public_numbers_only() -> None:
    from privacy.clipping import LATTICE_BITS, lattice_step_for

    for clipping_norm, coordinates in ((1.0, 1), (0.4, 1_000_003), (1e-3, 7)):
        step = lattice_step_for(clipping_norm, coordinates)
        assert math.log2(step) == int(math.log2(step)), "a power of two: division by it is exact"
        assert 0.5 <= step * math.sqrt(coordinates) * 2**LATTICE_BITS / clipping_norm <= 1.0
    with pytest.raises(MechanismMisused):
        ClippedSum({"w": torch.zeros(1)}, clipping_norm=1.0).counts()


def test_zero_and_missing_gradients_enter_as_zero() -> None:
    assert not summed(rows_of(w=torch.zeros(3, 2)), {"w": torch.zeros(2)}, 1.0)["w"].any()
    assert not summed(PatientGradients(2), {"w": torch.zeros(2)}, 1.0)["w"].any()
    assert not summed(PatientGradients(0), {"w": torch.zeros(2)}, 1.0)["w"].any()


def test_weights_lie_between_zero_and_one() -> None:
    weights = clip_weights(
        torch.tensor([0.0, 1e-300, 1.0, 4.0, 1e300, math.inf, math.nan], dtype=torch.float64), clipping_norm=1.0
    )
    assert ((weights >= 0) & (weights <= 1)).all()
    assert weights[3].item() == pytest.approx(0.5, rel=1e-4)
    assert weights[5:].tolist() == [0.0, 0.0]


def test_two_terms_of_one_patient_are_added_before_the_norm_is_taken() -> None:
    gradients = PatientGradients(2)
    gradients.add(torch.tensor([0]), {"w": torch.tensor([[3.0, 0.0]])})
    gradients.add(torch.tensor([0, 1]), {"w": torch.tensor([[-3.0, 0.5], [0.0, 0.5]])})
    gradients.add(torch.tensor([1, 1]), {"v": torch.tensor([[1.0], [-1.0]])})
    assert gradients.squared_norms().tolist() == [0.25, 0.25]
    values = summed(gradients, {"w": torch.zeros(2), "v": torch.zeros(1)}, 1.0)
    assert values["w"].tolist() == [0.0, 1.0] and values["v"].tolist() == [0.0]


def test_the_sum_knows_its_sensitivity() -> None:
    assert ClippedSum({"w": torch.zeros(1)}, clipping_norm=0.7).sensitivity == 0.7


def test_half_precision_or_no_parameters_are_refused() -> None:
    for parameters in ({"w": torch.zeros(1, dtype=torch.float16)}, {"w": torch.zeros(1, dtype=torch.bfloat16)}, {}):
        with pytest.raises(ConfigInvalid):
            ClippedSum(parameters, clipping_norm=1.0)


def test_a_gradient_of_something_else_is_refused() -> None:
    with pytest.raises(MechanismMisused):
        summed(rows_of(other=torch.zeros(1, 2)), {"w": torch.zeros(2)}, 1.0)

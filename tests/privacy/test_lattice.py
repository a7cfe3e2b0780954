"""Releases on a lattice: sum and noise are whole numbers of steps, and no low-order bit tells who was there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from privacy.clipping import lattice_step_for
from privacy.mechanism import Mechanism
from privacy.noise import NoiseStream
from tests.privacy.releases import SIZE, has_stated_scale, one_release


def on_lattice(site: Any, doubles: SimpleNamespace, size: int, **changes: Any) -> tuple[torch.Tensor, float]:
    """A release of `size` numbers, in lattice steps, and the step."""
    gradient = torch.randn(size, generator=torch.Generator().manual_seed(1)).double()
    loss = doubles.FixedLoss({"p": gradient})
    mechanism = site.mechanism(["p"], lattice=True, **changes)
    step = lattice_step_for(1.0, size)
    value = one_release(mechanism, loss, {"w": torch.zeros(size, dtype=torch.float64)})
    return value * 20 / step, step


def test_on_a_lattice_every_release_is_a_whole_number_of_steps(site: Any, doubles: SimpleNamespace) -> None:
    counts, _ = on_lattice(site, doubles, 5000)
    assert (counts - counts.round()).abs().max() < 1e-6 and counts.abs().max() > 1e4


def test_without_a_lattice_releases_tell_more_than_whole_steps(site: Any, doubles: SimpleNamespace) -> None:
    """What the mitigation takes away: a plain release lies anywhere among the floating-point numbers."""
    loss = doubles.FixedLoss({"p": torch.ones(5000).double()})
    value = one_release(site.mechanism(["p"]), loss, {"w": torch.zeros(5000, dtype=torch.float64)})
    counts = value * 20 / lattice_step_for(1.0, 5000)
    assert (counts - counts.round()).abs().mean() > 0.1


@pytest.mark.parametrize("scale", [1.0, 2 / 3, 3 / 2])
def test_on_a_lattice_the_noise_has_the_stated_scale_and_no_other(
    site: Any, doubles: SimpleNamespace, scale: float
) -> None:
    stream = NoiseStream if scale == 1.0 else doubles.scaled_stream(scale)
    loss = doubles.FixedLoss({"p": torch.zeros(SIZE)})
    mechanism = site.mechanism(["p"], clipping_norm=0.5, stream=stream, lattice=True)
    value = one_release(mechanism, loss, {"w": torch.zeros(SIZE)})
    assert value.dtype == torch.float32
    assert has_stated_scale(value, 2.0 * 0.5 / 20) == (scale == 1.0)


def test_on_a_lattice_the_release_is_the_clipped_sum_but_for_a_thousandth_of_its_norm(
    site: Any, doubles: SimpleNamespace
) -> None:
    counts, step = on_lattice(site, doubles, 5000, stream=doubles.SilentStream)
    gradient = torch.randn(5000, generator=torch.Generator().manual_seed(1)).double()
    clipped = gradient / gradient.norm()
    assert (counts * step - clipped).norm() < 1e-3
    assert (counts * step).norm() <= 1.0


def test_planted_noise_beside_the_lattice_is_noticed(site: Any, doubles: SimpleNamespace) -> None:
    """The fault: the sum lies on the lattice, the noise does not, and low-order bits tell the sum again."""

    class Beside(Mechanism):
        def _noised_mean(self, clipped: Any) -> dict[str, torch.Tensor]:
            noise = {name: torch.randn(value.shape) * 2.0 for name, value in clipped.values().items()}
            return {name: (value + noise[name]) / 20 for name, value in clipped.values().items()}

    mechanism = site.mechanism(["p"], lattice=True)
    mechanism.__class__ = Beside
    loss = doubles.FixedLoss({"p": torch.ones(5000).double()})
    counts = one_release(mechanism, loss, {"w": torch.zeros(5000, dtype=torch.float64)}) * 20
    counts = counts / lattice_step_for(1.0, 5000)
    assert (counts - counts.round()).abs().mean() > 0.1

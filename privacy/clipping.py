"""Clipping: one patient moves the sum by at most the clipping norm, whatever its gradient is.

| a patient's gradient | what enters the sum |
| --- | --- |
| norm at most C | itself |
| norm above C | scaled to norm C |
| zero, or no term at all | zero |
| infinite, not a number, or a norm too large for its precision | zero |

The norm is taken over all parameters together. Gradients keep their own precision; norms and sums go on in float64,
so that neither the number of parameters nor the number of patients lets rounding carry the sum's move above C.

With a lattice step g every patient's clipped gradient is cut towards zero to multiples of g. It only gets shorter, so
the sensitivity stays C; and whole numbers add up exactly, so that the move is C in the arithmetic of the machine too,
whatever the order. That is half of the answer to Mironov (2012); `mechanism.py` adds the noise on the same lattice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from privacy.errors import ConfigInvalid, MechanismMisused
from privacy.gradients import PatientGradients

ROUNDING_MARGIN = 1e-5
"""Clipped gradients end this much (relative) below C: more than the norm can err (gradients.py: 7.7e-6) and than the
product of weight and gradient and sums of float64 add to it."""
LATTICE_BITS = 10
"""A lattice step is between C / (sqrt(d) 2**10) and half of it: what cutting takes away from a coordinate is a
thousandth of its share of C, and the noise (z C on every coordinate) is at least z sqrt(d) 2**10 steps wide."""


def clip_weights(squared_norms: Tensor, *, clipping_norm: float) -> Tensor:
    """Factor in [0, 1] for each patient, (patients,) float64, from the squared norms of their whole gradients."""
    inner = clipping_norm * (1.0 - ROUNDING_MARGIN)
    weights = (inner / squared_norms.sqrt()).clamp(max=1.0)  # zero norm: infinity, clamped to one
    return torch.where(squared_norms.isfinite(), weights, torch.zeros_like(weights))


def lattice_step_for(clipping_norm: float, coordinates: int) -> float:
    """The lattice's step, a power of two: it depends on public numbers only, and division by it is exact."""
    return 2.0 ** math.floor(math.log2(clipping_norm / math.sqrt(coordinates)) - LATTICE_BITS)


class ClippedSum:
    """A sum over patients that knows by how much one patient can move it."""

    def __init__(self, parameters: Mapping[str, Tensor], *, clipping_norm: float, lattice: bool = False) -> None:
        if not parameters:
            raise ConfigInvalid("There are no parameters to train: name at least one group.")
        for name, parameter in parameters.items():
            if parameter.dtype not in (torch.float32, torch.float64):
                raise ConfigInvalid(f"Parameter {name} must be float32 or float64 while it is trained privately.")
        coordinates = sum(parameter.numel() for parameter in parameters.values())
        self.lattice_step = lattice_step_for(clipping_norm, max(1, coordinates)) if lattice else None
        """Distance between neighbouring values of the sum; None where it is a plain floating-point sum."""
        self._clipping_norm = clipping_norm
        self._noise_dtypes: dict[str, type[np.floating[Any]]] = {
            name: np.float64 if value.dtype == torch.float64 else np.float32 for name, value in parameters.items()
        }
        self._sums = {
            name: torch.zeros_like(value, dtype=torch.float64, requires_grad=False)
            for name, value in parameters.items()
        }

    def noise_dtype(self, name: str) -> type[np.floating[Any]]:
        """Precision of the noise on a parameter: its own."""
        return self._noise_dtypes[name]

    @property
    def sensitivity(self) -> float:
        """Largest L2 distance between two sums that differ by one patient."""
        return self._clipping_norm

    def fold(self, gradients: PatientGradients) -> None:
        """Clip each patient's gradient and add it. The rows are not needed afterwards."""
        weights = clip_weights(gradients.squared_norms(), clipping_norm=self._clipping_norm)
        for name, value in gradients.weighted_sums(weights, lattice_step=self.lattice_step):
            if name not in self._sums:
                raise MechanismMisused(
                    f"The loss differentiates {name}, which is not among the parameters of this step."
                )
            self._sums[name] += value

    def values(self) -> dict[str, Tensor]:
        """The sums, by parameter, in float64. Nothing here may leave before noise is added."""
        if self.lattice_step is None:
            return self._sums
        return {name: value * self.lattice_step for name, value in self._sums.items()}

    def counts(self) -> dict[str, Tensor]:
        """The sums in whole lattice steps (float64, exact below 2**53). Raises MechanismMisused without a lattice."""
        if self.lattice_step is None:
            raise MechanismMisused("This sum does not lie on a lattice: build it with `lattice=True`.")
        return self._sums

"""Clipping: one patient moves the sum by at most the clipping norm, whatever its gradient is.

| a patient's gradient | what enters the sum |
| --- | --- |
| norm at most C | itself |
| norm above C | scaled to norm C |
| zero, or no term at all | zero |
| infinite, not a number, or a norm too large for its precision | zero |

The norm is taken over all parameters together. Gradients keep their own precision; sums are at least float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from privacy.errors import ConfigInvalid, MechanismMisused
from privacy.gradients import PatientGradients

ROUNDING_MARGIN = 1e-5
"""Clipped gradients end this much (relative) below C, so that rounding in norms and sums cannot carry them above it."""


def clip_weights(squared_norms: Tensor, *, clipping_norm: float) -> Tensor:
    """Factor in [0, 1] for each patient, (patients,) float64, from the squared norms of their whole gradients."""
    inner = clipping_norm * (1.0 - ROUNDING_MARGIN)
    weights = (inner / squared_norms.sqrt()).clamp(max=1.0)  # zero norm: infinity, clamped to one
    return torch.where(squared_norms.isfinite(), weights, torch.zeros_like(weights))


class ClippedSum:
    """A sum over patients that knows by how much one patient can move it."""

    def __init__(self, parameters: Mapping[str, Tensor], *, clipping_norm: float) -> None:
        if not parameters:
            raise ConfigInvalid("There are no parameters to train: name at least one group.")
        for name, parameter in parameters.items():
            if parameter.dtype not in (torch.float32, torch.float64):
                raise ConfigInvalid(f"Parameter {name} must be float32 or float64 while it is trained privately.")
        self._clipping_norm = clipping_norm
        self._sums = {name: torch.zeros_like(value, requires_grad=False) for name, value in parameters.items()}

    @property
    def sensitivity(self) -> float:
        """Largest L2 distance between two sums that differ by one patient."""
        return self._clipping_norm

    def fold(self, gradients: PatientGradients) -> None:
        """Clip each patient's gradient and add it. The rows are not needed afterwards."""
        weights = clip_weights(gradients.squared_norms(), clipping_norm=self._clipping_norm)
        for name, value in gradients.weighted_sums(weights).items():
            if name not in self._sums:
                raise MechanismMisused(
                    f"The loss differentiates {name}, which is not among the parameters of this step."
                )
            self._sums[name] += value

    def values(self) -> dict[str, Tensor]:
        """The sums, by parameter. Nothing here may leave before noise is added."""
        return self._sums

"""Per-patient gradients of one chunk, kept as small as they are.

A patient's gradient is the sum of its terms' gradients over all parameters. Terms of different kinds usually touch
different parameters, so each parameter keeps only rows of the patients that touched it; where two terms of one patient
meet in a parameter, their rows are added *before* any norm is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

NORM_BLOCK = 256
"""Numbers whose squares are added in the gradient's own precision; block by block it goes on in float64. A float32 norm
over millions of numbers may come out too small by 1 %, and the clip would then let through more than C."""

SUM_BLOCK = 1 << 16
"""Numbers of all rows together that are added up at once: half a megabyte in float64."""


class PatientGradients:
    """Rows of gradients by parameter, each row owned by a patient numbered within the chunk."""

    def __init__(self, patients: int) -> None:
        self.patients = patients
        self._rows: dict[str, tuple[Tensor, Tensor]] = {}  # name -> owners (rows,), gradients (rows, *shape)

    def add(self, owners: Tensor, gradients: Mapping[str, Tensor]) -> None:
        """Add rows: `owners` (rows,) of patient numbers, each gradient (rows, *shape)."""
        for name, rows in gradients.items():
            if name not in self._rows and len(owners.unique()) == len(owners):
                self._rows[name] = (owners, rows)
            else:
                self._rows[name] = self._merged(name, owners, rows)

    def _merged(self, name: str, owners: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """One row for every patient of the chunk, with everything added up."""
        dense = rows.new_zeros(self.patients, *rows.shape[1:])
        everybody = torch.arange(self.patients, device=rows.device)
        if name in self._rows:
            dense.index_add_(0, *self._rows.pop(name))
        return everybody, dense.index_add_(0, owners, rows)

    def squared_norms(self) -> Tensor:
        """Squared L2 norm of each patient's whole gradient, (patients,) float64; not finite where a gradient is not.

        Relative error at most (NORM_BLOCK + 1) 2**-24, so half of that (7.7e-6) in the norm, for any number of
        parameters (N. Higham, Accuracy and Stability, section 3.1: sums of n squares err by at most n units in the last
        place).
        """
        total: Tensor | None = None
        for owners, rows in self._rows.values():
            squares = squared_norms_of(rows.flatten(1))
            total = squares.new_zeros(self.patients) if total is None else total
            total.index_add_(0, owners, squares)
        return torch.zeros(self.patients, dtype=torch.float64) if total is None else total

    def weighted_sums(self, weights: Tensor, *, lattice_step: float | None = None) -> Iterator[tuple[str, Tensor]]:
        """Sum over patients of weight times gradient, parameter by parameter, in float64: one at a time, for all of
        them together are twice the model's size. A weight of zero erases whatever the row holds.

        With `lattice_step`, each patient's weighted gradient is first cut, towards zero and so never longer, to whole
        multiples of the step; the result counts those multiples, and such sums are exact in any order.
        """
        for name, (owners, rows) in self._rows.items():
            own = weights.to(owners.device, torch.float64)[owners]
            counted = own != 0  # zero times infinity is not a number
            own, kept = (own, rows) if bool(counted.all()) else (own[counted], rows[counted])
            total = torch.zeros(rows.shape[1:], dtype=torch.float64, device=rows.device)
            if lattice_step is None:
                _add_weighted(total.view(-1), own, kept.reshape(len(kept), total.numel()))
            else:
                for weight, row in zip(own.tolist(), kept, strict=True):
                    total.add_((row * (weight / lattice_step)).trunc_())
            yield name, total


def _add_weighted(total: Tensor, weights: Tensor, flat: Tensor) -> None:
    """Add weights (rows,) times flat (rows, numbers) to total, in float64; a few columns at a time, which stay in the
    processor's cache: a float64 copy of all rows would be twice their size."""
    columns = max(1, SUM_BLOCK // max(1, len(flat)))
    for first in range(0, len(total), columns):
        total[first : first + columns].addmv_(flat[:, first : first + columns].double().T, weights)


def squared_norms_of(flat: Tensor) -> Tensor:
    """Squared L2 norm of each row of (rows, numbers), in float64."""
    if flat.dtype == torch.float64:
        return torch.linalg.vector_norm(flat, dim=1).square()
    whole = flat.shape[1] // NORM_BLOCK * NORM_BLOCK
    blocks = flat[:, :whole].reshape(len(flat), -1, NORM_BLOCK)
    squares = torch.linalg.vector_norm(blocks, dim=2).double().square().sum(1)
    return squares + torch.linalg.vector_norm(flat[:, whole:], dim=1).double().square()

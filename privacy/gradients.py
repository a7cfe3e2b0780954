"""Per-patient gradients of one chunk, kept as small as they are.

A patient's gradient is the sum of its terms' gradients over all parameters. Terms of different kinds usually touch
different parameters, so each parameter keeps only rows of the patients that touched it; where two terms of one patient
meet in a parameter, their rows are added *before* any norm is taken.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


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
        """Squared L2 norm of each patient's whole gradient, (patients,) float64; not finite where a gradient is not."""
        total: Tensor | None = None
        for owners, rows in self._rows.values():
            squares = torch.linalg.vector_norm(rows.flatten(1), dim=1).double().square()
            total = squares.new_zeros(self.patients) if total is None else total
            total.index_add_(0, owners, squares)
        return torch.zeros(self.patients, dtype=torch.float64) if total is None else total

    def weighted_sums(self, weights: Tensor) -> dict[str, Tensor]:
        """Sum over patients of weight times gradient, by parameter. A weight of zero erases whatever the row holds."""
        erased = bool((weights == 0).any())
        sums = {}
        for name, (owners, rows) in self._rows.items():
            own = weights[owners].to(rows.dtype)
            flat = rows.flatten(1)
            if erased:  # zero times infinity is not a number
                flat = torch.where((own == 0).unsqueeze(1), torch.zeros((), dtype=rows.dtype, device=rows.device), flat)
            sums[name] = (own @ flat).view(rows.shape[1:])
        return sums

"""Gradient inversion: what of a patient can be read back from one update.

Two attacks on the gradient of one patient.

**Analytic (row ratio).** In a layer y = W x + b the gradients are dL/dW = d x^T and dL/db = d, so any row of dL/dW over
its entry of dL/db is x itself; over several inputs it is their average weighted by d. Rows are combined by least
squares: x = (dL/dW)^T d / |d|^2. Clipping scales both alike and protects nothing.

**Optimisation.** Find x whose own gradient points the same way: minimise 1 - cos(grad(x), g) + tv * TV(x), from several
starts, by Adam (Geiping et al. 2020).

Statement. `similarity` is the correlation (centred cosine) of what was recovered with the truth. The baseline is the
same recovery against *another* patient's truth: an attack has read something of this patient only where its own
similarity exceeds the shuffled ones. `read_back` gives the exact p-value of that under exchange of patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from privacy.errors import ConfigInvalid

GradientOf = Callable[[Tensor], Sequence[Tensor]]
"""From a guess of the input to the gradient it would give, differentiable in the guess."""


@dataclass(frozen=True)
class ReadBack:
    """How well patients were recovered, beside the chance level."""

    own: float
    """Median similarity of a recovery with its own patient."""
    shuffled: float
    """Median similarity with other patients."""
    p_value: float
    """Of so large a mean similarity, if recoveries belong to nobody in particular."""
    patients: int


def row_ratio(weight_gradient: Tensor, bias_gradient: Tensor) -> Tensor:
    """(in,): the input of a linear layer, from its gradients (out, in) and (out,). Zero where there is no gradient."""
    if weight_gradient.shape[:1] != bias_gradient.shape:
        raise ConfigInvalid("A layer's weight and bias must have gradients of the same number of rows.")
    weight, bias = weight_gradient.double(), bias_gradient.double()
    return weight.T @ bias / bias.square().sum().clamp_min(torch.finfo(torch.float64).tiny)


def optimised(
    gradient: Sequence[Tensor],
    gradient_of: GradientOf,
    shape: Sequence[int],
    *,
    steps: int = 200,
    starts: int = 2,
    learning_rate: float = 0.1,
    total_variation: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """The guess whose gradient points most nearly the way of `gradient`; (shape). Best of `starts` random starts."""
    random = torch.Generator().manual_seed(seed)
    best, least = torch.zeros(*shape), float("inf")
    for _ in range(starts):
        guess = torch.randn(*shape, generator=random).requires_grad_()
        optimizer = torch.optim.Adam([guess], lr=learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            mismatch = 1.0 - cosine(gradient_of(guess), gradient)
            objective = mismatch + (total_variation * _variation(guess) if total_variation else 0.0)
            (slope,) = torch.autograd.grad(objective, [guess])
            if (reached := mismatch.item()) < least:
                best, least = guess.detach().clone(), reached
            guess.grad = slope.sign()  # the gradient's scale says nothing about its direction
            optimizer.step()
            schedule.step()
    return best


def cosine(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """() Cosine of two gradients given tensor by tensor."""
    product = torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()
    lengths = [torch.stack([part.square().sum() for part in side]).sum() for side in (one, other)]
    return product / (lengths[0] * lengths[1]).sqrt().clamp_min(1e-30)


def similarity(recovered: Tensor, truth: Tensor) -> float:
    """Correlation of two arrays of one shape; zero where either is constant."""
    one, other = (part.double().flatten() - part.double().mean() for part in (recovered, truth))
    lengths = float(one.norm() * other.norm())
    return float(one @ other) / lengths if lengths > 0.0 else 0.0


def read_back(recovered: Sequence[Tensor], truths: Sequence[Tensor], *, permutations: int = 2000) -> ReadBack:
    """Own against shuffled similarities. Raises ConfigInvalid for fewer than three patients."""
    if len(recovered) != len(truths) or len(truths) < 3:
        raise ConfigInvalid("Gradient inversion needs at least three patients, each with its recovery.")
    table = np.array([[similarity(found, truth) for truth in truths] for found in recovered])
    own, count = np.diagonal(table), len(truths)
    rng = np.random.default_rng(0)
    null = np.array([table[np.arange(count), rng.permutation(count)].mean() for _ in range(permutations)])
    return ReadBack(
        own=float(np.median(own)),
        shuffled=float(np.median(table[~np.eye(count, dtype=bool)])),
        p_value=float((1 + (null >= own.mean() - 1e-12).sum()) / (1 + permutations)),
        patients=count,
    )


def _variation(guess: Tensor) -> Tensor:
    """Mean absolute difference of neighbours over the last two axes."""
    return (guess.diff(dim=-1).abs().mean() + guess.diff(dim=-2).abs().mean()) / 2

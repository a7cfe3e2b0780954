"""Muon: momentum of a weight matrix, with its singular values set to about one (Jordan et al. 2024).

    u = g + momentum (b - g) ,   b the running mean of the gradients g
    W <- W (1 - lr decay) - lr sqrt(max(1, rows / columns)) NS(u)

NS is five Newton-Schulz iterations of the quintic in Jordan's note: every direction of the input that the gradient
knows is learnt as fast as the strongest one. A convolution's kernel is the matrix (out, in x height x width).
torch.optim.Muon takes matrices alone and computes in bfloat16, which processors without it emulate; this one computes
in the weights' own type, all matrices of one shape at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
LEAST_SIDE = 8
"""Of a matrix: a smaller one has too few directions to be evened out."""


class Muon(torch.optim.Optimizer):
    """For weight matrices and convolution kernels; biases, gains and tables are AdamW's."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, *, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for (rows, columns), own in _by_shape(group["params"]).items():
                moments = torch.stack([self._moment(parameter, group["momentum"]) for parameter in own])
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter, direction in zip(own, orthogonalised(moments), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(direction.view_as(parameter), alpha=rate)

    def _moment(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """(rows, columns)"""
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["mean"] = torch.zeros_like(gradient)
        state["mean"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["mean"], momentum).flatten(1)


def orthogonalised(matrices: Tensor) -> Tensor:
    """(n, r, c) -> the same shape, singular values between about 0.7 and 1.2."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def matrices_of(module: nn.Module) -> list[nn.Parameter]:
    """Weights that train, of the linear and convolution layers within, where both sides are at least `LEAST_SIDE`."""
    weights = [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    large = [weight for weight in weights if min(len(weight), weight[0].numel()) >= LEAST_SIDE]
    return [weight for weight in large if weight.requires_grad]


def _by_shape(parameters: Iterable[nn.Parameter]) -> dict[tuple[int, int], list[nn.Parameter]]:
    shapes: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is not None:
            shapes[len(parameter), parameter[0].numel()].append(parameter)
    return shapes

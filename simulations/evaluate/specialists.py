"""Beside each translation a specialist: a paired U-Net that learns this one route and nothing else, by squared error.

It is what one would train who wants one translation only, and the best that squared error can ask for: it answers with
the mean of what may be there. MONAI's `BasicUNet`, 1.1 million parameters, on the images themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medm2g.metrics.psnr_ssim import paired_quality
from simulations.evaluate.translations import FEWEST_PAIRS, MOST_PAIRS, Route, as_record, name_of, pairs_of, stacked
from simulations.held_out import HeldOutPair

STEPS = 500
"""Of 16 pairs: 1.5 minutes of one core at 64 px. T1 to T2 of phantoms: 24.5 dB after 830, 24.1 on the way at 500."""
_BATCH = 16
_RATE, _WARMUP = 2e-3, 20
_WIDTHS = (24, 24, 48, 96, 192, 24)
FEWEST = 16
"""Pairs to learn from."""


def specialist_figures(
    routes: Sequence[Route],
    learnt: Sequence[HeldOutPair],
    held_out: Sequence[HeldOutPair],
    *,
    seed: int,
    steps: int = STEPS,
    on_route: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """By route: PSNR, SSIM and NMSE on the very pairs that the generator is measured on, of a network that learnt from
    `learnt`; routes for which there are too few pairs, to learn from or to measure on, are left out."""
    figures: dict[str, dict[str, Any]] = {}
    for route in routes:
        own, measured = pairs_of(route, learnt), pairs_of(route, held_out)[:MOST_PAIRS]
        if len(own) >= FEWEST and len(measured) >= FEWEST_PAIRS:
            network = train_specialist(*_tensors(route, own), seed=seed, steps=steps)
            sources, truth = _tensors(route, measured)
            with torch.no_grad():
                figures[name_of(route)] = {"pairs": len(own), **as_record(paired_quality(network(sources), truth))}
        on_route()
    return figures


def train_specialist(sources: Tensor, targets: Tensor, *, seed: int, steps: int = STEPS) -> nn.Module:
    """sources (n, s, h, w), targets (n, 1, h, w), both in [-1, 1]. The same seed gives the same network."""
    from monai.networks.nets import BasicUNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = BasicUNet(2, sources.shape[1], 1, features=_WIDTHS)
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=1e-4)
    for step in range(steps):
        share = (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.param_groups[0]["lr"] = _RATE * min(1.0, (step + 1) / _WARMUP) * (0.02 + 0.98 * share)
        chosen = torch.randint(len(sources), (_BATCH,), generator=random)
        loss = (network(sources[chosen]) - targets[chosen]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return network.eval()


def _tensors(route: Route, pairs: Sequence[HeldOutPair]) -> tuple[Tensor, Tensor]:
    """(n, sources, s, s) and (n, 1, s, s)."""
    sources, target = route
    given = torch.cat([stacked(pair.images[flow] for pair in pairs) for flow in sources], 1)
    return given, stacked(pair.images[target] for pair in pairs)

"""One flow into another: every ordered pair, and every contrast of a modality from all its others.

A sample of the right distribution is 3 dB below the mean of that distribution, which is what squared error rewards: so
both are given, one sample and the mean of `SAMPLES`, beside what the codec alone makes of the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medm2g.config import modality_of
from medm2g.generator import Generator
from medm2g.metrics.psnr_ssim import PairedQuality, paired_quality
from medm2g.sampling import AnyToAnyPipeline
from simulations.held_out import HeldOutPair

MOST_PAIRS = 64
FEWEST_PAIRS = 4
SAMPLES = 8
SAMPLER_STEPS = 4
"""What a source leaves open is soon decided. Validation phantoms, five routes (docs/LOG.md,
2026-11-30): the mean of 8 comes out .05 to .2 dB nearer than with 12 steps, one sample .5 to .7, in a third of the
time; with 2 steps one sample is nearer still, and blurred."""
AS_THEY_ARE = 1.0
"""Guidance scale: a source is followed, not exaggerated."""
Route = tuple[tuple[str, ...], str]


def routes(flows: Sequence[str]) -> list[Route]:
    """Sources and target: 1 -> 1 for every ordered pair; all others -> 1 where a modality has three flows or more."""
    pairs: list[Route] = [((source,), target) for source, target in permutations(flows, 2)]
    many: list[Route] = []
    for target in flows:
        others = tuple(flow for flow in flows if flow != target and modality_of(flow) == modality_of(target))
        if len(others) > 1:
            many.append((others, target))
    return pairs + many


def name_of(route: Route) -> str:
    """`mri_t1+mri_t2->mri_flair`."""
    return f"{'+'.join(route[0])}->{route[1]}"


def translation_figures(
    pipeline: AnyToAnyPipeline,
    pairs: Sequence[HeldOutPair],
    *,
    seed: int,
    samples: int = SAMPLES,
    most: int = MOST_PAIRS,
    on_route: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """By route; those for which too few patients have all of its flows are left out."""
    generator, figures = pipeline.generator, {}
    for route in routes(generator.image_flows):
        sources, target = route
        own = pairs_of(route, pairs)[:most]
        if len(own) >= FEWEST_PAIRS:
            given = {flow: stacked(pair.images[flow] for pair in own) for flow in sources}
            made = pipeline(
                [target],
                sources=given,
                count=samples,
                num_inference_steps=SAMPLER_STEPS,
                guidance_scale=AS_THEY_ARE,
                generator=torch.Generator().manual_seed(seed),
            )[target]
            assert isinstance(made, Tensor)
            drawn = made.float().unflatten(0, (len(own), samples))  # (pairs, samples, 1, s, s)
            truth = stacked(pair.images[target] for pair in own)
            figures[name_of(route)] = {
                "pairs": len(own),
                **as_record(paired_quality(drawn[:, 0], truth)),
                f"mean_of_{samples}": as_record(paired_quality(drawn.mean(1), truth)),
                "codec": as_record(paired_quality(_through_codec(generator, target, truth), truth)),
            }
        on_route()
    return figures


def _through_codec(generator: Generator, flow: str, images: Tensor) -> Tensor:
    return generator.decode_image(flow, generator.encode_image(flow, images)).float()


def pairs_of(route: Route, pairs: Sequence[HeldOutPair]) -> list[HeldOutPair]:
    """Those that have every flow of the route."""
    sources, target = route
    return [pair for pair in pairs if {*sources, target} <= set(pair.images)]


def as_record(quality: PairedQuality) -> dict[str, float]:
    """For JSON."""
    return {"psnr": quality.psnr, "ssim": quality.ssim, "nmse": quality.nmse}


def stacked(images: Iterable[np.ndarray]) -> Tensor:
    """(n, 1, s, s)"""
    return torch.as_tensor(np.stack(list(images)))[:, None]

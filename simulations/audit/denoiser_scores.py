"""Scores of diffusion membership inference: one number per patient, higher for a likelier member.

Of one record x (latents) with its own prompt, v the denoiser's velocity, e = sqrt(abar) v + sqrt(1 - abar) z its noise:

| attack | score | source |
| --- | --- | --- |
| loss threshold | - mean over fixed (t, noise) of |v(z_t, t) - v_true|^2, the draws shared by all records | Carlini
et al. 2023 |
| calibrated loss | the loss under the public generator it started from, minus its own | Watson et al. 2022 |
| PIA | - |e(x_t', t) - e(x, 0)|, x_t' noised by the model's own e(x, 0), t = 200 | Kong et al. 2023 |
| predicted-noise norm | - |e(x, 100)| of the clean x | SimA 2025 |

A patient's score in a flow is the mean over its records. Each flow is put on the others' scale (median and spread)
and a patient's flows are averaged: the unit of the claim is the patient. Deterministic inversion (SecMI) is left out:
it was unreliable at this size (notes/privacy.md 6.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from medm2g.generator import Generator
from privacy.audit.membership import Membership, standardised
from simulations.audit.patients import Attacked, FlowRecords

LOSS_DRAWS = 20
PIA_TIMESTEP = 200
NORM_TIMESTEP = 100
BATCH = 128
Array = npt.NDArray[np.float64]
Score = Callable[[Generator, str, FlowRecords], Array]


@dataclass(frozen=True)
class AttackScores:
    """One attack over all patients, and flow by flow."""

    whole: Membership
    flows: Mapping[str, Membership]


def attack_denoisers(
    generator: Generator,
    members: Attacked,
    others: Attacked,
    *,
    reference: Generator | None,
    fewest: int,
    on_flow: Callable[[], None] = lambda: None,
) -> dict[str, AttackScores]:
    """Every attack by name; flows with fewer than `fewest` patients on either side are left out.

    reference: the public generator that training started from; without it the calibrated loss is left out.
    """
    attacks: dict[str, Score] = {"loss threshold": _loss, "PIA": _pia, "predicted-noise norm": _norm}
    by_flow: dict[str, dict[str, tuple[Array, Array]]] = {}
    for flow in generator.flows:
        sides = [side.flows.get(flow) for side in (members, others)]
        if any(side is None or len(np.unique(side.owners)) < fewest for side in sides):
            on_flow()
            continue
        raw = {name: tuple(attack(generator, flow, side) for side in sides if side) for name, attack in attacks.items()}
        if reference is not None and flow in reference.flows:
            raw["calibrated loss"] = tuple(
                own - _loss(reference, flow, side)
                for own, side in zip(raw["loss threshold"], sides, strict=True)
                if side is not None
            )
        for name, scores in raw.items():
            owned = [_by_patient(values, side) for values, side in zip(scores, sides, strict=True) if side is not None]
            by_flow.setdefault(name, {})[flow] = (owned[0], owned[1])
        on_flow()
    return {name: _combined(flows, members.patients, others.patients) for name, flows in by_flow.items()}


def _by_patient(values: Array, records: FlowRecords) -> Array:
    """(patients with a number up to the last owner,): means; NaN where a patient has no record."""
    count = np.bincount(records.owners)
    with np.errstate(invalid="ignore"):
        return np.bincount(records.owners, weights=values) / np.where(count > 0, count, np.nan)


def _combined(flows: Mapping[str, tuple[Array, Array]], members: int, others: int) -> AttackScores:
    sums, counts = [np.zeros(members), np.zeros(others)], [np.zeros(members), np.zeros(others)]
    separate = {}
    for flow, owned in flows.items():
        present = [~np.isnan(values) for values in owned]
        scaled = standardised(*(values[there] for values, there in zip(owned, present, strict=True)))
        separate[flow] = Membership(*scaled)
        for side, (values, there) in enumerate(zip(scaled, present, strict=True)):
            numbers = np.flatnonzero(there)
            sums[side][numbers] += values
            counts[side][numbers] += 1
    whole = Membership(*(total[count > 0] / count[count > 0] for total, count in zip(sums, counts, strict=True)))
    return AttackScores(whole, separate)


@torch.no_grad()
def _loss(generator: Generator, flow: str, records: FlowRecords) -> Array:
    random = torch.Generator().manual_seed(4)
    steps = generator.config.num_train_timesteps
    timesteps = ((torch.arange(LOSS_DRAWS) + 0.5) / LOSS_DRAWS * steps).long()
    noises = torch.randn(LOSS_DRAWS, *generator.latent_shape(flow), generator=random)
    total = torch.zeros(len(records.latents))
    for timestep, noise in zip(timesteps, noises, strict=True):
        total += _each_batch(
            records,
            lambda latents, tokens, mask, t=timestep, n=noise: _squared_error(  # type: ignore[misc]
                generator, flow, latents, n.expand_as(latents), t, tokens, mask
            ),
        )
    return -(total / LOSS_DRAWS).double().numpy()


def _squared_error(
    generator: Generator, flow: str, latents: Tensor, noise: Tensor, timestep: Tensor, tokens: Tensor, mask: Tensor
) -> Tensor:
    timesteps = timestep.expand(len(latents))
    noisy = generator.add_noise(latents, noise, timesteps)
    predicted = generator.denoise(flow, noisy, timesteps, tokens, mask)
    return (predicted - generator.velocity(latents, noise, timesteps)).square().flatten(1).mean(1)


@torch.no_grad()
def _pia(generator: Generator, flow: str, records: FlowRecords) -> Array:
    def score(latents: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        first = _noise_of(generator, flow, latents, 0, tokens, mask)
        timesteps = torch.full((len(latents),), PIA_TIMESTEP)
        noisy = generator.add_noise(latents, first, timesteps)
        second = _noise_of(generator, flow, noisy, PIA_TIMESTEP, tokens, mask)
        return -(second - first).flatten(1).norm(dim=1)

    return _each_batch(records, score).double().numpy()


@torch.no_grad()
def _norm(generator: Generator, flow: str, records: FlowRecords) -> Array:
    def score(latents: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        return -_noise_of(generator, flow, latents, NORM_TIMESTEP, tokens, mask).flatten(1).norm(dim=1)

    return _each_batch(records, score).double().numpy()


def _noise_of(generator: Generator, flow: str, latents: Tensor, timestep: int, tokens: Tensor, mask: Tensor) -> Tensor:
    """The noise that the denoiser sees in `latents` at `timestep`."""
    timesteps = torch.full((len(latents),), timestep)
    velocity = generator.denoise(flow, latents, timesteps, tokens, mask)
    alpha_bar = generator.alphas_cumprod[timestep]
    return alpha_bar.sqrt() * velocity + (1 - alpha_bar).sqrt() * latents


def _each_batch(records: FlowRecords, score: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """(n,)"""
    parts = zip(records.latents.split(BATCH), records.tokens.split(BATCH), records.mask.split(BATCH), strict=True)
    return torch.cat([score(latents, tokens.float(), mask) for latents, tokens, mask in parts])

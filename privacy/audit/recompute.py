"""Epsilon from scratch: numpy and the standard library, nothing of fedm2g, so that an auditor can run this file alone.

One step of a noised sum of clipped gradients, patients drawn with probability q, noise z times the clipping norm:
    with the patient    P = (1-q) N(0, z^2) + q N(1, z^2)         without    Q = N(0, z^2)
    removing:  loss = log P/Q, seen under P        adding:  loss = log Q/P, seen under Q
The loss is put on a grid so that every interval's mass under both P and Q is kept ("connect the dots", Doroshenko et
al. 2022: an upper bound, and close); steps add losses, so distributions are convolved (FFT); and
    delta(epsilon) = sum over losses l > epsilon of mass(l) (1 - e^(epsilon - l))  +  mass of infinite loss.
A capped draw (`batch_cap`, `max_patients`) is a coin everyone sees: with the probability that the cap bites, z halves.
Use: epsilon([(q, z, steps), ...], delta), or python recompute.py DELTA Q,Z,STEPS[,BATCH_CAP,MAX_PATIENTS] ...
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

GRID = 2e-4
WIDEST = 80.0  # nats: one step's losses beyond count as infinite, and no epsilon above half of it is given
_erfc = np.vectorize(math.erfc, otypes=[float])


def epsilon(events: Sequence[tuple[float, ...]], delta: float, grid: float = GRID) -> float:
    """Of events (q, z, steps[, batch_cap, max_patients]) together, when one patient joins or leaves; an upper bound."""
    return max(_epsilon_one_way(events, delta, grid, removing) for removing in (True, False))


def _epsilon_one_way(events: Sequence[tuple[float, ...]], delta: float, grid: float, removing: bool) -> float:
    half = round(WIDEST / grid)  # losses from -half to half - 1 steps of the grid, wrapped around as the FFT has them
    spectrum, finite = np.ones(half + 1, complex), 1.0
    for q, z, steps, *cap in events:
        bites = _above(int(cap[0]) - 1, int(cap[1]), q) if cap else 0.0
        mass = (1.0 - bites) * _one_step(q, z, half, grid, removing)
        mass += bites * _one_step(q, z / 2.0, half, grid, removing) if bites else 0.0
        spectrum *= np.fft.rfft(mass) ** int(steps)
        finite *= mass.sum() ** int(steps)
    composed = np.clip(np.fft.irfft(spectrum, 2 * half), 0.0, None)
    losses, composed = grid * np.arange(half), composed[:half]

    def excess(bound: float) -> float:
        above = losses > bound
        return float((composed[above] * -np.expm1(bound - losses[above])).sum()) + (1.0 - finite) - delta

    low, high = 0.0, float(losses[-1])
    if excess(WIDEST / 2.0) > 0.0:
        return math.inf
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return high


def _one_step(q: float, z: float, half: int, grid: float, removing: bool) -> np.ndarray:
    """Mass of one step's loss at each multiple of the grid, wrapped; what is missing from 1 is an infinite loss."""
    edges = np.arange(-half, half) * grid
    ratio = edges if removing else -edges[::-1]  # log P/Q at the edges, increasing
    with np.errstate(divide="ignore", invalid="ignore"):
        x = 0.5 + z * z * (ratio + np.log1p((q - 1.0) * np.exp(-ratio)) - math.log(q))  # where log P/Q has that value
    x = np.where(np.isfinite(x), x, -np.inf)  # below log(1-q) there is none
    under_q = _between(x / z)
    under_p = (1.0 - q) * under_q + q * _between((x - 1.0) / z)
    seen, other = (under_p, under_q) if removing else (under_q[::-1], under_p[::-1])
    upper = np.clip((seen - other * np.exp(edges[:-1])) / -math.expm1(-grid), 0.0, seen)  # at intervals' upper ends
    below, above, above_with = _tail(np.array([-x[0], x[-1], x[-1] - 1.0]) / z)  # of Q below, of P's halves above
    infinite = (1.0 - q) * above + q * above_with if removing else below
    mass = np.zeros(2 * half)
    mass[1:] += upper
    mass[:-1] += seen - upper
    mass[0] += max(0.0, 1.0 - float(infinite) - mass.sum())  # losses below the grid, rounded up
    return np.roll(mass, -half)


def _between(x: np.ndarray) -> np.ndarray:
    """Mass of N(0, 1) between neighbours of increasing x, exact in both tails."""
    beyond = _tail(np.abs(x))
    one_side = np.abs(np.diff(beyond))
    return np.where((x[:-1] <= 0.0) & (x[1:] > 0.0), 1.0 - beyond[:-1] - beyond[1:], one_side)


def _tail(x: np.ndarray) -> np.ndarray:
    """Mass of N(0, 1) above x."""
    mass = np.where(x < 0.0, 1.0, 0.0)
    inside = np.abs(x) < 38.0
    mass[inside] = 0.5 * _erfc(x[inside] / math.sqrt(2.0))
    return mass


def _above(count: int, trials: int, q: float) -> float:
    """P[Binomial(trials, q) > count]"""
    log_choose = [math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1) for k in range(trials + 1)]
    log_mass = [c + k * math.log(q) + (trials - k) * math.log1p(-q) for k, c in enumerate(log_choose)]
    return math.fsum(math.exp(log_mass[k]) for k in range(count + 1, trials + 1))


if __name__ == "__main__":
    given = [tuple(float(number) for number in argument.split(",")) for argument in sys.argv[2:]]
    print(f"{epsilon(given, float(sys.argv[1])):.4f}")

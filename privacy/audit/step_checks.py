"""What the step log shows directly, once the coins are open: the mechanism's parts, measured one by one.

The one-run bounds ask what an attacker could do and are far below the truth; these ask whether the parts are what the
ledger says, and are sharp. Under the claim, along a canary that is not in, a release is pure noise; along one that is
in, its mean is the sampling probability. Four tests, each falsely alarmed with probability `SIGNIFICANCE`:

1. noise          sum of squares over z^2 is at least chi-square: its lower tail.
2. contribution   the mean over canaries that are in is at most q: normal upper tail (catches clip, rate, divisor).
3. two runs       noise of two runs is uncorrelated: normal tails of the correlation.
4. two steps      noise of successive steps is uncorrelated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import chi2

from privacy.audit.check import CheckResult
from privacy.audit.step_log import LoggedStep
from privacy.errors import ConfigInvalid

SIGNIFICANCE = 1e-4
Array = npt.NDArray[np.float64]


def step_checks(
    log: Sequence[LoggedStep], rehearsal: Sequence[LoggedStep], coins: npt.NDArray[np.bool_]
) -> list[CheckResult]:
    """The four tests. `rehearsal` is a run of the same steps without canaries; `coins` (canaries,)."""
    if not log or len(log) != len(rehearsal) or coins.all() or not coins.any():
        raise ConfigInvalid("A step log needs two runs of equal length, and canaries both in and out.")
    noise = np.stack([step.values[~coins] / step.event.noise_multiplier for step in log])  # (steps, out)
    other = np.stack([step.values[~coins] / step.event.noise_multiplier for step in rehearsal])
    return [
        _noise(np.concatenate([noise, other])),
        _contribution(log, coins),
        _uncorrelated("two runs", "The noise of two runs is independent.", noise, other),
        _uncorrelated("two steps", "The noise of successive steps is independent.", noise[:-1], noise[1:]),
    ]


def _noise(noise: Array) -> CheckResult:
    squares, count = float(np.square(noise).sum()), noise.size
    least = math.sqrt(chi2.ppf(SIGNIFICANCE, count) / count)
    scale = math.sqrt(squares / count)
    return CheckResult(
        name="noise",
        proposition="The noise is at least what the ledger is charged for.",
        passed=bool(scale >= least),
        figure=f"{scale:.4f} of the charged noise, over {count} draws",
        power=f"Less than {least:.4f} of the charged noise would have failed.",
    )


def _contribution(log: Sequence[LoggedStep], coins: npt.NDArray[np.bool_]) -> CheckResult:
    """Mean count of a canary in a step, over its charged probability: steps weighted by what they can show."""
    weighted, expected, variance = 0.0, 0.0, 0.0
    included = int(coins.sum())
    for step in log:
        q, z = step.event.sampling_probability, step.event.noise_multiplier
        weight = q / (z**2 + q * (1 - q))
        weighted += weight * float(step.values[coins].mean())
        expected += weight * q
        variance += weight**2 * (z**2 + q * (1 - q)) / included
    ratio, spread = weighted / expected, math.sqrt(variance) / expected
    most = 1.0 - float(ndtri(SIGNIFICANCE)) * spread
    return CheckResult(
        name="contribution",
        proposition="A patient adds at most the clipping norm, and is drawn no oftener than charged.",
        passed=bool(ratio <= most),
        figure=f"{ratio:.3f} of what sampling probability and clipping norm allow (± {spread:.3f})",
        power=f"More than {most:.3f} would have failed: a missing clip, a larger sampling probability or divisor.",
    )


def _uncorrelated(name: str, proposition: str, one: Array, other: Array) -> CheckResult:
    count = one.size
    if count < 2:
        return CheckResult(name, proposition, True, "one step only: nothing to compare", "None: there was one step.")
    with np.errstate(invalid="ignore"):
        found = float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    most = -float(ndtri(SIGNIFICANCE / 2)) / math.sqrt(count)
    return CheckResult(
        name=name,
        proposition=proposition,
        passed=bool(abs(found) <= most),  # not a number fails too
        figure=f"correlation {found:+.4f} over {count} pairs",
        power=f"A correlation beyond ± {most:.4f} would have failed.",
    )

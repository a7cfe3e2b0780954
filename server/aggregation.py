"""The masked mean: every reply is checked, folded into a running sum, and let go.

A group's mean is taken over the sites that trained it, with the weights that the study declares; a group that nobody
trained stays what it was. Sums are fp32 and there is one per group, however many sites there are. Check and sum each
read a reply in parts that fit a processor's cache and are decoded as they are read, so that no reply is held decoded.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from protocol.arrays import PART, Array, Groups, Shapes, parts_of, shapes_of
from protocol.codes import Refusal
from protocol.study import SiteSpec, StageSpec, Study

#: Public bounds that no honest site meets. Without privacy nothing is clipped, and these two refuse only nonsense.
LARGEST_NOISE_MULTIPLIER, LARGEST_SIGNAL = 100.0, 1_000.0
#: A Poisson draw of more than so many times its public expectation does not happen; with privacy each patient weighs C.
LARGEST_DRAW = 10.0
#: Above the length of the noise, which concentrates, and above the rounding of calibration and codec.
MARGIN = 1.5


def norm_bound(study: Study, stage: StageSpec, site: SiteSpec, *, dimension: int) -> float:
    """L2 norm over all groups of one honest update, never exceeded: signal plus the length of the Gaussian noise.

    The noise of one step is N(0, (noise_multiplier C)^2) in each of `dimension` coordinates, over the expected batch
    size q N; its length concentrates at noise_multiplier C sqrt(dimension) / (q N). The signal is at most C times the
    number of patients drawn, over q N.
    """
    expected_batch_size = max(stage.sampling_probability * site.declared_patients, 1.0)
    private = study.privacy.enabled and site.private
    noise_multiplier = largest_noise_multiplier(study, site) if private else LARGEST_NOISE_MULTIPLIER
    signal = LARGEST_DRAW / stage.sampling_probability if private else LARGEST_SIGNAL
    noise = MARGIN * noise_multiplier * math.sqrt(dimension) / expected_batch_size
    return stage.steps_per_round * stage.clipping_norm * (signal + noise)


def largest_noise_multiplier(study: Study, site: SiteSpec) -> float:
    """No vault calibrates more noise for this study than this, in closed form.

    Without amplification by sampling, T Gaussian steps cost T / (2 s^2) = rho of zero-concentrated privacy, which is
    (rho + 2 sqrt(rho log(1/delta)), delta) (Bun and Steinke 2016, proposition 1.3); sampling and exact composition, as
    the vault has them, only need less noise for the same epsilon.
    """
    steps = sum(
        math.ceil(stage.rounds * stage.steps_per_round * (1.0 + study.privacy.spare_rounds)) for stage in study.stages
    )
    log_delta = math.log(site.declared_patients / study.privacy.delta_fraction)
    rho = (math.sqrt(log_delta + study.privacy.max_epsilon) - math.sqrt(log_delta)) ** 2
    return max(math.sqrt(steps / (2.0 * rho)), 1.0)


def check_update(
    updates: Groups, *, asked: Collection[str], shapes: Mapping[str, Shapes], max_norm: float
) -> Refusal | None:
    """Why this update cannot be folded, or None. Never raises, whatever arrived.

    asked: groups this site was asked to train; it must answer exactly those.
    shapes: public shapes of every group.
    max_norm: bound on the L2 norm over all groups together.
    """
    try:
        return _check(updates, asked=asked, shapes=shapes, max_norm=max_norm)
    except Exception:  # whatever a hostile reply made of itself, it costs only its own site the round
        return Refusal.MALFORMED


def _check(updates: Groups, *, asked: Collection[str], shapes: Mapping[str, Shapes], max_norm: float) -> Refusal | None:
    if set(updates) - set(asked):
        return Refusal.UNKNOWN_GROUP
    if set(asked) - set(updates):
        return Refusal.MISSING_GROUP
    squared_norm = 0.0
    for group_name, arrays in updates.items():
        if shapes_of(arrays) != dict(shapes[group_name]):
            return Refusal.WRONG_SHAPE
        for name in arrays:
            for part in parts_of(arrays, name):
                if part.dtype != np.float32:
                    return Refusal.WRONG_DTYPE
                with np.errstate(over="ignore", invalid="ignore"):
                    square = float(np.dot(part, part))
                if not math.isfinite(square) and not np.isfinite(part).all():
                    return Refusal.NON_FINITE
                squared_norm += square
    if not squared_norm <= max_norm**2:  # a norm that overflowed to infinity is refused here
        return Refusal.NORM_EXCEEDED
    return None


@dataclass
class GroupMean:
    """Running masked weighted mean of one round."""

    _sums: dict[str, dict[str, Array]] = field(default_factory=dict)
    _weights: dict[str, float] = field(default_factory=dict)

    def fold(self, updates: Groups, *, aggregation_weight: float) -> None:
        """Add one checked reply to the sums. Keeps no reference to any array of it."""
        weight, scratch = np.float32(aggregation_weight), np.empty(PART, np.float32)
        for group_name, arrays in updates.items():
            if group_name not in self._sums:
                shapes = shapes_of(arrays)
                self._sums[group_name] = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            for name, total in self._sums[group_name].items():
                flat, begin = total.reshape(-1), 0  # a view
                for part in parts_of(arrays, name):
                    target = flat[begin : begin + len(part)]
                    np.add(target, np.multiply(part, weight, out=scratch[: len(part)]), out=target)
                    begin += len(part)
            self._weights[group_name] = self._weights.get(group_name, 0.0) + aggregation_weight

    def value(self) -> dict[str, dict[str, Array]]:
        """The mean of every group that some site trained; the sums are used up."""
        for group_name, sums in self._sums.items():
            for array in sums.values():
                array /= np.float32(self._weights[group_name])
        means, self._sums, self._weights = dict(self._sums), {}, {}
        return means

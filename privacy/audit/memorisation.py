"""Memorisation of samples: are generated images nearer to patients who trained than to patients who did not?

Statement. Samples are generated without looking at who trained; trained and held-out patients come from one population.
If the generator remembers no individual, the labels "trained" and "held out" can be exchanged among the patients, so
the p-value of each statistic over `permutations` random labellings is valid exactly, whatever the distance, however
alike the samples are (a test that takes samples as independent is not: they share the patients). Two statistics:

- `nearest`: the share of samples whose nearest patient trained (1/2 expected for equal groups);
- `own`: how much nearer a sample lies to the patient whose prompt it followed than to the others, as a membership
score.

A copy is a sample nearer to a trained patient than `COPY_QUANTILE` of held-out patients are to theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.errors import ConfigInvalid

Array = npt.NDArray[np.float64]
COPY_QUANTILE = 0.01


@dataclass(frozen=True)
class Memorisation:
    """What one distance shows."""

    nearest_share: float
    """Samples whose nearest patient trained."""
    expected_share: float
    """Trained patients among all."""
    p_value: float
    """Of so large a share, if nobody is remembered."""
    copies: int
    """Samples nearer to a trained patient than a hundredth of held-out patients are."""
    held_out_copies: int
    """The same towards held-out patients, for comparison."""
    samples: int
    detectable_share: float
    """The share at which p would have been 0.01."""


def memorisation(
    samples: Array, trained: Array, held_out: Array, *, permutations: int = 2000, seed: int = 0
) -> Memorisation:
    """Rows are points: samples (n, d), trained patients (a, d), held-out patients (b, d). Raises ConfigInvalid."""
    if min(len(samples), len(trained), len(held_out)) < 2:
        raise ConfigInvalid("The memorisation test needs at least two samples, trained and held-out patients.")
    patients = np.concatenate([trained, held_out])
    distances = pairwise(samples, patients)  # (n, a + b)
    owned = np.bincount(distances.argmin(1), minlength=len(patients)) / len(samples)
    labels = np.arange(len(patients)) < len(trained)
    rng = np.random.default_rng(seed)
    null = np.array([owned[rng.permutation(labels)].sum() for _ in range(permutations)])
    share = float(owned[labels].sum())
    limit = float(np.quantile(_nearest_other(held_out, trained), COPY_QUANTILE))
    return Memorisation(
        nearest_share=share,
        expected_share=len(trained) / len(patients),
        p_value=float((1 + (null >= share - 1e-12).sum()) / (1 + permutations)),
        copies=int((distances[:, labels].min(1) < limit).sum()),
        held_out_copies=int((distances[:, ~labels].min(1) < limit).sum()),
        samples=len(samples),
        detectable_share=float(np.quantile(null, 0.99)),
    )


def own_prompt_scores(samples: Array, prompted_by: npt.NDArray[np.int64], patients: Array) -> Array:
    """(patients,): how much nearer each patient's samples lie to it than to the rest, in spreads; a membership score.

    samples (n, d); prompted_by (n,) numbers into patients (p, d). NaN for a patient whose prompt no sample followed.
    """
    distances = pairwise(samples, patients)
    rows = np.arange(len(samples))
    own = distances[rows, prompted_by]
    spread = distances.std(1) + 1e-12
    nearer = (distances.mean(1) - own) / spread
    total = np.bincount(prompted_by, weights=nearer, minlength=len(patients))
    count = np.bincount(prompted_by, minlength=len(patients))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def pairwise(one: Array, other: Array) -> Array:
    """Euclidean distances (n, m)."""
    squares = np.square(one).sum(1)[:, None] + np.square(other).sum(1) - 2.0 * one @ other.T
    return np.sqrt(np.maximum(squares, 0.0))


def _nearest_other(held_out: Array, trained: Array) -> Array:
    """Of each held-out patient, the distance to the nearest trained one."""
    return pairwise(held_out, trained).min(1)

"""Linking: can two studies' releases be recognised as being about the same patient?

The linker knows nobody's record. It holds one release of each of n patients from a first study and one of each from a
second, in unknown order, and matches them by cosine.

Statement. If releases carry nothing of the patient, every order is as likely as any other: `p_value` is exact under
permutation of the second study's rows, and a row's best match is its own in 1 of n cases. Differential privacy bounds
linking through composition: a patient in both studies is protected by the two together, so a linker's true positive
rate lies under the ceiling of all events of both (`trade_off.claimed_curve`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.audit.membership import Interval, Membership
from privacy.errors import ConfigInvalid

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Linking:
    """How well rows of two studies were matched."""

    matched: float
    """Share of rows whose best match is their own."""
    chance: float
    """1 / n."""
    auc: Interval
    """Chance that a pair of one patient looks more alike than a pair of two."""
    p_value: float
    patients: int


def linking(first: Array, second: Array, *, permutations: int = 2000, seed: int = 0) -> Linking:
    """Rows of (n, d) arrays; row i of both is the same patient. Raises ConfigInvalid."""
    table, own = cosines(first, second), np.arange(len(first))
    rng = np.random.default_rng(seed)
    found = float(np.diagonal(table).mean())
    null = np.array([table[own, rng.permutation(len(own))].mean() for _ in range(permutations)])
    return Linking(
        matched=float((table.argmax(1) == own).mean()),
        chance=1.0 / len(own),
        auc=pair_scores(table).auc,
        p_value=float((1 + (null >= found - 1e-12).sum()) / (1 + permutations)),
        patients=len(own),
    )


def pair_scores(table: Array) -> Membership:
    """Pairs of one patient as members, pairs of two as others. Pairs share patients: the interval is an indication."""
    return Membership(np.diagonal(table).copy(), table[~np.eye(len(table), dtype=bool)])


def cosines(first: Array, second: Array) -> Array:
    """(n, n): each row's cosines, each study centred by its own mean, which is what all patients share."""
    if first.shape != second.shape or first.ndim != 2 or len(first) < 8:
        raise ConfigInvalid("Linking needs the same patients, at least eight of them, in both studies.")
    return _directions(first) @ _directions(second).T


def _directions(rows: Array) -> Array:
    centred = rows - rows.mean(0)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-30)

"""The remove-one test: how far the clipped sum moves when one patient is taken away.

The proof of the mechanism rests on one number, the sensitivity. This measures it on the installed build with the very
code that `Mechanism.step` runs, for any loss: a loss that couples patients, or a stream that patients share, moves the
sum by more than the clipping norm. It computes sums without noise, so it is for phantoms and other open data.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from privacy.engines import ExecutionSettings, PatientLoss
from privacy.mechanism import clipped_sum
from privacy.patient_stream import PatientStream


def largest_move(
    make_loss: Callable[[], PatientLoss],
    parameters: Mapping[str, Tensor],
    patients: Sequence[str],
    *,
    removed: Sequence[str],
    clipping_norm: float,
    settings: ExecutionSettings,
) -> float:
    """Largest L2 move of the clipped sum over `removed`, each taken away alone; at most `clipping_norm` if all is well.

    `make_loss` builds the loss afresh for every sum, so that whatever it remembers of patients shows.
    """
    stream = PatientStream(os.urandom(32), study_digest="audit", stage="audit", round_number=1)

    def summed(present: Sequence[str]) -> dict[str, Tensor]:
        clipped = clipped_sum(
            make_loss(),
            parameters,
            present,
            patient_stream=stream,
            step=0,
            clipping_norm=clipping_norm,
            settings=settings,
        )
        return clipped.values()

    everybody = summed(patients)
    without = (summed([other for other in patients if other != gone]) for gone in removed)
    return max(_distance(everybody, rest) for rest in without)


def _distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    return math.sqrt(sum(float((one[name].double() - other[name].double()).square().sum()) for name in one))

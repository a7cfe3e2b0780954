"""A trip-wire for BatchNorm, which mixes patients: by the batch's statistics, or by running ones that remember others.

Frozen or not, in training or in evaluation mode, as a module or as a function: whatever a loss calls within the block
is seen as it is called, so no engine and no wrapper goes round it. (Opacus accepts a BatchNorm whose affine parameters
are frozen, which in training mode still uses the statistics of the batch: notes/privacy.md section 4.3, B8.) Of the
other memories that a loss may keep, only the remove-one audit knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from privacy.errors import MechanismMisused

_BATCH_NORMS = frozenset(
    {
        F.batch_norm,
        torch.batch_norm,
        torch.native_batch_norm,
        torch.batch_norm_stats,
        torch.batch_norm_elemt,
        torch.batch_norm_gather_stats_with_counts,
    }
)
_INSTANCE_NORMS = frozenset({F.instance_norm, torch.instance_norm})
"""Harmless without running statistics, which would remember other patients."""
_WATCHED = _BATCH_NORMS | _INSTANCE_NORMS


class no_patient_mixing(TorchFunctionMode):  # noqa: N801  (reads as a verb: `with no_patient_mixing():`)
    """Raise MechanismMisused where BatchNorm, or running statistics of InstanceNorm, are computed within the block."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _WATCHED:  # one look: some fifteen hundred calls pass here in a small step
            _refuse(func, args, kwargs or {})
        return func(*args, **kwargs) if kwargs else func(*args)


def _refuse(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if func in _BATCH_NORMS:
        raise MechanismMisused(
            "The loss uses BatchNorm, which mixes patients even when frozen: use GroupNorm or LayerNorm."
        )
    if _running_statistics(args, kwargs):
        raise MechanismMisused(
            "The loss keeps running statistics in InstanceNorm, which remember other patients: turn them off."
        )


def _running_statistics(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether (input, running_mean, ...) or (input, weight, bias, running_mean, ...) brings a running mean."""
    given = [*args[1:5], kwargs.get("running_mean")]
    return any(isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter) for value in given)

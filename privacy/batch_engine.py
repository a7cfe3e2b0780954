"""The engine `batch`: all patients of a chunk in one pass, with a gradient of each from every layer.

In a batch patients could meet, which under `loop` and `vmap` they cannot. Three things stand against it: a trained
parameter may only be used where its gradient by patient is known (`layer_gradients.py`), BatchNorm trips a wire
(`patient_mixing.py`), and every patient of the first batch of every kind is done again alone. How a loss treats a
batch is a matter of its code, not of the patients in it (`PatientLoss.loss` is pure, without control flow that depends
on values), so a kind that was found right stays right. A batch of one shows that the layers are, and nothing about
meeting: the first batch of several is compared too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from privacy.engines import BatchedLoss, PatientLoss, apart_from_alone
from privacy.errors import MechanismMisused
from privacy.layer_gradients import PatientSums

TOLERANCE = 1e-3
"""Of the patient's whole gradient: rounding in float32 stays below a tenth of it."""
SHORTEST = 1e-2
"""Of the batch's longest gradient: a shorter one may differ by as much as one of this length, by rounding."""

_compared: WeakKeyDictionary[Any, set[tuple[str, bool]]] = WeakKeyDictionary()
"""By loss: the kinds of which a batch has been compared with each patient alone, and whether it was of several."""


def batched_gradients(
    loss: PatientLoss, kind: str, names: Sequence[str], parameters: Mapping[str, Tensor], tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    """(patients, *shape) by parameter, of stacked terms of one kind. Raises MechanismMisused for a use of a parameter
    without a rule, and where a patient has another gradient in the batch than alone."""
    if not all(hasattr(loss, part) for part in ("batch_losses", "owners_of_rows")):
        raise MechanismMisused("This loss takes no batch of patients: use the engine vmap or loop.")
    batched = cast(BatchedLoss, loss)
    patients = len(next(iter(tensors.values())))
    sums = PatientSums(patients, lambda rows: batched.owners_of_rows(kind, tensors, rows))
    fixed = {name: value.detach() for name, value in parameters.items()}
    stand_ins = sums.weights({name: fixed[name] for name in names})
    with torch.enable_grad():
        losses = batched.batch_losses(kind, fixed | stand_ins, tensors)
        if losses.shape != (patients,):
            raise MechanismMisused("`batch_losses` must give one loss for each patient.")
        leaves = [stand_in.value for stand_in in stand_ins.values()]
        beside = torch.autograd.grad(losses.sum(), leaves, allow_unused=True) if losses.requires_grad else ()
    if any(gradient is not None for gradient in beside):
        raise MechanismMisused("A trained parameter was used beside its layer: use the engine vmap or loop.")
    found = {
        name: sums.gradients.get(name, fixed[name].new_zeros(1).expand(patients, *fixed[name].shape)) for name in names
    }
    if names:
        _compare_once(batched, kind, parameters, tensors, found)
    return found


def _compare_once(
    loss: BatchedLoss,
    kind: str,
    parameters: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
) -> None:
    """Every patient of the first batch of a kind must have the gradient that it has alone, by ordinary autograd: one of
    them would not do, for whoever looks at its neighbour need not be looked at."""
    owner = getattr(loss.batch_losses, "__self__", loss)  # behind the wrappers of this round
    known = _compared.setdefault(owner, set())
    patients = len(next(iter(tensors.values())))
    if (kind, patients > 1) in known:
        return
    pairs = [apart_from_alone(loss, kind, parameters, tensors, found, patient) for patient in range(patients)]
    apart, lengths = (torch.stack(values) for values in zip(*pairs, strict=True))
    finite = lengths.isfinite()  # with a patient that is not, there is nothing to compare
    longest = max(lengths[finite].tolist(), default=0.0)
    if not bool((apart <= TOLERANCE * lengths.clamp_min(SHORTEST * longest))[finite].all()):
        raise MechanismMisused("A patient has another gradient in a batch than alone: use the engine vmap or loop.")
    told = int((finite & (lengths > 0)).sum())  # a gradient of zero tells nothing, and two are needed to meet
    if told >= min(2, patients):
        known.add((kind, patients > 1))

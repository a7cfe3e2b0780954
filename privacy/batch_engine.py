"""The engine `batch`: all patients of a chunk in one pass, with a gradient of each from every layer.

In a batch patients could meet, which under `loop` and `vmap` they cannot. Three things stand against it: a trained
parameter may only be used where its gradient by patient is known (`layer_gradients.py`), BatchNorm trips a wire
(`patient_mixing.py`), and of the first batch of every kind one patient is done again alone. How a loss treats a batch
is a matter of its code, not of the patients in it (`PatientLoss.loss` is pure, without control flow that depends on
values), so a kind that was found right stays right. A batch of one shows that the layers are, and nothing about
meeting: the first batch of several is compared too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from privacy.engines import BatchedLoss, PatientLoss, gradient_of_one
from privacy.errors import MechanismMisused
from privacy.layer_gradients import PatientSums

TOLERANCE = 1e-3
"""Of the patient's whole gradient: rounding in float32 stays below a tenth of it."""

_compared: WeakKeyDictionary[Any, set[tuple[str, bool]]] = WeakKeyDictionary()
"""By loss: of which kinds a patient in a batch has been compared with the same patient alone, and whether in a batch of
several."""


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
    _compare_once(loss, kind, names, parameters, tensors, found)
    return found


def _compare_once(
    loss: PatientLoss,
    kind: str,
    names: Sequence[str],
    parameters: Mapping[str, Tensor],
    tensors: dict[str, Tensor],
    found: Mapping[str, Tensor],
) -> None:
    """The last patient of the first batch of a kind must have the gradient that it has alone, by ordinary autograd."""
    owner = getattr(cast(BatchedLoss, loss).batch_losses, "__self__", loss)  # behind the wrappers of this round
    known = _compared.setdefault(owner, set())
    several = len(next(iter(tensors.values()))) > 1
    if (kind, several) in known or not names:
        return
    alone = gradient_of_one(loss, kind, names, parameters, {key: value[-1] for key, value in tensors.items()})
    apart = torch.stack([(found[name][-1] - alone[name]).norm() for name in names]).norm()
    length = torch.stack([alone[name].norm() for name in names]).norm()
    if not bool(length.isfinite()):
        return  # nothing to compare with: the next batch will do
    if not bool(apart <= TOLERANCE * length):
        raise MechanismMisused("A patient has another gradient in a batch than alone: use the engine vmap or loop.")
    if bool(length > 0):
        known.add((kind, several))

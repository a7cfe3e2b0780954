"""Opacus' hooks behind a guard: one batch of patients, a gradient for each, and nothing of it believed unchecked.

Opacus 1.6.0 gives silently wrong gradients in known cases (notes/privacy.md section 4.3), and a wrong gradient is
clipped to the wrong norm. Mended or refused here, each planted in tests/privacy/test_opacus_engine.py:

| trap | what is done |
| --- | --- |
| B1 Conv2d of channels_last or permuted activations | inputs are made contiguous before the layer |
| B2 Conv2d with padding other than zeros | the layer is left to vmap |
| B3 ghost clipping's stale norms | ghost clipping does not exist here: norms are taken of gradients |
| B4 a layer's weight used without calling the layer | refused: the rows do not add up to the gradient of the batch |
| B5 a layer whose first axis is not the batch | only layers of HOOKED; and one patient of every batch is compared |
| B6 a gradient that is not finite | the batch is done again, one at a time; that patient then counts as zero |
| B7 nobody drawn | no engine is called; the mechanism adds its noise all the same |
| B8 BatchNorm with frozen affine parameters | refused for every engine (`patient_mixing.py`) |

What the hooks do not reach (parameters outside a layer: positions, gates, embeddings) is differentiated by vmap.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from privacy.engines import BatchedLoss, PatientLoss, apart_from_alone, gradient_of_one, mapped_gradients
from privacy.errors import MechanismMisused

HOOKED = (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm)
"""Exactly these layers, whose rules in Opacus were compared with batches of one; no subclass, no Embedding (B5)."""
TOLERANCE = 1e-3
"""Relative: rounding in float32 stays below a tenth of it, the traps are hundreds of times above."""


def guarded_gradients(
    loss: PatientLoss, kind: str, names: Sequence[str], parameters: Mapping[str, Tensor], tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    """(patients, *shape) by parameter, of stacked terms of one kind. Raises MechanismMisused where Opacus errs."""
    batched = _batched(loss, names)
    hooked = _hooked_names(batched.network, names)
    gradients = _hooked_gradients(batched, kind, hooked, parameters, tensors) if hooked else {}
    if not all(bool(rows.isfinite().all()) for rows in gradients.values()):
        return _one_at_a_time(loss, kind, names, parameters, tensors)
    others = [name for name in names if name not in gradients]
    if others:
        gradients |= mapped_gradients(loss, kind, others, parameters, tensors)
    gradients = {name: gradients[name] for name in names}
    _compare_first(loss, kind, parameters, tensors, gradients)
    return gradients


def _batched(loss: PatientLoss, names: Sequence[str]) -> BatchedLoss:
    if not all(hasattr(loss, part) for part in ("network", "batch_losses", "owners_of_rows")):
        raise MechanismMisused("This loss offers no batch of patients to Opacus' hooks: use the engine vmap or loop.")
    batched = cast(BatchedLoss, loss)
    known = dict(batched.network.named_parameters())
    if unknown := [name for name in names if name not in known]:
        raise MechanismMisused(f"The network that the loss offers has no parameter {unknown[0]}: use the engine vmap.")
    return batched


def _hooked_names(network: nn.Module, names: Sequence[str]) -> list[str]:
    """Those parameters that belong to one layer of HOOKED alone."""
    owned: dict[str, list[nn.Module]] = {}
    known = {id(parameter): name for name, parameter in network.named_parameters()}
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            owned.setdefault(known[id(parameter)], []).append(module)
    return [name for name in names if len(owned[name]) == 1 and _has_a_rule(owned[name][0])]


def _has_a_rule(module: nn.Module) -> bool:
    zeros = not isinstance(module, nn.Conv2d) or module.padding_mode == "zeros"  # B2
    return type(module) in HOOKED and zeros


def _hooked_gradients(
    batched: BatchedLoss,
    kind: str,
    names: Sequence[str],
    parameters: Mapping[str, Tensor],
    tensors: dict[str, Tensor],
) -> dict[str, Tensor]:
    """One backward pass over the batch, with Opacus' hooks on the layers of `names`."""
    from opacus import GradSampleModule

    patients = len(next(iter(tensors.values())))
    with _lent(batched.network, parameters, names) as own:
        hooks = GradSampleModule(batched.network, batch_first=True, loss_reduction="sum", strict=True)
        try:
            with torch.enable_grad(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Full backward hook is firing")  # as Opacus means it to
                batched.batch_losses(kind, {}, tensors).sum().backward()
            rows = _rows_of(own)
            sums = {name: _by_patient(batched, kind, tensors, found, patients) for name, found in rows.items()}
        finally:
            hooks.remove_hooks()
            _forget(batched.network)
    return {name: sums[name] if name in sums else own[name].new_zeros(patients, *own[name].shape) for name in names}


def _rows_of(own: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Opacus' gradients by row, (rows, *shape), where there are any. They must add up to the batch's own gradient (B4),
    to TOLERANCE of their length, or to a thousandth of that of the whole gradient's where theirs is mere rounding."""
    rows: dict[str, Tensor] = {}
    for name, parameter in own.items():
        found, whole = getattr(parameter, "grad_sample", None), parameter.grad
        if isinstance(found, Tensor) and whole is not None:
            rows[name] = found
        elif found is not None or (whole is not None and bool(whole.any())):
            raise MechanismMisused(f"Opacus gives no gradient by patient for {name}: use the engine vmap or loop.")
    lengths = {name: found.flatten(1).norm(dim=1).sum() for name, found in rows.items()}
    least = 1e-3 * sum(lengths.values())
    for name, found in rows.items():
        whole = own[name].grad
        assert whole is not None
        if bool((found.sum(0) - whole).norm() > TOLERANCE * max(lengths[name], least)):
            raise MechanismMisused(
                f"Opacus' gradients by patient do not add up for {name}: its weight is used beside its layer. Use vmap."
            )
    return rows


def _by_patient(batched: BatchedLoss, kind: str, tensors: dict[str, Tensor], rows: Tensor, patients: int) -> Tensor:
    """(rows, *shape) added up to (patients, *shape)."""
    try:
        owners = batched.owners_of_rows(kind, tensors, len(rows))
    except ValueError:
        raise MechanismMisused("A layer's first axis is not the batch, so Opacus mixes patients: use vmap.") from None
    return rows.new_zeros(patients, *rows.shape[1:]).index_add_(0, owners.to(rows.device), rows)


def _one_at_a_time(
    loss: PatientLoss, kind: str, names: Sequence[str], parameters: Mapping[str, Tensor], tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    patients = range(len(next(iter(tensors.values()))))
    each = [
        gradient_of_one(loss, kind, names, parameters, {key: value[n] for key, value in tensors.items()})
        for n in patients
    ]
    return {name: torch.stack([own[name] for own in each]) for name in names}


def _compare_first(
    loss: PatientLoss,
    kind: str,
    parameters: Mapping[str, Tensor],
    tensors: dict[str, Tensor],
    gradients: Mapping[str, Tensor],
) -> None:
    """The batch's first patient, alone and by ordinary autograd, must have the gradient that it has in the batch."""
    apart, length = apart_from_alone(loss, kind, parameters, tensors, gradients, 0)
    if not bool(apart <= TOLERANCE * length) and bool(length.isfinite()):
        raise MechanismMisused("Opacus gives a patient another gradient in a batch than alone: use vmap or loop.")


@contextmanager
def _lent(
    network: nn.Module, parameters: Mapping[str, Tensor], names: Sequence[str]
) -> Iterator[dict[str, nn.Parameter]]:
    """The network with the step's values in it, and with only `names` to differentiate; restored afterwards.

    The hooked layers count as in training, which Opacus asks for and which changes nothing in what they compute.
    """
    known = dict(network.named_parameters())
    before = [(parameter, parameter.data, parameter.requires_grad, parameter.grad) for parameter in known.values()]
    layers = [module for module in network.modules() if type(module) in HOOKED]
    training = [layer.training for layer in layers]
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    handles = [layer.register_forward_pre_hook(_contiguous) for layer in convs]  # B1
    try:
        for name, parameter in known.items():
            parameter.requires_grad_(name in names)
            parameter.grad = None
            if name in parameters:
                parameter.data = parameters[name].detach()
        for layer in layers:
            layer.training = True
        yield {name: known[name] for name in names}
    finally:
        for handle in handles:
            handle.remove()
        for layer, mode in zip(layers, training, strict=True):
            layer.training = mode
        for parameter, data, requires_grad, grad in before:
            parameter.data = data
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad


def _contiguous(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.contiguous() for value in inputs)


def _forget(network: nn.Module) -> None:
    """Erase what Opacus leaves on parameters and layers: gradients and activations of patients."""
    for parameter in network.parameters():
        for attribute in ("grad_sample", "_forward_counter", "_current_grad_sample"):
            if hasattr(parameter, attribute):
                delattr(parameter, attribute)
    for module in network.modules():
        for attribute in ("activations", "max_batch_len"):
            if hasattr(module, attribute):
                delattr(module, attribute)

"""Engines: from a chunk of patients to one exact gradient per patient.

A patient's loss is a sum of *terms*. `PatientLoss.draw` makes them, drawing everything random from the patient's own
generator; `PatientLoss.loss` turns one term into a scalar, purely. The engine is the only one that sees two patients.
`loop` hands the loss one at a time and `vmap` maps it over stacked terms: in both, patients cannot meet. `batch` runs
patients as one batch, where they can, so it stands behind a guard (`batch_engine.py`); it is the fastest and the
default of sites. `opacus` does so under Opacus' hooks, for comparison (`opacus_engine.py`). All give the same
gradients, to 1e-6 of a batch of one, on every layer that any stage trains (tests/privacy/test_engines.py,
tests/medm2g/test_stage_engines.py). BatchNorm is refused whatever the engine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from privacy.errors import ConfigInvalid, MechanismMisused
from privacy.gradients import PatientGradients
from privacy.patient_mixing import no_patient_mixing


@dataclass(frozen=True)
class Term:
    """One summand of one patient's loss."""

    kind: str
    """Which loss: terms of one kind have tensors of equal names and shapes, whoever they belong to."""
    tensors: Mapping[str, Tensor]
    """Everything the loss needs of this patient, random draws included; no patient axis."""


class PatientLoss(Protocol):
    """One patient in, one scalar out; the batch does not exist inside.

    A loss may also offer `touched(kind: str) -> Sequence[str]`: names of the parameters that terms of this kind use.
    The engine then differentiates only those, which saves memory where a patient's terms touch different parts.
    """

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        """The patient's terms; every random draw comes from `generator` (CPU), which no other patient shares."""

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """Scalar loss of one term. Pure: nothing random, nothing in place, no control flow that depends on values."""


class BatchedLoss(PatientLoss, Protocol):
    """What the engines `batch` and `opacus` need beside: the same losses, of patients as one batch."""

    network: nn.Module
    """Its `named_parameters()` have the names of the step's parameters. For `opacus` alone."""

    def batch_losses(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """(patients,): what `loss` gives for each; tensors are stacked, (patients, ...). Without parameters, by those
        of `network` as it is."""

    def owners_of_rows(self, kind: str, tensors: dict[str, Tensor], rows: int) -> Tensor:
        """(rows,): to which patient (from 0) each of the `rows` rows belongs, into which the layers' inputs are laid
        out for these tensors. Raises ValueError where there can be no so many rows."""


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings:
    """Speed only: nothing here changes what is released, but for rounding."""

    chunk_size: int
    """Patients (and stacked terms of one kind) whose gradients are in memory at once."""
    engine: Literal["loop", "vmap", "batch", "opacus"]

    def __post_init__(self) -> None:
        if self.chunk_size < 1:
            raise ConfigInvalid("`chunk_size` must be at least 1.")
        if self.engine not in ENGINES:
            raise ConfigInvalid(f"`engine` must be one of {sorted(ENGINES)}.")


def chunks(patients: Sequence[str], chunk_size: int) -> Iterator[Sequence[str]]:
    """Consecutive runs of at most `chunk_size` patients."""
    for first in range(0, len(patients), chunk_size):
        yield patients[first : first + chunk_size]


def patient_gradients(
    loss: PatientLoss, parameters: Mapping[str, Tensor], terms: Sequence[list[Term]], settings: ExecutionSettings
) -> PatientGradients:
    """Gradients of the patients of one chunk; `terms` has one list for each of them."""
    gradients = PatientGradients(len(terms))
    with no_patient_mixing():
        trained = trained_terms(loss, terms, parameters)
        ENGINES[settings.engine](loss, parameters, trained, settings.chunk_size, gradients)
    return gradients


def touched_by(loss: PatientLoss, kind: str, parameters: Mapping[str, Tensor]) -> list[str]:
    """Names of the parameters to differentiate for terms of `kind`."""
    touched = getattr(loss, "touched", None)
    names = list(parameters) if touched is None else list(touched(kind))
    if unknown := [name for name in names if name not in parameters]:
        raise MechanismMisused(f"The loss says that {kind} touches {unknown[0]}, which is not among the parameters.")
    return names


def trained_terms(loss: PatientLoss, terms: Sequence[list[Term]], parameters: Mapping[str, Tensor]) -> list[list[Term]]:
    """Without terms of kinds that touch nothing: their gradient is zero, and no engine need find that out."""
    trains = {kind: bool(touched_by(loss, kind, parameters)) for kind in {term.kind for own in terms for term in own}}
    return [[term for term in own if trains[term.kind]] for own in terms]


def stacked_terms(
    terms: Sequence[list[Term]], chunk_size: int, device: torch.device
) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
    """(kind, owners (n,), tensors stacked to (n, ...)) with n at most `chunk_size`; kinds in order of appearance."""
    by_kind: dict[str, list[tuple[int, Mapping[str, Tensor]]]] = defaultdict(list)
    for owner, own in enumerate(terms):
        for term in own:
            by_kind[term.kind].append((owner, term.tensors))
    for kind, owned in by_kind.items():
        for first in range(0, len(owned), chunk_size):
            part = owned[first : first + chunk_size]
            owners = torch.tensor([owner for owner, _ in part], device=device)
            yield kind, owners, _stacked(kind, [tensors for _, tensors in part], device)


def _stacked(kind: str, tensors: Sequence[Mapping[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
    names = set(tensors[0])
    if any(set(own) != names or any(own[n].shape != tensors[0][n].shape for n in names) for own in tensors):
        raise MechanismMisused(
            f"Terms of kind {kind} differ in names or shapes: pad them with a mask, or name two kinds."
        )
    return {name: torch.stack([own[name] for own in tensors]).to(device) for name in tensors[0]}


def gradient_of_one(
    loss: PatientLoss, kind: str, names: Sequence[str], parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The gradient of one term by ordinary autograd: the reference for every engine."""
    leaves = {name: value.detach() for name, value in parameters.items()}
    wanted = [leaves[name].requires_grad_() for name in names]
    with torch.enable_grad():
        value = loss.loss(kind, leaves, dict(tensors))
    found = torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


def apart_from_alone(
    loss: PatientLoss,
    kind: str,
    parameters: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    patient: int,
) -> tuple[Tensor, Tensor]:
    """How far the patient's gradient, of those found for stacked terms, is from the one that it has alone, and how long
    that one is: two L2 norms over all parameters of `gradients`."""
    own = {key: value[patient] for key, value in tensors.items()}
    alone = gradient_of_one(loss, kind, list(gradients), parameters, own)
    apart = torch.stack([(gradients[name][patient] - value).norm() for name, value in alone.items()]).norm()
    return apart, torch.stack([value.norm() for value in alone.values()]).norm()


def mapped_gradients(
    loss: PatientLoss, kind: str, names: Sequence[str], parameters: Mapping[str, Tensor], tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    """`torch.func`: the gradient of one term, mapped over stacked terms of one kind; (terms, *shape) by parameter."""
    fixed = {name: value.detach() for name, value in parameters.items()}

    def of_one(wanted: dict[str, Tensor], own: dict[str, Tensor]) -> Tensor:
        return loss.loss(kind, fixed | wanted, own)

    mapped = torch.func.vmap(torch.func.grad(of_one), in_dims=(None, 0), randomness="error")
    return mapped({name: fixed[name] for name in names}, tensors)


def _by_loop(
    loss: PatientLoss,
    parameters: Mapping[str, Tensor],
    terms: Sequence[list[Term]],
    chunk_size: int,
    gradients: PatientGradients,
) -> None:
    """One term at a time."""
    device = next(iter(parameters.values())).device
    for owner, own in enumerate(terms):
        for term in own:
            tensors = {name: tensor.to(device) for name, tensor in term.tensors.items()}
            found = gradient_of_one(loss, term.kind, touched_by(loss, term.kind, parameters), parameters, tensors)
            gradients.add(torch.tensor([owner], device=device), {name: row[None] for name, row in found.items()})


def _batched_gradients(*given: Any) -> dict[str, Tensor]:
    from privacy.batch_engine import batched_gradients

    return batched_gradients(*given)


def _hooked_gradients(*given: Any) -> dict[str, Tensor]:
    from privacy.opacus_engine import guarded_gradients  # Opacus is imported only there

    return guarded_gradients(*given)


def _by_stacks(gradients_of: Callable[..., dict[str, Tensor]]) -> Engine:
    """Stacked terms of one kind together: `gradients_of` takes what `mapped_gradients` takes, and gives the same."""

    def engine(
        loss: PatientLoss,
        parameters: Mapping[str, Tensor],
        terms: Sequence[list[Term]],
        chunk_size: int,
        gradients: PatientGradients,
    ) -> None:
        device = next(iter(parameters.values())).device
        for kind, owners, tensors in stacked_terms(terms, chunk_size, device):
            gradients.add(owners, gradients_of(loss, kind, touched_by(loss, kind, parameters), parameters, tensors))

    return engine


Engine = Callable[[PatientLoss, Mapping[str, Tensor], Sequence[list[Term]], int, PatientGradients], None]
ENGINES: Mapping[str, Engine] = {
    "loop": _by_loop,
    "vmap": _by_stacks(mapped_gradients),
    "batch": _by_stacks(_batched_gradients),
    "opacus": _by_stacks(_hooked_gradients),
}

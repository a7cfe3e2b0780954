"""Training without privacy, behind the same interface: for public data, and as the reference for what privacy costs.

The plain mean gradient leaves, so there is no epsilon; the ledger says so. Sampler and patients' draws come from
public seeds: the same seeds give the same release, whatever the chunk size, but for rounding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor

from privacy.engines import (
    BatchedLoss,
    ExecutionSettings,
    PatientLoss,
    Term,
    chunks,
    stacked_terms,
    touched_by,
    trained_terms,
)
from privacy.errors import ConfigInvalid, MechanismMisused, PolicyRefused
from privacy.events import LedgerContext, NonPrivate
from privacy.ledger import Ledger
from privacy.mechanism import Release, check_expected_batch_size, checked_patients, checked_stream, drawn_terms
from privacy.patient_mixing import no_patient_mixing
from privacy.patient_stream import SeededPatientStream
from privacy.shared_streams import no_shared_stream


@dataclass(frozen=True, kw_only=True)
class NonPrivateConfig:
    """The part of `MechanismConfig` that is left without privacy."""

    sampling_probability: float
    expected_batch_size: float
    declared_patients: int
    steps: int

    def __post_init__(self) -> None:
        if not 0.0 < self.sampling_probability <= 1.0:
            raise ConfigInvalid("`sampling_probability` must be above 0 and at most 1.")
        NonPrivate(steps=self.steps)
        check_expected_batch_size(self.expected_batch_size, self.sampling_probability, self.declared_patients)

    @classmethod
    def from_declared(cls, *, sampling_probability: float, declared_patients: int, steps: int) -> Self:
        """The config whose divisor follows from what is declared."""
        return cls(
            sampling_probability=sampling_probability,
            expected_batch_size=sampling_probability * declared_patients,
            declared_patients=declared_patients,
            steps=steps,
        )


class NonPrivateMechanism:
    """Mean gradients of patients sampled by a public seed; only where the site's policy allows it."""

    def __init__(
        self,
        config: NonPrivateConfig,
        settings: ExecutionSettings,
        *,
        ledger: Ledger,
        patients: Sequence[str],
        patient_stream: SeededPatientStream,
        context: LedgerContext,
        seed: int,
    ) -> None:
        """Raises PolicyRefused unless the policy of `ledger` says `allow_non_private = true`."""
        if not ledger.policy.allow_non_private:
            raise PolicyRefused("This site's policy does not allow training without privacy: turn privacy on.")
        self.config, self.settings, self.context = config, settings, context
        self._ledger, self._seed = ledger, seed
        self._patients = checked_patients(patients)
        self._patient_stream = checked_stream(patient_stream, context)
        self._taken = self._reserved = 0

    @contextmanager
    def open(self, steps: int) -> Iterator[Self]:
        """Note `steps` unprotected steps in the ledger, then run the block."""
        if self._reserved > self._taken or self._taken + steps > self.config.steps:
            raise MechanismMisused("The mechanism is open already, or was configured for fewer steps.")
        self._ledger.record_non_private(steps, self.context)
        self._reserved = self._taken + steps
        try:
            yield self
        finally:
            self._taken = self._reserved

    def step(self, parameters: Mapping[str, Tensor], loss: PatientLoss) -> Release:
        """One step: the sum of the sampled patients' gradients over the expected batch size.

        Raises MechanismMisused outside `open` and where a gradient is not finite.
        """
        if self._taken >= self._reserved:
            raise MechanismMisused("No step is open: take steps inside `open`, and no more than it opened.")
        step, self._taken = self._taken, self._taken + 1
        sums = {name: torch.zeros_like(value, requires_grad=False) for name, value in parameters.items()}
        with no_shared_stream(), no_patient_mixing():
            for chunk in chunks(self._sampled(step), self.settings.chunk_size):
                terms = drawn_terms(loss, chunk, self._patient_stream, step)
                self._add_gradients(sums, loss, parameters, terms)
        values = {name: value.cpu() / self.config.expected_batch_size for name, value in sums.items()}
        if not all(bool(value.isfinite().all()) for value in values.values()):
            raise MechanismMisused("A gradient is not finite: lower the learning rate, or look for a broken record.")
        return Release(values, NonPrivate(steps=1), step)

    def _sampled(self, step: int) -> list[str]:
        """Patients of this step, by a generator that depends on nothing but the seed and the place in the study."""
        place = [self._seed, self.context.study_digest, self.context.stage, self.context.round_number, step]
        digest = hashlib.sha256(json.dumps(place).encode()).digest()
        coins = np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "big"))).random(len(self._patients))
        return [self._patients[number] for number in np.flatnonzero(coins < self.config.sampling_probability)]

    def _add_gradients(
        self, sums: dict[str, Tensor], loss: PatientLoss, parameters: Mapping[str, Tensor], terms: list[list[Term]]
    ) -> None:
        """One backward pass for all terms of a kind: no patient's gradient is needed on its own."""
        device = next(iter(parameters.values())).device
        leaves = {name: value.detach() for name, value in parameters.items()}
        trained = trained_terms(loss, terms, parameters)
        for kind, _, tensors in stacked_terms(trained, self.settings.chunk_size, device):
            names = touched_by(loss, kind, parameters)
            wanted = {name: leaves[name].clone().requires_grad_() for name in names}
            with torch.enable_grad():
                total = self._summed_loss(loss, kind, leaves | wanted, tensors)
            found = torch.autograd.grad(total, list(wanted.values()), allow_unused=True, materialize_grads=True)
            for name, gradient in zip(names, found, strict=True):
                sums[name] += gradient

    def _summed_loss(
        self, loss: PatientLoss, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]
    ) -> Tensor:
        if self.settings.engine == "vmap":
            mapped = torch.func.vmap(lambda own: loss.loss(kind, parameters, own), randomness="error")
            return mapped(tensors).sum()
        if self.settings.engine == "batch":
            return cast(BatchedLoss, loss).batch_losses(kind, parameters, tensors).sum()
        count = len(next(iter(tensors.values())))
        each = [loss.loss(kind, parameters, {name: value[n] for name, value in tensors.items()}) for n in range(count)]
        return torch.stack(each).sum()

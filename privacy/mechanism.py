"""The mechanism: sampler, clipper, noise and account as one object that cannot be assembled inconsistently.

One step, with q, C, z and B public constants:

    S  ~ every patient joins with probability q, independently          (secret stream)
    g_p = gradient of patient p's loss, all its randomness its own      (engine)
    s   = sum over p in S of g_p * min(1, C / |g_p|)                    (clipped, nothing else is kept)
    y   = (s + z C N(0, 1)) / B                                         (secret stream; noise even if S is empty)

Unit: the patient. Adjacency: add or remove one. Released: y, and nothing else; B is the *expected* number of patients.
With `batch_cap`, of more drawn patients a random subset of that size stays: another mechanism with an event of its own.

With `lattice`, g_p is cut to multiples of a public step g (clipping.py), and y = g (s/g + floor(z C N/g + 1/2)) / B.
Since s/g is a whole number, that is g floor(s/g + z C N/g + 1/2) / B: a function of s + z C N alone, so the account is
unchanged. Sum and noise add up in whole numbers (exact below 2**53), hence every release is one of the same lattice
whichever patients were there, and no low-order bit tells sums apart (Mironov 2012, "On significance of the least
significant bits for differential privacy"). What floating point still does: the drawn N is a float64 normal, off by
parts in 2**52 and without its tails (noise.py), so the probabilities of lattice points are right to about 1e-9.

1. Removing a patient moves s by at most C.                                   test_mechanism, test_sensitivity
2. Noise on every coordinate has standard deviation z C / B, every step.      test_mechanism
3. What the ledger is charged is what is executed, before it is.              test_mechanism
4. Sampler and noise cannot be replayed; patients share no stream.            test_mechanism, test_sensitivity
5. `ExecutionSettings` change nothing that is released, but for rounding.     test_mechanism
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from privacy.clipping import ClippedSum
from privacy.engines import ExecutionSettings, PatientLoss, Term, chunks, patient_gradients
from privacy.errors import BudgetExceeded, ConfigInvalid, MechanismMisused
from privacy.events import Event, LedgerContext, SampledGaussian, sampled_gaussian
from privacy.ledger import Ledger
from privacy.noise import NoiseStream
from privacy.patient_mixing import no_patient_mixing
from privacy.patient_stream import PatientStream
from privacy.shared_streams import no_shared_stream

LEAST_CLIPPING_NORM = 1e-9
"""Squares of numbers far below it vanish in float32, and norms with them."""


@dataclass(frozen=True, kw_only=True)
class MechanismConfig:
    """Public, frozen, no field has a default."""

    noise_multiplier: float
    """Standard deviation of the noise over the clipping norm: take it from the study's plan."""
    clipping_norm: float
    """C, fixed beforehand on public patients."""
    sampling_probability: float
    """q, a declared constant; never computed from a store."""
    expected_batch_size: float
    """Patients: sampling_probability times declared_patients. The divisor, whoever was drawn."""
    declared_patients: int
    """What the site's policy declares."""
    steps: int
    """Most steps that one mechanism object may open."""
    batch_cap: int | None
    """Most patients in a step, so that its time and memory have a bound; None for an exact Poisson draw."""
    max_patients: int | None
    """What the site's policy allows at most; goes with `batch_cap`, None without."""
    lattice: bool
    """Whether sum and noise are rounded to one lattice before they meet (Mironov 2012)."""

    def __post_init__(self) -> None:
        self.event(self.steps)
        if not (math.isfinite(self.clipping_norm) and self.clipping_norm >= LEAST_CLIPPING_NORM):
            raise ConfigInvalid(f"`clipping_norm` must be a finite number of at least {LEAST_CLIPPING_NORM}.")
        check_expected_batch_size(self.expected_batch_size, self.sampling_probability, self.declared_patients)

    @classmethod
    def from_declared(
        cls,
        *,
        noise_multiplier: float,
        clipping_norm: float,
        sampling_probability: float,
        declared_patients: int,
        steps: int,
        batch_cap: int | None = None,
        max_patients: int | None = None,
        lattice: bool = False,
    ) -> Self:
        """The config whose divisor follows from what is declared: without a cap and a lattice unless asked for."""
        return cls(
            noise_multiplier=noise_multiplier,
            clipping_norm=clipping_norm,
            sampling_probability=sampling_probability,
            expected_batch_size=sampling_probability * declared_patients,
            declared_patients=declared_patients,
            steps=steps,
            batch_cap=batch_cap,
            max_patients=max_patients,
            lattice=lattice,
        )

    def event(self, steps: int) -> SampledGaussian:
        """What `steps` steps of this mechanism are to the ledger. Raises ConfigInvalid for a cap that costs privacy."""
        return sampled_gaussian(
            sampling_probability=self.sampling_probability,
            noise_multiplier=self.noise_multiplier,
            steps=steps,
            batch_cap=self.batch_cap,
            max_patients=self.max_patients,
        )


def check_expected_batch_size(expected_batch_size: float, sampling_probability: float, declared_patients: int) -> None:
    """Raises ConfigInvalid unless the divisor is q times the declared number, to half a patient."""
    if declared_patients < 1 or abs(expected_batch_size - sampling_probability * declared_patients) > 0.5:
        raise ConfigInvalid(
            "`expected_batch_size` must be `sampling_probability` times `declared_patients`: declare both."
        )
    if not expected_batch_size > 0.0:
        raise ConfigInvalid("`expected_batch_size` must be above 0.")


@dataclass(frozen=True)
class Release:
    """The only thing that may leave."""

    values: dict[str, Tensor]
    """Noised mean gradient by parameter, on the CPU."""
    event: Event
    """What this step was to the ledger."""
    step: int
    """From 0 within its mechanism."""


class Mechanism:
    """The only maker of private releases."""

    stream_type: ClassVar[type[NoiseStream]] = NoiseStream
    """Exactly this class of stream is taken. Tests that plant another one must replace it here, in the open."""

    def __init__(
        self,
        config: MechanismConfig,
        settings: ExecutionSettings,
        *,
        noise: NoiseStream,
        ledger: Ledger,
        patients: Sequence[str],
        patient_stream: PatientStream,
        context: LedgerContext,
    ) -> None:
        """`patients` are the store's pseudonyms, each once; the rest is public. Raises MechanismMisused."""
        if type(noise) is not self.stream_type:
            raise MechanismMisused(
                "The noise stream can be replayed: give a `NoiseStream` itself, which only the OS keys."
            )
        if type(patient_stream) is not PatientStream:
            raise MechanismMisused(
                "The patients' stream can be replayed: give a `PatientStream` under the site's own key."
            )
        self.config, self.settings, self.context = config, settings, context
        self._sampler, self._dp_noise = noise.fork("sampler"), noise.fork("dp noise")
        self._ledger = ledger
        self._patients = checked_patients(patients)
        if config.max_patients is not None and len(self._patients) > config.max_patients:
            raise MechanismMisused("There are more patients than `max_patients`: a cap would cost more than charged.")
        self._patient_stream = checked_stream(patient_stream, context)
        self._opened = self._taken = 0
        self._reserved = 0

    @contextmanager
    def open(self, steps: int) -> Iterator[Self]:
        """Reserve `steps` steps durably, run the block, commit. Whatever happens inside, they count as spent.

        Raises BudgetExceeded or MechanismMisused (see `Ledger.reserve`) before anything is computed.
        """
        if self._reserved:
            raise MechanismMisused("The mechanism is open already: leave the first `open` before another.")
        if self._opened + steps > self.config.steps:
            raise BudgetExceeded("The mechanism was configured for fewer steps: configure as many as the round takes.")
        reservation = self._ledger.reserve(self.config.event(steps), self.context)
        self._opened += steps
        self._reserved = self._opened
        try:
            yield self
        finally:
            self._reserved = 0
            self._taken = self._opened  # steps that were not taken are lost
        self._ledger.commit(reservation)

    def step(self, parameters: Mapping[str, Tensor], loss: PatientLoss) -> Release:
        """One step on detached `parameters` (all of one device). Raises MechanismMisused outside `open`."""
        if self._taken >= self._reserved:
            raise MechanismMisused("No step is reserved: take steps inside `open`, and no more than it reserved.")
        step, self._taken = self._taken, self._taken + 1
        clipped = clipped_sum(
            loss,
            parameters,
            self._sampled(),
            patient_stream=self._patient_stream,
            step=step,
            clipping_norm=self.config.clipping_norm,
            settings=self.settings,
            lattice=self.config.lattice,
        )
        released = self._noised_mean(clipped)
        values = {name: released[name].to(parameter.dtype) for name, parameter in parameters.items()}
        return Release(values, self.config.event(1), step)

    def _sampled(self) -> list[str]:
        """Patients of this step, each drawn by a coin of its own; of more than the cap, a random subset."""
        coins = self._sampler.bernoulli(len(self._patients), self.config.sampling_probability)
        drawn = np.flatnonzero(coins)
        if self.config.batch_cap is not None and len(drawn) > self.config.batch_cap:
            drawn = drawn[np.sort(self._sampler.subset(len(drawn), self.config.batch_cap))]
        return [self._patients[place] for place in drawn]

    def _noised_mean(self, clipped: ClippedSum) -> dict[str, Tensor]:
        """The sum with fresh noise on every coordinate, over the public divisor; float64, on the CPU."""
        noise_stddev = self.config.noise_multiplier * clipped.sensitivity
        if clipped.lattice_step is not None:
            return self._noised_mean_on_the_lattice(clipped.counts(), noise_stddev, clipped.lattice_step)
        released = {}
        for name, value in clipped.values().items():
            dp_noise = torch.from_numpy(self._dp_noise.gaussian(tuple(value.shape), clipped.noise_dtype(name))).double()
            released[name] = dp_noise.mul_(noise_stddev).add_(value.cpu()).div_(self.config.expected_batch_size)
        return released

    def _noised_mean_on_the_lattice(
        self, counts: Mapping[str, Tensor], noise_stddev: float, step: float
    ) -> dict[str, Tensor]:
        """The same in whole numbers: floor(x + 1/2) moves along with whole numbers, as rounding to even does not."""
        released = {}
        for name, count in counts.items():
            dp_noise = torch.from_numpy(self._dp_noise.gaussian(tuple(count.shape), np.float64))
            whole = dp_noise.mul_(noise_stddev / step).add_(0.5).floor_().add_(count.cpu())
            released[name] = whole.mul_(step).div_(self.config.expected_batch_size)
        return released


def clipped_sum(
    loss: PatientLoss,
    parameters: Mapping[str, Tensor],
    patients: Sequence[str],
    *,
    patient_stream: PatientStream,
    step: int,
    clipping_norm: float,
    settings: ExecutionSettings,
    lattice: bool = False,
) -> ClippedSum:
    """Sum of the patients' clipped gradients: not yet noised, so for the mechanism and its audit only."""
    clipped = ClippedSum(parameters, clipping_norm=clipping_norm, lattice=lattice)
    with no_shared_stream():
        for chunk in chunks(patients, settings.chunk_size):
            with no_patient_mixing():
                terms = drawn_terms(loss, chunk, patient_stream, step)
            clipped.fold(patient_gradients(loss, parameters, terms, settings))
    return clipped


def checked_patients(patients: Sequence[str]) -> list[str]:
    """The patients, sorted. Raises MechanismMisused where one stands twice: it would count twice."""
    if len(set(patients)) != len(patients):
        raise MechanismMisused("A patient stands twice in the list: each pseudonym may be there once.")
    return sorted(patients)


def checked_stream(patient_stream: PatientStream, context: LedgerContext) -> PatientStream:
    """The stream, if it belongs to this study, stage and round. Raises MechanismMisused."""
    own = LedgerContext(
        study_digest=patient_stream.study_digest,
        stage=patient_stream.stage,
        round_number=patient_stream.round_number,
    )
    if own != context:
        raise MechanismMisused(
            "The patients' stream belongs to another study, stage or round: make one for this round."
        )
    return patient_stream


def drawn_terms(loss: PatientLoss, patients: Sequence[str], stream: PatientStream, step: int) -> list[list[Term]]:
    """Each patient's terms, drawn from a generator that is that patient's alone."""
    return [
        loss.draw(pseudonym, generator=torch.Generator().manual_seed(stream.seed(step=step, pseudonym=pseudonym)))
        for pseudonym in patients
    ]

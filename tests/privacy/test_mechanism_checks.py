"""The checks that `fedm2g audit mechanism` runs pass this build, and each fails the build it was made for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from privacy import clipping, mechanism
from privacy.audit.mechanism_checks import CheckResult, check_mechanism, failed
from privacy.mechanism import Mechanism
from privacy.noise import NoiseStream
from privacy.patient_stream import PatientStream

TRIALS = 1000


def names_of_failed() -> set[str]:
    return {result.name for result in failed(check_mechanism(trials=TRIALS))}


def test_this_build_passes_and_says_what_it_looked_at() -> None:
    told: list[tuple[int, int, str]] = []
    results = check_mechanism(progress=lambda *step: told.append(step))
    assert failed(results) == [] and len(results) == 8
    assert [name for _, _, name in told] == [result.name for result in results]
    for result in results:
        assert result.proposition and result.figure and result.power
        assert "invented-" not in result.figure, "no patient, not even an invented one, is named"
    assert isinstance(results[0], CheckResult)


def scaled(scale: float) -> Any:
    inner = NoiseStream.gaussian

    def gaussian(self: NoiseStream, shape: Any, dtype: Any = np.float32) -> np.ndarray:
        return inner(self, shape, dtype) * dtype(scale)

    return gaussian


def rate_times(factor: float) -> Any:
    inner = NoiseStream.bernoulli
    return lambda self, count, probability: inner(self, count, min(1.0, probability * factor))


def fixed_size(self: NoiseStream, count: int, probability: float) -> np.ndarray:
    coins = np.zeros(count, bool)
    coins[np.argsort(self.words(count, np.uint64))[: round(count * probability)]] = True
    return coins


def no_clip(squared_norms: torch.Tensor, *, clipping_norm: float) -> torch.Tensor:
    return torch.ones_like(squared_norms)


NOISE = {"noise has the stated scale", "noise on the lattice has the stated scale"}


@pytest.mark.parametrize(
    ("fault", "seen_by"),
    [
        ((NoiseStream, "gaussian", scaled(2 / 3)), NOISE),
        ((NoiseStream, "gaussian", scaled(3 / 2)), NOISE),
        (
            (clipping, "clip_weights", no_clip),
            {"one patient moves the sum by the clipping norm", "many numbers do not lengthen the clip"},
        ),
        ((NoiseStream, "bernoulli", rate_times(2.0)), {"sampler keeps its rate", "sampler is independent"}),
        ((NoiseStream, "bernoulli", rate_times(2 / 3)), {"sampler keeps its rate"}),
        ((NoiseStream, "bernoulli", fixed_size), {"sampler is independent"}),
        ((NoiseStream, "__init__", lambda self: self._start(bytes(32))), {"nobody draws twice the same"}),
        ((PatientStream, "seed", lambda self, *, step, pseudonym: 7), {"nobody draws twice the same"}),
    ],
    ids=["noise 2/3", "noise 3/2", "no clip", "rate x 2", "rate x 2/3", "fixed size", "seeded", "shared stream"],
)
def test_planted_faults_are_each_seen_by_the_check_that_names_them(
    fault: tuple[Any, str, Any], seen_by: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*fault)
    assert seen_by <= names_of_failed()


def test_planted_a_lattice_that_is_not_used_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = mechanism.clipped_sum
    monkeypatch.setattr(mechanism, "clipped_sum", lambda *given, lattice, **more: plain(*given, lattice=False, **more))
    assert names_of_failed() == {"noise on the lattice has the stated scale"}


def test_planted_a_step_that_is_not_charged_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Free:
        def reserve(self, event: Any, context: Any) -> None: ...

        def commit(self, reservation: Any) -> None: ...

    init = Mechanism.__init__

    def without_a_ledger(self: Mechanism, *given: Any, **more: Any) -> None:
        init(self, *given, **more)
        self._ledger = Free()  # type: ignore[assignment]

    monkeypatch.setattr(Mechanism, "__init__", without_a_ledger)
    assert names_of_failed() == {"what runs is charged"}


def test_a_build_that_cannot_run_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    from privacy.errors import MechanismMisused

    def broken(*given: Any, **more: Any) -> None:
        raise MechanismMisused("out of order")

    monkeypatch.setattr(mechanism.Mechanism, "_sampled", broken)
    assert {"sampler keeps its rate", "noise has the stated scale"} <= names_of_failed()


def test_too_few_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1000"):
        check_mechanism(trials=10)

"""Training without privacy: refused by default, said in the ledger, and reproducible."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from privacy.engines import ExecutionSettings
from privacy.errors import ConfigInvalid, MechanismMisused, PolicyRefused
from privacy.non_private import NonPrivateConfig, NonPrivateMechanism
from privacy.patient_stream import SeededPatientStream

PATIENTS = [f"p{n}" for n in range(50)]


def mechanism(
    site: Any, *, seed: int = 3, chunk_size: int = 6, engine: str = "vmap", round_number: int = 1, q: float = 0.5
) -> NonPrivateMechanism:
    context = site.context(round_number=round_number)
    return NonPrivateMechanism(
        NonPrivateConfig.from_declared(sampling_probability=q, declared_patients=100, steps=4),
        ExecutionSettings(chunk_size=chunk_size, engine=engine),  # type: ignore[arg-type]
        ledger=site.ledger,
        patients=PATIENTS,
        patient_stream=SeededPatientStream(
            seed, study_digest=context.study_digest, stage=context.stage, round_number=context.round_number
        ),
        context=context,
        seed=seed,
    )


def released(site: Any, doubles: SimpleNamespace, **changes: Any) -> torch.Tensor:
    loss = doubles.ToyLoss()
    made = mechanism(site, **changes)
    with made.open(2):
        values = [made.step(loss.parameters, loss).values for _ in range(2)]
    return torch.cat([value.flatten() for step in values for value in step.values()])


def test_it_is_refused_unless_the_policy_allows_it(site: Any) -> None:
    with pytest.raises(PolicyRefused):
        mechanism(site)
    with pytest.raises(PolicyRefused):
        site.ledger.record_non_private(1, site.context())


def test_the_ledger_says_so_and_epsilon_is_infinite_from_then_on(
    make_site: Callable[..., Any], doubles: SimpleNamespace
) -> None:
    site = make_site(allow_non_private=True)
    assert site.ledger.epsilon_spent(delta=1e-3) == 0.0
    released(site, doubles)
    assert [entry.kind for entry in site.ledger.entries()][-1] == "non-private"
    assert math.isinf(site.ledger.epsilon_spent(delta=1e-3))


def test_the_same_seeds_give_the_same_release_and_other_seeds_another(
    make_site: Callable[..., Any], doubles: SimpleNamespace
) -> None:
    one, two = make_site(allow_non_private=True), make_site(allow_non_private=True)
    reference = released(one, doubles)
    assert torch.equal(released(two, doubles), reference)
    assert not torch.allclose(released(one, doubles, seed=4), reference)
    assert not torch.allclose(released(one, doubles, round_number=2), reference)


@pytest.mark.parametrize("changes", [{"chunk_size": 1}, {"chunk_size": 100}, {"engine": "loop"}])
def test_settings_change_nothing_but_rounding(
    make_site: Callable[..., Any], doubles: SimpleNamespace, changes: dict
) -> None:
    site = make_site(allow_non_private=True)
    assert torch.allclose(released(site, doubles, **changes), released(site, doubles), rtol=1e-9, atol=1e-12)


def test_it_releases_the_sum_of_plain_gradients_over_the_expected_batch_size(
    make_site: Callable[..., Any], doubles: SimpleNamespace
) -> None:
    site = make_site(allow_non_private=True)
    loss = doubles.FixedLoss({who: torch.full((2,), float(n)).double() for n, who in enumerate(PATIENTS)})
    made = mechanism(site, q=1.0)
    with made.open(1):
        value = made.step({"w": torch.zeros(2).double()}, loss).values["w"]
    assert value.tolist() == pytest.approx([sum(range(50)) / 100] * 2)


def test_a_gradient_that_is_not_finite_stops_it(make_site: Callable[..., Any], doubles: SimpleNamespace) -> None:
    site = make_site(allow_non_private=True)
    loss = doubles.FixedLoss({who: torch.full((2,), float("nan")) for who in PATIENTS})
    made = mechanism(site)
    with pytest.raises(MechanismMisused), made.open(1):
        made.step({"w": torch.zeros(2)}, loss)


def test_a_step_outside_open_is_refused(make_site: Callable[..., Any], doubles: SimpleNamespace) -> None:
    made = mechanism(make_site(allow_non_private=True))
    with pytest.raises(MechanismMisused):
        made.step({"w": torch.zeros(2)}, doubles.FixedLoss({}))
    with pytest.raises(MechanismMisused), made.open(5):
        pass


def test_a_configuration_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ConfigInvalid):
        NonPrivateConfig(sampling_probability=0.5, expected_batch_size=10.0, declared_patients=100, steps=1)
    with pytest.raises(ConfigInvalid):
        NonPrivateConfig(sampling_probability=0.0, expected_batch_size=10.0, declared_patients=100, steps=1)

"""What a study says of its mechanism (cap, lattice) is what runs: plan, ledger and mechanism agree; so do engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from client.vault.training import Trainer
from privacy.clipping import lattice_step_for
from privacy.engines import ExecutionSettings
from privacy.events import CappedSampledGaussian, least_batch_cap
from protocol.requests import TrainRequest
from protocol.study import Study

MakeSite = Callable[..., Any]
MakeStudy = Callable[..., Study]
MakeRequest = Callable[..., TrainRequest]
ALIGN = [{"name": "align", "rounds": 2, "sampling_probability": 0.3}]


def test_a_capped_study_is_planned_charged_and_run_capped(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    vault = make_site().vault()
    study = make_study(stages=ALIGN, privacy={"max_epsilon": 2.0, "spare_rounds": 0.0, "batch_cap": True})
    approval = vault.approve(study)
    cap = least_batch_cap(sampling_probability=0.3, max_patients=40)
    assert approval.plan is not None
    expected = CappedSampledGaussian(
        sampling_probability=0.3,
        noise_multiplier=approval.plan.noise_multiplier,
        steps=2,
        batch_cap=cap,
        max_patients=40,
    )
    assert approval.plan.events() == (expected,) and 1.99 < approval.plan.epsilon <= 2.0
    reply = vault.train(make_request(study, "align"))
    assert vault._ledger.events()[approval.digest] == [expected.one_step()]
    assert 0 < reply.metrics["epsilon_spent"] < approval.plan.epsilon
    assert vault._ledger.epsilon_spent(delta=approval.plan.delta) <= reply.metrics["epsilon_spent"] * (1 + 1e-9)


def test_a_study_on_a_lattice_releases_whole_numbers_of_steps(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privacy.mechanism import Mechanism

    released: dict[str, Any] = {}
    inner = Mechanism._noised_mean
    monkeypatch.setattr(Mechanism, "_noised_mean", lambda *given: released.setdefault("values", inner(*given)))
    vault = make_site().vault()
    study = make_study(stages=ALIGN, privacy={"max_epsilon": 2.0, "spare_rounds": 0.0, "lattice": True})
    vault.approve(study)
    reply = vault.train(make_request(study, "align"))
    values = released["values"]  # before they are rounded to float32
    step = lattice_step_for(1.0, sum(value.numel() for value in values.values()))
    counts = np.concatenate([value.numpy().ravel() for value in values.values()]) * (0.3 * 12) / step
    assert np.abs(counts - np.round(counts)).max() < 1e-5 and np.abs(counts).max() > 1e4
    sent = next(iter(reply.updates["alignment/xray"].values())).ravel()
    assert np.std(sent) > 0


@pytest.mark.parametrize("stage", ["diffuse", "guide"])
def test_a_round_under_opacus_hooks_runs_and_leaves_the_generator_as_it_was(
    make_site: MakeSite,
    make_study: MakeStudy,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    vault, study = make_site().vault(), make_study()
    trainer: Trainer = vault._trainer
    monkeypatch.setattr(trainer, "_execution", ExecutionSettings(chunk_size=8, engine="opacus"))
    vault.approve(study)
    before = {name: value.clone() for name, value in trainer.shared.generator.named_parameters()}
    reply = vault.train(make_request(study, stage))
    assert all(np.isfinite(array).all() for group in reply.updates.values() for array in group.values())
    trained = {name for group in reply.updates.values() for name in group}  # what is only read may have been loaded
    for name, value in trainer.shared.generator.named_parameters():
        assert not hasattr(value, "grad_sample") and value.grad is None
        assert name not in trained or (value == before[name]).all()

"""The canary study passes the true mechanism and refutes each planted fault; its estimator raises no false alarms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privacy.accounting import plan_study
from privacy.audit.canaries import BLOCKS, SealedCoins, WithCanaries, along_canaries, canary_name, logged
from privacy.audit.canary_audit import CanaryVerdict, GuessPlan, judge, planned_guesses
from privacy.audit.power import power
from privacy.audit.step_checks import step_checks
from privacy.audit.step_log import LoggedStep, difference_scores, log_likelihood_ratios, scores, simulated_log
from privacy.engines import ExecutionSettings, Term
from privacy.errors import ConfigInvalid, MechanismMisused
from privacy.events import LedgerContext, SampledGaussian
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.mechanism import Mechanism, MechanismConfig
from privacy.noise import NoiseStream
from privacy.patient_stream import PatientStream
from privacy.policy import SitePolicy

CANARIES = 3000
PATIENTS = [f"p{number}" for number in range(6)]
STAGES = {"diffuse": (0.2, 12)}
NORM = 0.3
DIGEST = "7" * 64


class Quadratic:
    """A real patient's loss beside the canaries: touches `w` alone."""

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        return [Term("own", {"x": torch.randn(5, generator=generator)})]

    def touched(self, kind: str) -> list[str]:
        return ["w"]

    def loss(self, kind: str, parameters: dict[str, Any], tensors: dict[str, Any]) -> Any:
        return (parameters["w"] - tensors["x"]).square().sum()


def run(folder: Path, patients: list[str], *, stream: type[NoiseStream] = NoiseStream) -> list[LoggedStep]:
    """Every step of the plan at one site, as a hospital runs it."""
    folder.mkdir()
    keys, declared = SiteKeys.create(folder), CANARIES + len(PATIENTS)
    plan = plan_study(study_digest=DIGEST, stages=STAGES, spare=0.0, max_epsilon=4.0, delta=0.1 / declared)
    policy = SitePolicy.from_dict(
        {
            "name": "canaries",
            "declared_patients": declared,
            "max_patients": declared,
            "declared_flows": ["xray"],
            "max_epsilon": 4.0,
            "max_epsilon_per_study": 4.0,
            "max_delta": 0.1 / declared,
            "allowed_stages": ["diffuse"],
        }
    )
    ledger = Ledger(folder / "ledger.sqlite", keys.signing_key, policy)
    ledger.approve(plan)
    place = {"study_digest": DIGEST, "stage": "diffuse", "round_number": 1}
    kind = Mechanism if stream is NoiseStream else type("Planted", (Mechanism,), {"stream_type": stream})
    mechanism = kind(
        MechanismConfig.from_declared(
            noise_multiplier=plan.noise_multiplier,
            clipping_norm=NORM,
            sampling_probability=STAGES["diffuse"][0],
            declared_patients=declared,
            steps=STAGES["diffuse"][1],
        ),
        ExecutionSettings(chunk_size=256, engine="vmap"),
        noise=stream(),
        ledger=ledger,
        patients=patients,
        patient_stream=PatientStream(keys.stream_key, **place),  # type: ignore[arg-type]
        context=LedgerContext(**place),  # type: ignore[arg-type]
    )
    loss = WithCanaries(Quadratic(), canaries=CANARIES, clipping_norm=NORM)
    parameters = {"w": torch.zeros(5)} | loss.parameters()
    with mechanism.open(STAGES["diffuse"][1]):
        releases = [mechanism.step(parameters, loss) for _ in range(STAGES["diffuse"][1])]
    divisor = mechanism.config.expected_batch_size
    return [logged(release, clipping_norm=NORM, expected_batch_size=divisor) for release in releases]


@dataclass(frozen=True)
class Audited:
    verdict: CanaryVerdict
    failed: set[str]


def audited(folder: Path, *, stream: type[NoiseStream] = NoiseStream) -> Audited:
    coins = SealedCoins(CANARIES)
    log = run(folder / "one", PATIENTS + coins.included(), stream=stream)
    rehearsal = run(folder / "other", [], stream=stream)
    events = [step.event for step in log]
    both = {"step log": scores(log), "difference": difference_scores(log, rehearsal)}
    plan = planned_guesses(events, CANARIES)
    verdict = judge(both, coins.open(), events, delta=0.1 / (CANARIES + len(PATIENTS)), plan=plan)
    checks = step_checks(log, rehearsal, coins.open())
    return Audited(verdict, {check.name for check in checks if not check.passed})


def test_the_true_mechanism_passes_and_something_is_shown(tmp_path: Path) -> None:
    found = audited(tmp_path)
    assert not found.verdict.refuted and not found.failed
    assert 0.5 < found.verdict.lower_bound < found.verdict.claimed < 4.0
    bounds = found.verdict.by_score
    assert bounds["difference"].same_schedule < bounds["step log"].same_schedule


@pytest.mark.parametrize(("scale", "proved"), [(0.5, False), (0.4, True), (0.95, False)])
def test_planted_less_noise_is_caught(scale: float, proved: bool, tmp_path: Path, doubles: Any) -> None:
    """The step log shows any; the one-run bound proves it where an attacker gains most (its power: `test_power`)."""
    found = audited(tmp_path, stream=doubles.scaled_stream(scale))
    assert found.failed == {"noise"}
    assert found.verdict.by_score["step log"].refuted or not proved


def test_planted_a_missing_clip_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privacy.clipping.clip_weights", lambda norms, *, clipping_norm: torch.ones_like(norms))
    found = audited(tmp_path)
    assert found.verdict.refuted and found.failed == {"contribution"}


def test_planted_a_seed_that_two_sites_share_is_caught(tmp_path: Path, doubles: Any) -> None:
    """The noise is right in scale, so only the difference of two runs shows it."""
    found = audited(tmp_path, stream=doubles.SeededStream)
    assert found.failed == {"two runs"}
    assert found.verdict.by_score["difference"].refuted and not found.verdict.by_score["step log"].refuted


def test_planted_noise_that_repeats_and_a_doubled_rate_are_caught(tmp_path: Path) -> None:
    class Stuck(NoiseStream):
        """Every step starts the same noise again."""

        def gaussian(self, shape: Any, dtype: Any = np.float32) -> np.ndarray:
            return np.random.default_rng(int(np.prod(shape))).normal(size=shape).astype(dtype)

    class Doubled(NoiseStream):
        def bernoulli(self, count: int, probability: float) -> np.ndarray:
            return super().bernoulli(count, 2 * probability)

    (tmp_path / "stuck").mkdir(), (tmp_path / "doubled").mkdir()
    assert "two steps" in audited(tmp_path / "stuck", stream=Stuck).failed
    assert audited(tmp_path / "doubled", stream=Doubled).failed == {"contribution"}


@pytest.mark.parametrize(("fault", "counts"), [("term", 2.0), ("tensor", 2**0.5), ("none", 1.0)])
def test_a_canary_counts_one_and_more_where_it_is_clipped_apart(
    fault: str, counts: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doubles: Any
) -> None:
    from privacy.clipping import ClippedSum
    from privacy.gradients import PatientGradients

    def apart(self: ClippedSum, gradients: PatientGradients) -> None:
        for name, (_, rows) in gradients._rows.items():
            inner = self._clipping_norm / (rows.flatten(1).norm(dim=1) + 1e-12)
            self._sums[name] += (rows * inner.clamp(max=1.0)[:, None]).sum(0)

    add = PatientGradients.add

    def term_by_term(self: PatientGradients, owners: Any, gradients: Any) -> None:
        length = sum(rows.square().sum(1) for rows in gradients.values()).sqrt() + 1e-12
        add(self, owners, {name: rows * (NORM / length)[:, None] for name, rows in gradients.items()})

    if fault == "tensor":
        monkeypatch.setattr(ClippedSum, "fold", apart)
    if fault == "term":
        monkeypatch.setattr(PatientGradients, "add", term_by_term)
        monkeypatch.setattr("privacy.clipping.clip_weights", lambda norms, *, clipping_norm: torch.ones_like(norms))
    log = run(tmp_path / "one", [canary_name(3)], stream=doubles.SilentStream)
    assert log[0].values[3] == pytest.approx(counts, rel=1e-4)
    assert np.delete(log[0].values, 3) == pytest.approx(np.zeros(CANARIES - 1), abs=1e-6)


SCHEDULE = [
    SampledGaussian(sampling_probability=0.1, noise_multiplier=0.7, steps=12),
    SampledGaussian(sampling_probability=0.02, noise_multiplier=0.7, steps=12),
]


def test_the_estimator_raises_no_more_false_alarms_than_it_says() -> None:
    """150 runs of the whole estimator, both scores, on a mechanism that does what it charges."""
    found = power(SCHEDULE, canaries=1000, plan=planned_guesses(SCHEDULE, 1000), runs=150, seed=5, noise_scales=(1.0,))
    assert found[0].refuted <= 0.05 * found[0].runs


def test_power_half_the_noise_is_refuted_nine_times_in_ten() -> None:
    plan = planned_guesses(SCHEDULE, 4000)
    half, third = power(SCHEDULE, canaries=4000, plan=plan, runs=20, seed=6, noise_scales=(0.5, 0.33))
    assert half.refuted >= 18 and third.refuted == 20


def test_the_step_checks_raise_hardly_any_false_alarm() -> None:
    """300 runs of four tests at 1e-4 each: more than two alarms would come once in a thousand times."""
    rng, alarms = np.random.default_rng(8), 0
    for _ in range(300):
        coins = rng.random(200) < 0.5
        log = simulated_log(SCHEDULE, coins, noise_scale=1.0, rng=rng)
        rehearsal = simulated_log(SCHEDULE, coins & False, noise_scale=1.0, rng=rng)
        alarms += sum(not check.passed for check in step_checks(log, rehearsal, coins))
    assert alarms <= 2
    with pytest.raises(ConfigInvalid):
        step_checks(log, rehearsal[1:], coins)


@pytest.mark.parametrize("mu", [0.5, 1.0, 2.0])
def test_lower_bounds_exceed_the_truth_in_no_more_runs_than_they_say(mu: float) -> None:
    """One full-batch Gaussian step, truth known: 100 runs each, Steinke's bound and the same-schedule bound."""
    events = [SampledGaussian(sampling_probability=1.0, noise_multiplier=1.0 / mu, steps=1)]
    rng, above = np.random.default_rng(17), 0
    for _ in range(100):
        coins = rng.random(1000) < 0.5
        values = scores(simulated_log(events, coins, noise_scale=1.0, rng=rng))
        verdict = judge({"step log": values}, coins, events, delta=1e-5, plan=GuessPlan(50, 50))
        above += verdict.refuted or verdict.lower_bound > verdict.claimed
    assert above <= 5


def test_the_score_is_the_likelihood_ratio() -> None:
    q, z, x = 0.3, 0.8, np.array([-1.0, 0.0, 0.4, 2.5])
    density = lambda mean: np.exp(-((x - mean) ** 2) / (2 * z**2))  # noqa: E731
    ratio = log_likelihood_ratios(x, sampling_probability=q, noise_multiplier=z)
    assert ratio == pytest.approx(np.log((1 - q) + q * density(1.0) / density(0.0)))
    whole = log_likelihood_ratios(x, sampling_probability=1.0, noise_multiplier=z)
    assert whole == pytest.approx(np.log(density(1.0) / density(0.0)))


def test_coins_are_fair_sealed_and_cannot_be_changed_after() -> None:
    coins = SealedCoins(20_000)
    assert abs(coins.open().mean() - 0.5) < 0.02
    assert coins.included() == [canary_name(number) for number in np.flatnonzero(coins.open())]
    assert SealedCoins(20_000).digest != coins.digest
    coins._coins = ~coins._coins
    with pytest.raises(MechanismMisused, match="not those that were sealed"):
        coins.open()


def test_scores_that_do_not_fit_are_refused() -> None:
    events = [SampledGaussian(sampling_probability=1.0, noise_multiplier=1.0, steps=1)]
    plan, coins = GuessPlan(2, 0), np.array([True, False, True, False])
    for values in (np.zeros(3), np.array([0.0, 1.0, np.nan, 2.0])):
        with pytest.raises(ConfigInvalid):
            judge({"step log": values}, coins, events, delta=1e-3, plan=plan)
    with pytest.raises(ConfigInvalid):
        judge({}, coins, events, delta=1e-3, plan=plan)
    assert along_canaries({name: torch.ones(2) for name in BLOCKS}) == pytest.approx([2**0.5] * 2)

"""The mechanism as one object: each proposition of privacy/mechanism.py, and its planted fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from privacy.engines import ENGINES, ExecutionSettings, Term
from privacy.errors import BudgetExceeded, ConfigInvalid, MechanismMisused
from privacy.mechanism import Mechanism, MechanismConfig
from privacy.noise import NoiseStream
from privacy.patient_stream import PatientStream, SeededPatientStream
from tests.privacy.releases import SIZE, fixed, has_stated_scale, one_release


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_noise_has_the_stated_scale_on_every_coordinate(
    site: Any, doubles: SimpleNamespace, dtype: torch.dtype
) -> None:
    loss = doubles.FixedLoss({"p": torch.zeros(SIZE, dtype=dtype)})
    parameters = {"w": torch.zeros(SIZE, dtype=dtype)}
    value = one_release(site.mechanism(["p"], clipping_norm=0.5), loss, parameters)
    assert value.dtype == dtype
    assert has_stated_scale(value, 2.0 * 0.5 / 20)


@pytest.mark.parametrize("scale", [2 / 3, 3 / 2])
def test_noise_of_two_thirds_or_three_halves_is_noticed(site: Any, doubles: SimpleNamespace, scale: float) -> None:
    loss = doubles.FixedLoss({"p": torch.zeros(SIZE)})
    mechanism = site.mechanism(["p"], clipping_norm=0.5, stream=doubles.scaled_stream(scale))
    value = one_release(mechanism, loss, {"w": torch.zeros(SIZE)})
    assert not has_stated_scale(value, 2.0 * 0.5 / 20)


def test_noise_never_repeats_across_steps_tensors_or_mechanisms(site: Any, doubles: SimpleNamespace) -> None:
    loss = doubles.FixedLoss({})
    parameters = {"a": torch.zeros(500), "b": torch.zeros(500)}
    drawn: list[torch.Tensor] = []
    for round_number in (1, 2):
        mechanism = site.mechanism([], round_number=round_number, noise_multiplier=2.0)
        with mechanism.open(2):
            drawn += [value for _ in range(2) for value in mechanism.step(parameters, loss).values.values()]
    values = torch.cat(drawn)
    assert len(values.unique()) > 0.999 * len(values)
    close = np.corrcoef(torch.stack(drawn).numpy())[np.triu_indices(len(drawn), 1)]
    assert np.abs(close).max() < 6.5 / np.sqrt(500)


def test_an_empty_draw_is_noised_and_charged_like_any_other(site: Any, doubles: SimpleNamespace) -> None:
    loss, patients, _ = fixed(doubles, [1.0] * 5)
    mechanism = site.mechanism(patients, stream=doubles.empty_stream())
    value = one_release(mechanism, loss, {"w": torch.zeros(SIZE)})
    assert has_stated_scale(value, 2.0 / 20)
    assert site.ledger.steps_left(doubles.STUDY, "align") == 19


def test_planted_a_skipped_empty_draw_is_noticed(site: Any, doubles: SimpleNamespace) -> None:
    class Skipping(Mechanism):
        stream_type = doubles.empty_stream()

        def _noised_mean(self, clipped: Any) -> dict[str, torch.Tensor]:
            nobody = not any(value.any() for value in clipped.values().values())
            return clipped.values() if nobody else super()._noised_mean(clipped)

    loss, patients, _ = fixed(doubles, [1.0] * 5)
    mechanism = site.mechanism(patients)
    mechanism.__class__, mechanism._sampler = Skipping, Skipping.stream_type()
    assert not has_stated_scale(one_release(mechanism, loss, {"w": torch.zeros(SIZE)}), 2.0 / 20)


def test_a_release_holds_values_event_and_number_and_nothing_is_printed_or_logged(
    site: Any, doubles: SimpleNamespace, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A loss, a norm, a share of clipped patients or their number would be one more release."""
    loss, patients, parameters = fixed(doubles, [1.0] * 5)
    caplog.set_level(0)
    mechanism = site.mechanism(patients)
    with mechanism.open(1):
        release = mechanism.step(parameters, loss)
    assert [field.name for field in dataclasses.fields(release)] == ["values", "event", "step"]
    assert set(release.values) == set(parameters)
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_a_step_equals_the_clipped_sum_over_the_public_divisor_whoever_was_drawn(
    site: Any, doubles: SimpleNamespace
) -> None:
    loss, patients, parameters = fixed(doubles, [0.5, 3.0, float("nan"), -0.25])
    value = one_release(site.mechanism(patients, stream=doubles.SilentStream), loss, parameters)
    assert value.tolist() == pytest.approx([(0.5 + 1.0 + 0.0 - 0.25) / 20, 0, 0], rel=1e-4)


def test_division_by_the_number_drawn_would_be_noticed(site: Any, doubles: SimpleNamespace) -> None:
    """Planted: the mean over those drawn. Removing one of two equal patients must move the release; a mean hides it."""

    class MeanMechanism(Mechanism):
        stream_type = doubles.SilentStream

        def _noised_mean(self, clipped: Any) -> dict[str, torch.Tensor]:
            return {name: value / max(1, len(self._sampled())) for name, value in clipped.values().items()}

    def moved(kind: type[Mechanism]) -> float:
        released = []
        for count in (2, 1):
            loss, patients, parameters = fixed(doubles, [1.0] * count)
            mechanism = site.mechanism(patients, stream=doubles.SilentStream)
            mechanism.__class__ = kind
            released.append(one_release(mechanism, loss, parameters)[0].item())
        return abs(released[0] - released[1])

    right = type("SilentMechanism", (Mechanism,), {"stream_type": doubles.SilentStream})
    assert moved(right) == pytest.approx(1 / 20, rel=1e-4)
    assert moved(MeanMechanism) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_chunk_size_and_engine_change_nothing_released(
    make_site: Callable[..., Any], doubles: SimpleNamespace, engine: str
) -> None:
    """Under a planted seeded stream every setting must release the same values: same patients, same noise."""
    loss = doubles.ToyLoss()
    patients = [f"p{n}" for n in range(60)]
    released = []
    site = make_site()
    for chunk_size in (1, 7, 100):
        mechanism = site.mechanism(patients, stream=doubles.SeededStream, chunk_size=chunk_size, engine=engine)
        with mechanism.open(1):
            released.append(mechanism.step(loss.parameters, loss).values)
    for other in released[1:]:
        for name, value in released[0].items():
            assert torch.allclose(value, other[name], rtol=1e-9, atol=1e-12)


def released_twice(site: Any, doubles: SimpleNamespace, stream: type[NoiseStream]) -> tuple[torch.Tensor, torch.Tensor]:
    """Two mechanisms of equal configuration, on a loss that shows who was drawn and under so much noise as planned."""
    loss, patients, _ = fixed(doubles, [1.0] * 50, size=200)
    parameters = {"w": torch.zeros(200, dtype=torch.float64)}
    one, two = (one_release(site.mechanism(patients, stream=stream), loss, parameters) for _ in range(2))
    return one, two


def test_two_mechanisms_of_equal_configuration_never_draw_the_same(site: Any, doubles: SimpleNamespace) -> None:
    one, two = released_twice(site, doubles, NoiseStream)
    assert not (one == two).any()


def test_a_study_seeded_stream_would_be_noticed(site: Any, doubles: SimpleNamespace) -> None:
    one, two = released_twice(site, doubles, doubles.SeededStream)
    assert torch.equal(one, two)


def test_two_mechanisms_of_equal_configuration_sample_different_patients(site: Any) -> None:
    patients = [f"p{n}" for n in range(100)]
    one, two = (site.mechanism(patients) for _ in range(2))
    assert [one._sampled() for _ in range(5)] != [two._sampled() for _ in range(5)]


def test_patients_are_sampled_with_the_stated_probability_each_independently(site: Any) -> None:
    patients = [f"p{n}" for n in range(50)]
    mechanism = site.mechanism(patients)
    drawn = np.array([np.isin(patients, mechanism._sampled()) for _ in range(4000)], float)
    counts = drawn.sum(0)
    assert all(stats.binomtest(int(count), 4000, 0.2).pvalue > 1e-8 for count in counts)
    sizes = drawn.sum(1)
    assert abs(sizes.var() - 50 * 0.2 * 0.8) < 1.5, "a fixed batch size would have no variance"
    assert np.abs(np.corrcoef(drawn.T)[np.triu_indices(50, 1)]).max() < 6.5 / np.sqrt(4000)


def test_a_stream_that_can_be_replayed_is_refused(site: Any, doubles: SimpleNamespace) -> None:
    context = site.context()
    parts: dict[str, Any] = {"ledger": site.ledger, "patients": ["p"], "context": context}
    settings = ExecutionSettings(chunk_size=1, engine="loop")
    for planted in (doubles.SeededStream(), doubles.SilentStream(), np.random.default_rng(0)):
        with pytest.raises(MechanismMisused):
            Mechanism(site.config(), settings, noise=planted, patient_stream=site.patient_stream(context), **parts)
    seeded = SeededPatientStream(1, study_digest=context.study_digest, stage="align", round_number=1)
    with pytest.raises(MechanismMisused):
        Mechanism(site.config(), settings, noise=NoiseStream(), patient_stream=seeded, **parts)


def test_a_patient_stream_of_another_round_is_refused(site: Any) -> None:
    other = site.patient_stream(site.context(round_number=2))
    with pytest.raises(MechanismMisused):
        Mechanism(
            site.config(),
            ExecutionSettings(chunk_size=1, engine="loop"),
            noise=NoiseStream(),
            ledger=site.ledger,
            patients=["p"],
            patient_stream=other,
            context=site.context(),
        )


def test_a_patient_that_stands_twice_is_refused(site: Any) -> None:
    with pytest.raises(MechanismMisused):
        site.mechanism(["p", "q", "p"])


def test_a_step_without_a_reservation_is_refused(site: Any, doubles: SimpleNamespace) -> None:
    loss, patients, parameters = fixed(doubles, [1.0])
    mechanism = site.mechanism(patients)
    with pytest.raises(MechanismMisused):
        mechanism.step(parameters, loss)
    with mechanism.open(1):
        mechanism.step(parameters, loss)
        with pytest.raises(MechanismMisused):
            mechanism.step(parameters, loss)
    with pytest.raises(MechanismMisused):
        mechanism.step(parameters, loss)


def test_opening_twice_at_once_or_beyond_the_configuration_is_refused(site: Any) -> None:
    mechanism = site.mechanism(["p"])
    with mechanism.open(2), pytest.raises(MechanismMisused), mechanism.open(1):
        pass
    with pytest.raises(BudgetExceeded), mechanism.open(4):
        pass


def test_the_event_that_is_charged_is_the_one_that_is_executed(site: Any, doubles: SimpleNamespace) -> None:
    loss, patients, parameters = fixed(doubles, [1.0])
    mechanism = site.mechanism(patients)
    with mechanism.open(3):
        steps = [mechanism.step(parameters, loss) for _ in range(3)]
    assert [release.step for release in steps] == [0, 1, 2]
    assert all(release.event == mechanism.config.event(1) for release in steps)
    assert site.ledger.events()[doubles.STUDY] == [mechanism.config.event(3)]
    with pytest.raises(MechanismMisused), site.mechanism(patients, noise_multiplier=1.9).open(1):
        pass
    with pytest.raises(MechanismMisused), site.mechanism(patients, sampling_probability=0.1).open(1):
        pass


def test_a_crash_inside_is_spent_and_never_committed(site: Any, doubles: SimpleNamespace) -> None:
    class Crashing:
        def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
            raise OSError("disk gone")

    mechanism = site.mechanism(["p"] + [f"q{n}" for n in range(99)])
    with pytest.raises(OSError), mechanism.open(2):
        mechanism.step({"w": torch.zeros(1)}, Crashing())  # type: ignore[arg-type]
    assert site.ledger.steps_left(doubles.STUDY, "align") == 18
    assert [entry.kind for entry in site.ledger.entries()][-1] == "reserved"
    with pytest.raises(MechanismMisused):
        mechanism.step({"w": torch.zeros(1)}, Crashing())  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["draw", "loss"])
@pytest.mark.parametrize("stream", ["torch", "numpy"])
def test_a_loss_that_moves_a_shared_stream_is_refused(
    site: Any, doubles: SimpleNamespace, where: str, stream: str
) -> None:
    def move() -> None:
        {"torch": lambda: torch.rand(1), "numpy": lambda: np.random.rand()}[stream]()

    class Sharing(doubles.FixedLoss):
        def draw(self, *arguments: Any, **keywords: Any) -> Any:
            if where == "draw":
                move()
            return super().draw(*arguments, **keywords)

        def loss(self, *arguments: Any) -> Any:
            if where == "loss":
                move()
            return super().loss(*arguments)

    loss = Sharing({f"p{n}": torch.zeros(2) for n in range(100)})
    mechanism = site.mechanism(list(loss.gradients), engine="loop")
    with pytest.raises(MechanismMisused, match="share"), mechanism.open(1):
        mechanism.step({"w": torch.zeros(2)}, loss)


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling_probability": 0.0},
        {"sampling_probability": 1.1},
        {"sampling_probability": float("nan")},
        {"noise_multiplier": 0.0},
        {"noise_multiplier": -1.0},
        {"noise_multiplier": float("inf")},
        {"clipping_norm": 0.0},
        {"clipping_norm": float("nan")},
        {"clipping_norm": float("inf")},
        {"expected_batch_size": 10.0},
        {"expected_batch_size": float("nan")},
        {"declared_patients": 0},
        {"steps": 0},
        {"clipping_norm": 1e-12},
        {"batch_cap": 60},
        {"max_patients": 100},
        {"batch_cap": 46, "max_patients": 100},
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    values = {
        "noise_multiplier": 1.0,
        "clipping_norm": 1.0,
        "sampling_probability": 0.2,
        "expected_batch_size": 20.0,
        "declared_patients": 100,
        "steps": 1,
        "batch_cap": None,
        "max_patients": None,
        "lattice": False,
    }
    MechanismConfig(**values)  # type: ignore[arg-type]
    with pytest.raises(ConfigInvalid):
        MechanismConfig(**(values | changes))  # type: ignore[arg-type]


def test_no_field_of_the_configuration_has_a_default() -> None:
    with pytest.raises(TypeError):
        MechanismConfig()  # type: ignore[call-arg]


def test_patients_draws_depend_on_round_and_step(site: Any) -> None:
    stream = PatientStream(site.keys.stream_key, study_digest="s", stage="align", round_number=1)
    assert stream.seed(step=0, pseudonym="p") != stream.seed(step=1, pseudonym="p")

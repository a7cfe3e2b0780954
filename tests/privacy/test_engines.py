"""Every engine gives the gradients of a batch of one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from privacy.clipping import ClippedSum
from privacy.engines import ENGINES, ExecutionSettings, PatientLoss, Term, patient_gradients
from privacy.errors import ConfigInvalid, MechanismMisused

PATIENTS = 11


def drawn(loss: PatientLoss, count: int = PATIENTS) -> list[list[Term]]:
    return [loss.draw(str(n), generator=torch.Generator().manual_seed(n)) for n in range(count)]


def brute_force(
    loss: PatientLoss, parameters: dict[str, Tensor], terms: list[list[Term]], norm: float
) -> dict[str, Tensor]:
    """One patient at a time, plain autograd, nothing of ours."""
    sums = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for own in terms:
        leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        total = sum((loss.loss(term.kind, leaves, dict(term.tensors)) for term in own), torch.zeros(()))
        total.backward()
        found = {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}
        length = float(torch.cat([gradient.flatten() for gradient in found.values()]).norm())
        for name, gradient in found.items():
            sums[name] += gradient * min(1.0, norm / length)
    return sums


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("chunk_size", [1, 3, 50])
@pytest.mark.parametrize("offers_touched", [True, False])
@pytest.mark.parametrize("clipping_norm", [0.05, 1e6])
def test_clipped_sums_equal_those_of_batches_of_one(
    engine: str, chunk_size: int, offers_touched: bool, clipping_norm: float, doubles: SimpleNamespace
) -> None:
    loss = doubles.ToyLoss(offers_touched=offers_touched)
    terms = drawn(loss)
    assert len({len(own) for own in terms}) > 1, "patients with different numbers of terms"
    assert any(len({t.kind for t in own}) > 1 for own in terms), "a patient whose terms meet in a layer"
    assert any(len({t.kind for t in own}) < len(own) for own in terms), "a patient with two terms of a kind"
    clipped = ClippedSum(loss.parameters, clipping_norm=clipping_norm)
    settings = ExecutionSettings(chunk_size=chunk_size, engine=engine)  # type: ignore[arg-type]
    for first in range(0, PATIENTS, chunk_size):
        clipped.fold(patient_gradients(loss, loss.parameters, terms[first : first + chunk_size], settings))
    expected = brute_force(loss, loss.parameters, terms, clipping_norm)
    margin = 2e-5 if clipping_norm < 1 else 1e-9  # the clipper's own rounding margin
    for name, value in clipped.values().items():
        assert torch.allclose(value, expected[name], rtol=margin, atol=1e-12), name


@pytest.mark.parametrize("chunk_size", [1, 4, 50])
def test_every_engine_equals_the_loop_to_a_millionth(chunk_size: int, doubles: SimpleNamespace) -> None:
    loss = doubles.ToyLoss()
    sums = []
    for engine in ("loop", "vmap", "batch", "opacus"):
        clipped = ClippedSum(loss.parameters, clipping_norm=0.05)
        settings = ExecutionSettings(chunk_size=chunk_size, engine=engine)  # type: ignore[arg-type]
        clipped.fold(patient_gradients(loss, loss.parameters, drawn(loss), settings))
        sums.append(torch.cat([value.flatten() for value in clipped.values().values()]))
    for other in sums[1:]:
        assert (sums[0] - other).norm() <= 1e-6 * sums[0].norm()


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_the_parameters_are_left_as_they_were(engine: str, doubles: SimpleNamespace) -> None:
    loss = doubles.ToyLoss()
    parameters = {name: torch.nn.Parameter(value.clone()) for name, value in loss.parameters.items()}
    patient_gradients(loss, parameters, drawn(loss), ExecutionSettings(chunk_size=4, engine=engine))  # type: ignore[arg-type]
    for name, value in parameters.items():
        assert value.grad is None and value.requires_grad and torch.equal(value, loss.parameters[name])


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_patient_without_terms_has_a_zero_gradient(engine: str, doubles: SimpleNamespace) -> None:
    loss = doubles.ToyLoss()
    terms = [[], drawn(loss, 1)[0], []]
    gradients = patient_gradients(loss, loss.parameters, terms, ExecutionSettings(chunk_size=4, engine=engine))  # type: ignore[arg-type]
    norms = gradients.squared_norms()
    assert norms[0] == norms[2] == 0 and norms[1] > 0


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_term_that_touches_nothing_is_no_term(engine: str, doubles: SimpleNamespace) -> None:
    loss = doubles.ToyLoss()
    terms = drawn(loss)
    dropped = terms[0][0].kind
    settings = ExecutionSettings(chunk_size=4, engine=engine)  # type: ignore[arg-type]
    without = [[term for term in own if term.kind != dropped] for own in terms]
    expected = patient_gradients(loss, loss.parameters, without, settings).squared_norms()
    touched = loss.touched
    loss.touched = lambda kind: [] if kind == dropped else touched(kind)
    assert torch.equal(patient_gradients(loss, loss.parameters, terms, settings).squared_norms(), expected)
    assert not expected.equal(patient_gradients(doubles.ToyLoss(), loss.parameters, terms, settings).squared_norms())


def test_terms_that_cannot_be_stacked_are_refused(doubles: SimpleNamespace) -> None:
    loss = doubles.FixedLoss({})
    terms = [[Term("given", {"g": torch.zeros(2)})], [Term("given", {"g": torch.zeros(3)})]]
    with pytest.raises(MechanismMisused):
        patient_gradients(loss, {"w": torch.zeros(2)}, terms, ExecutionSettings(chunk_size=2, engine="vmap"))


def test_a_loss_that_touches_an_unknown_parameter_is_refused(doubles: SimpleNamespace) -> None:
    loss = doubles.FixedLoss({"p": torch.zeros(2)})
    loss.touched = lambda kind: ["elsewhere"]
    terms = [[Term("given", {"g": torch.zeros(2)})]]
    for engine in ENGINES:
        with pytest.raises(MechanismMisused):
            patient_gradients(loss, {"w": torch.zeros(2)}, terms, ExecutionSettings(chunk_size=2, engine=engine))  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{"chunk_size": 0, "engine": "loop"}, {"chunk_size": 1, "engine": "ghost"}])
def test_impossible_settings_are_refused(values: dict) -> None:
    with pytest.raises(ConfigInvalid):
        ExecutionSettings(**values)


class Normalised:
    """A network with a normalisation layer of some kind, as a module or as a function."""

    def __init__(self, layer: nn.Module | None, function: Callable[[Tensor], Tensor] | None = None) -> None:
        self.layer, self.function = layer, function

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        x = (parameters["w"][:, None, None] * tensors["x"])[None]
        y = self.function(x) if self.layer is None else torch.func.functional_call(self.layer, {}, (x,))
        return (y * tensors["x"] ** 2).sum()

    @property
    def network(self) -> nn.Module:
        holder = nn.Module()
        holder.register_parameter("w", nn.Parameter(torch.ones(3)))
        return holder

    def batch_losses(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        x = parameters["w"].expand(len(tensors["x"]), -1)[:, :, None, None] * tensors["x"]
        y = self.function(x) if self.layer is None else torch.func.functional_call(self.layer, {}, (x,))
        return (y * tensors["x"] ** 2).sum((1, 2, 3))

    def owners_of_rows(self, kind: str, tensors: dict[str, Tensor], rows: int) -> Tensor:
        return torch.arange(rows)


def frozen(layer: nn.Module) -> nn.Module:
    return layer.requires_grad_(False)


BATCH_NORMS = {
    "trainable": Normalised(nn.BatchNorm2d(3)),
    "frozen": Normalised(frozen(nn.BatchNorm2d(3))),
    "frozen, evaluating": Normalised(frozen(nn.BatchNorm2d(3)).eval()),
    "without running statistics": Normalised(nn.BatchNorm2d(3, track_running_stats=False)),
    "as a function": Normalised(None, lambda x: F.batch_norm(x, torch.zeros(3), torch.ones(3))),
    "instance norm that remembers": Normalised(nn.InstanceNorm2d(3, track_running_stats=True).eval()),
}


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("which", list(BATCH_NORMS))
def test_batch_norm_is_refused_by_every_engine_frozen_or_not(which: str, engine: str) -> None:
    """Under vmap torch itself refuses a module that counts its batches, before our wire is reached."""
    terms = [[Term("x", {"x": torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(n))})] for n in range(3)]
    settings = ExecutionSettings(chunk_size=3, engine=engine)  # type: ignore[arg-type]
    with pytest.raises((MechanismMisused, RuntimeError), match="mixes patients|remember other patients|in-place"):
        patient_gradients(BATCH_NORMS[which], {"w": torch.ones(3)}, terms, settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_norms_within_one_patient_are_allowed(engine: str) -> None:
    terms = [[Term("x", {"x": torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(n))})] for n in range(3)]
    settings = ExecutionSettings(chunk_size=3, engine=engine)  # type: ignore[arg-type]
    for layer in (nn.GroupNorm(1, 3), nn.InstanceNorm2d(3, affine=True)):
        loss = Normalised(frozen(layer))
        patient_gradients(loss, {"w": torch.ones(3)}, terms, settings)  # type: ignore[arg-type]


def test_batch_norm_is_refused_where_a_patients_terms_are_drawn(site: Any, doubles: SimpleNamespace) -> None:
    """Features through a frozen BatchNorm, made in `draw`: no engine would ever see it."""

    class Prepared(doubles.FixedLoss):
        def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
            nn.BatchNorm1d(2).eval()(torch.randn(4, 2, generator=generator))
            return super().draw(pseudonym, generator=generator)

    loss = Prepared({f"p{n}": torch.zeros(2) for n in range(100)})
    mechanism = site.mechanism(list(loss.gradients))
    with pytest.raises(MechanismMisused, match="mixes patients"), mechanism.open(1):
        mechanism.step({"w": torch.zeros(2)}, loss)

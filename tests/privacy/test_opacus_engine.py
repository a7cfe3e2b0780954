"""Opacus' known traps (notes/privacy.md section 4.3), each planted: shown to be real, and mended or refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from privacy.engines import ExecutionSettings, Term, patient_gradients
from privacy.errors import ConfigInvalid, MechanismMisused
from privacy.gradients import PatientGradients

PATIENTS = 4


class Planted:
    """A loss from one module that maps a batch (n, ...) to losses (n,)."""

    def __init__(self, network: nn.Module, *, rows: Callable[[int, int], Tensor] | None = None) -> None:
        self.network = network.double()
        self.parameters = {name: value.detach().clone() for name, value in network.named_parameters()}
        self._rows = rows

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(self.network, parameters, (tensors["x"][None],))[0]

    def batch_losses(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        return self.network(tensors["x"])

    def owners_of_rows(self, kind: str, tensors: dict[str, Tensor], rows: int) -> Tensor:
        if self._rows is not None:
            return self._rows(len(tensors["x"]), rows)
        if rows != len(tensors["x"]):
            raise ValueError(rows)
        return torch.arange(rows)


def batch(*shape: int, seed: int = 0) -> list[list[Term]]:
    values = torch.randn(PATIENTS, *shape, generator=torch.Generator().manual_seed(seed)).double()
    return [[Term("x", {"x": value})] for value in values]


def gradients(loss: Any, terms: list[list[Term]], engine: str) -> PatientGradients:
    settings = ExecutionSettings(chunk_size=PATIENTS, engine=engine)  # type: ignore[arg-type]
    return patient_gradients(loss, loss.parameters, terms, settings)


def assert_right(loss: Any, terms: list[list[Term]]) -> None:
    """The guarded engine gives the loop's gradient for every patient on its own."""
    for patient in range(PATIENTS):
        one = torch.zeros(PATIENTS, dtype=torch.float64)
        one[patient] = 1.0
        found, right = (dict(gradients(loss, terms, engine).weighted_sums(one)) for engine in ("opacus", "loop"))
        for name, value in right.items():
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-9)


def unguarded_error(loss: Planted, terms: list[list[Term]]) -> float:
    """Largest relative error of Opacus' own gradients by patient: what the guard is for."""
    from opacus import GradSampleModule

    x = torch.stack([own[0].tensors["x"] for own in terms])
    hooks = GradSampleModule(loss.network.train(), loss_reduction="sum")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Full backward hook is firing")
        loss.network(x).sum().backward()
    found = {name: value.grad_sample for name, value in loss.network.named_parameters()}
    hooks.remove_hooks()
    errors = []
    for patient in range(PATIENTS):
        alone = dict(gradients(loss, [terms[patient]], "loop").weighted_sums(torch.ones(1, dtype=torch.float64)))
        errors += [
            float((found[name][patient] - value).norm() / value.norm()) for name, value in alone.items() if value.any()
        ]
    for value in loss.network.parameters():
        value.grad = None
        del value.grad_sample
    return max(errors)


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.to(memory_format=torch.channels_last)).square().flatten(1).mean(1)


class Permuted(nn.Module):
    """Activations whose batch is not the outermost stride: there, one patient's gradient follows another's image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        inside_out = x.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
        return self.conv(inside_out).square().flatten(1).mean(1)


class Circular(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).square().flatten(1).mean(1)


class BesideItsLayer(nn.Module):
    """A tied head: the layer is called, and its weight is used once more behind its back."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.layer(x)), self.layer.weight).square().mean(1)


class WithoutItsLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)
        self.other = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.other(x), self.layer.weight, self.layer.bias).square().mean(1)


class RelativePositions(nn.Module):
    """T5's bias: the embedding sees places, no patients, and as many places as patients."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Embedding(2 * PATIENTS, 3)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(PATIENTS)
        bias = self.bias(places[None, :] - places[:, None] + PATIENTS)  # (q, k, 3)
        return (x[:, None, :, :] * bias.softmax(1)).square().flatten(1).mean(1)


class PlacesFirst(nn.Module):
    """A layer fed with (places, patients, width), and as many places as patients."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.transpose(0, 1)).transpose(0, 1).square().flatten(1).mean(1)


@pytest.mark.parametrize("network", [ChannelsLast, Permuted])
def test_b1_permuted_activations_are_made_contiguous(network: type[nn.Module]) -> None:
    loss, terms = Planted(network()), batch(3, 6, 6)
    assert unguarded_error(loss, terms) > 0.1, "Opacus still has this trap"
    assert_right(loss, terms)


def test_b2_other_padding_is_left_to_vmap() -> None:
    loss, terms = Planted(Circular()), batch(3, 6, 6)
    assert unguarded_error(loss, terms) > 0.1
    assert_right(loss, terms)


def test_b3_ghost_clipping_is_no_engine_and_no_norm_is_remembered() -> None:
    with pytest.raises(ConfigInvalid):
        ExecutionSettings(chunk_size=1, engine="ghost")  # type: ignore[arg-type]
    loss = Planted(nn.Sequential(nn.Linear(3, 3), nn.Flatten(1), nn.Linear(75, 1), nn.Flatten(0)))
    flat = gradients(loss, batch(5, 5, 3), "opacus").squared_norms()
    louder = [[Term("x", {"x": 100 * own[0].tensors["x"]})] for own in batch(5, 5, 3)]
    assert (gradients(loss, louder, "opacus").squared_norms() > 100 * flat).all()


def test_b3_a_branch_that_idles_has_a_zero_gradient(doubles: SimpleNamespace) -> None:
    loss = doubles.ToyLoss(offers_touched=False)
    terms = [[Term("left", {"x": own[0].tensors["x"]})] for own in batch(2, 6, 6)]
    gradients(loss, [[Term("right", dict(own[0].tensors))] for own in terms], "opacus")
    assert_right(loss, terms)


@pytest.mark.parametrize("network", [BesideItsLayer, WithoutItsLayer])
def test_b4_a_weight_that_is_used_outside_its_layer_is_refused(network: type[nn.Module]) -> None:
    with pytest.raises(MechanismMisused, match="add up|no gradient by patient"):
        gradients(Planted(network()), batch(5), "opacus")


def test_b5_an_embedding_of_places_is_left_to_vmap() -> None:
    loss, terms = Planted(RelativePositions()), batch(PATIENTS, 3)
    assert unguarded_error(loss, terms) > 0.1
    assert_right(loss, terms)


def test_b5_a_layer_with_another_axis_first_is_refused() -> None:
    loss, terms = Planted(PlacesFirst()), batch(PATIENTS, 3)
    assert unguarded_error(loss, terms) > 0.1
    with pytest.raises(MechanismMisused, match="in a batch"):
        gradients(loss, terms, "opacus")
    with pytest.raises(MechanismMisused, match="first axis"):
        gradients(loss, batch(PATIENTS + 1, 3), "opacus")


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_b6_a_patient_that_is_not_finite_counts_as_zero_and_spoils_nobody(poison: float) -> None:
    loss, terms = Planted(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1), nn.Flatten(0))), batch(3)
    terms[1] = [Term("x", {"x": torch.full((3,), poison).double()})]
    norms = gradients(loss, terms, "opacus").squared_norms()
    assert norms.isfinite().tolist() == [True, False, True, True]
    rest = [own for n, own in enumerate(terms) if n != 1]
    torch.testing.assert_close(norms[[0, 2, 3]], gradients(loss, rest, "loop").squared_norms())


def test_b7_an_empty_draw_is_noised_and_charged_without_the_network_being_called(
    site: Any, doubles: SimpleNamespace
) -> None:
    loss = doubles.ToyLoss()
    loss.batch_losses = None  # whoever calls it fails
    mechanism = site.mechanism(["p"], engine="opacus", stream=doubles.empty_stream())
    with mechanism.open(1):
        values = mechanism.step(loss.parameters, loss).values
    assert all(value.abs().min() > 0 for value in values.values())
    assert site.ledger.steps_left(doubles.STUDY, "align") == 19


def test_b8_a_frozen_batch_norm_is_refused_although_opacus_takes_it() -> None:
    from opacus import GradSampleModule

    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 1), nn.Flatten(0))
    for parameter in network[1].parameters():
        parameter.requires_grad_(False)
    GradSampleModule(network).remove_hooks()
    with pytest.raises(MechanismMisused, match="mixes patients"):
        gradients(Planted(network), batch(3), "opacus")


def test_what_opacus_does_not_reach_is_differentiated_all_the_same() -> None:
    class Places(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.places = nn.Parameter(torch.randn(5, 3))
            self.layer = nn.Linear(3, 3)
            self.register_buffer("fixed", torch.randn(5, 1))

        def forward(self, x: Tensor) -> Tensor:
            return (self.layer(x + self.places) * self.fixed).square().flatten(1).mean(1)

    assert_right(Planted(Places()), batch(5, 3))


def test_several_rows_of_one_patient_are_added_up() -> None:
    class TwoViews(nn.Module):
        """Both views side by side, first all patients' first ones, as stage `align` has them."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            seen = self.layer(torch.cat([x, x.flip(-1)]))
            return (seen[: len(x)] * seen[len(x) :]).sum(1)

    assert_right(Planted(TwoViews(), rows=lambda patients, rows: torch.arange(rows) % patients), batch(3))
    wrong = Planted(TwoViews(), rows=lambda patients, rows: torch.arange(rows) // 2)
    with pytest.raises(MechanismMisused, match="in a batch"):
        gradients(wrong, batch(3), "opacus")


def test_the_network_is_given_back_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.GroupNorm(1, 3), nn.Linear(3, 1), nn.Flatten(0)).eval()
    network[0].requires_grad_(False)
    loss = Planted(network)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    loss.parameters = {name: value + 1 for name, value in loss.parameters.items()}
    gradients(loss, batch(3), "opacus")
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name]) and value.grad is None and not hasattr(value, "grad_sample")
        assert value.requires_grad == (not name.startswith("0."))
    assert not any(module.training for module in network.modules())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert not any(hasattr(module, "activations") for module in network.modules())


def test_a_loss_that_offers_no_batch_is_refused(doubles: SimpleNamespace) -> None:
    loss = doubles.FixedLoss({"p": torch.zeros(2)})
    loss.parameters = {"w": torch.zeros(2)}
    with pytest.raises(MechanismMisused, match="vmap or loop"):
        gradients(loss, [[Term("given", {"g": torch.zeros(2)})]], "opacus")

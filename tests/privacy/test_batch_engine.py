"""The engine `batch`: every layer's rule against a batch of one, and each way in which patients could meet, planted."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from privacy.audit.remove_one import largest_move
from privacy.clipping import ClippedSum
from privacy.engines import ExecutionSettings, Term, patient_gradients
from privacy.errors import MechanismMisused
from privacy.layer_gradients import PatientSums

PATIENTS, ROWS = 5, 3
SETTINGS = ExecutionSettings(chunk_size=PATIENTS, engine="batch")


class Rows:
    """A loss over rows of a patient's own: `call(parameters, x)` maps rows (r, ...) to rows (r, ...)."""

    def __init__(self, parameters: dict[str, Tensor], call: Callable[[dict[str, Tensor], Tensor], Tensor]) -> None:
        self.parameters, self.call = parameters, call
        self.views = 1

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        return self._losses(parameters, tensors["x"]).mean()

    def batch_losses(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        patients, each = tensors["x"].shape[:2]
        return self._losses(parameters, tensors["x"].flatten(0, 1)).view(patients, each).mean(1)

    def _losses(self, parameters: dict[str, Tensor], rows: Tensor) -> Tensor:
        out = self.call(parameters, torch.cat([rows * (1 + view) for view in range(self.views)]))
        return out.flatten(1).tanh().square().sum(1).view(self.views, len(rows)).sum(0)

    def owners_of_rows(self, kind: str, tensors: dict[str, Tensor], rows: int) -> Tensor:
        patients, each = tensors["x"].shape[:2]
        if rows % (patients * each):
            raise ValueError(rows)
        return torch.arange(rows) % (patients * each) // each


def module_loss(module: nn.Module) -> Rows:
    module = module.double()
    parameters = {name: value.detach() for name, value in module.named_parameters()}
    return Rows(parameters, lambda own, x: torch.func.functional_call(module, own, (x,)))


def drawn(shape: tuple[int, ...], patients: int = PATIENTS) -> list[list[Term]]:
    random = torch.Generator().manual_seed(3)
    return [[Term("x", {"x": torch.randn(ROWS, *shape, generator=random).double()})] for _ in range(patients)]


class Twice(nn.Module):
    """One layer that is called twice, on batches of the same length."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.layer(x).tanh())


class Positions(nn.Module):
    """A parameter outside a layer, expanded to rows."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(6, 4))
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale.expand(len(x))[:, None, None] * (x + self.positions.expand(len(x), -1, -1)).sin()


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x.to(memory_format=torch.channels_last)).permute(0, 1, 3, 2))


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(4, 3), (4,)),
    "linear, tokens": (lambda: nn.Linear(4, 3, bias=False), (6, 4)),
    "linear, grid of tokens": (lambda: nn.Linear(4, 3), (2, 6, 4)),
    "convolution": (lambda: nn.Conv2d(4, 6, 3, padding=1), (4, 7, 5)),
    "convolution, strided and dilated": (lambda: nn.Conv2d(4, 6, (3, 2), stride=2, dilation=(1, 2)), (4, 9, 8)),
    "convolution in groups": (lambda: nn.Conv2d(4, 6, 3, padding=(1, 0), groups=2), (4, 7, 5)),
    "convolution of one pixel": (lambda: nn.Conv2d(4, 6, 1, bias=False), (4, 7, 5)),
    "convolution of one pixel, strided": (lambda: nn.Conv2d(4, 6, 1, stride=2), (4, 7, 5)),
    "convolution, circular": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (4, 7, 5)),
    "permuted activations": (ChannelsLast, (4, 6, 6)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (4, 5, 5)),
    "layer norm": (lambda: nn.LayerNorm(4), (6, 4)),
    "layer norm of two axes": (lambda: nn.LayerNorm((6, 4), bias=False), (3, 6, 4)),
    "one layer twice": (Twice, (4,)),
    "positions": (Positions, (6, 4)),
    "deep": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 2, 1)),
        (4, 5, 5),
    ),
}


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("which", list(LAYERS))
def test_every_rule_gives_the_gradient_of_a_patient_alone(which: str, views: int) -> None:
    torch.manual_seed(5)
    build, shape = LAYERS[which]
    loss = module_loss(build())
    loss.views = views
    terms = drawn(shape)
    gradients = patient_gradients(loss, loss.parameters, terms, SETTINGS)  # type: ignore[arg-type]
    for patient in range(PATIENTS):
        leaves = {name: value.clone().requires_grad_() for name, value in loss.parameters.items()}
        loss.loss("x", leaves, dict(terms[patient][0].tensors)).backward()
        only = torch.zeros(PATIENTS, dtype=torch.float64)
        only[patient] = 1.0
        found = dict(gradients.weighted_sums(only))
        for name, leaf in leaves.items():
            assert leaf.grad is not None and leaf.grad.norm() > 0
            assert (found[name] - leaf.grad).norm() <= 1e-9 * leaf.grad.norm(), name


def test_a_frozen_part_of_a_layer_is_left_out(doubles: SimpleNamespace) -> None:
    for frozen in ("weight", "bias"):
        for build, shape in (LAYERS["convolution"], LAYERS["linear"], LAYERS["group norm"], LAYERS["layer norm"]):
            loss = module_loss(build())
            loss.touched = lambda kind, kept=frozen: [name for name in ("weight", "bias") if name != kept]  # type: ignore[attr-defined]
            gradients = patient_gradients(loss, loss.parameters, drawn(shape), SETTINGS)  # type: ignore[arg-type]
            assert frozen not in dict(gradients.weighted_sums(torch.ones(PATIENTS, dtype=torch.float64)))


# --- what has no rule is refused, whatever it is ---------------------------------------------------------------------

W = torch.tensor([0.3, -0.8, 1.1], dtype=torch.float64)
BESIDE: dict[str, Callable[[dict[str, Tensor], Tensor], Tensor]] = {
    "broadcast": lambda own, x: x * own["w"],
    "a product with itself": lambda own, x: x * own["w"].expand(len(x), -1) * own["w"].sum(),
    "matrix product": lambda own, x: x @ own["w"],
    "written without a layer": lambda own, x: torch.einsum("ri,i->r", x, own["w"]),
    "expanded to something else": lambda own, x: x[:, None] * own["w"].expand(7, 1, 3),
    "a layer's input": lambda own, x: x * F.linear(own["w"], torch.eye(3, dtype=torch.float64)),
    "stacked": lambda own, x: torch.stack([own["w"]])[0] * x,
    "cloned": lambda own, x: own["w"].clone() * x,
    "its plain value": lambda own, x: x * own["w"].expand(len(x), -1) * own["w"].value,  # type: ignore[attr-defined]
    "its values read": lambda own, x: x * own["w"].expand(len(x), -1) * float(own["w"].max()),
}


SAYS = {
    "expanded to something else": "may be expanded to the rows",
    "a layer's input": "is a layer's input",
    "its plain value": "beside its layer",
}


@pytest.mark.parametrize("which", list(BESIDE))
def test_a_use_without_a_rule_is_refused(which: str) -> None:
    loss = Rows({"w": W}, BESIDE[which])
    with pytest.raises(MechanismMisused, match=SAYS.get(which, "is used in")):
        patient_gradients(loss, loss.parameters, drawn((3,)), SETTINGS)  # type: ignore[arg-type]


def test_a_first_axis_that_is_not_the_batch_is_refused() -> None:
    module = nn.Linear(4, 3).double()
    loss = Rows(
        {name: value.detach() for name, value in module.named_parameters()},
        lambda own, x: torch.func.functional_call(module, own, (x[:7],)).sum() * x,
    )
    with pytest.raises(MechanismMisused, match="not the batch"):
        patient_gradients(loss, loss.parameters, drawn((4,)), SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize("owners", [[0, 0, 0, 1], [0, 1], [0, 0, 2, 2], [0, 0, 1, 1, 2, 2]])
def test_rows_that_are_not_shared_out_evenly_are_refused(owners: list[int]) -> None:
    """A patient with more rows than another would lend it some."""
    sums = PatientSums(2, lambda rows: torch.tensor(owners))
    with pytest.raises(MechanismMisused, match="not the batch"):
        sums.by_patient(torch.zeros(4, 1))


# --- patients who meet -----------------------------------------------------------------------------------------------


def _seen_by_the_third(x: Tensor) -> Tensor:
    """Zero, but at the third patient's rows: there, the second's."""
    return F.pad(x[ROWS : 2 * ROWS], (0, 0, 2 * ROWS, len(x) - 3 * ROWS)) if len(x) >= 3 * ROWS else x * 0


MEET: dict[str, Callable[[dict[str, Tensor], Tensor], Tensor]] = {
    "the batch's mean": lambda own, x: x * own["w"].expand(len(x), -1) - x.mean(0),
    "a softmax over the batch": lambda own, x: (x * own["w"].expand(len(x), -1)).softmax(0),
    "rows in another order": lambda own, x: x * own["w"].expand(len(x), -1).flip(0) * x.flip(0),
    "each sees the one after it": lambda own, x: x * own["w"].expand(len(x), -1) - F.pad(x[ROWS:], (0, 0, 0, ROWS)),
    "each sees the one before it": lambda own, x: x * own["w"].expand(len(x), -1) - F.pad(x[:-ROWS], (0, 0, ROWS, 0)),
    "one in the middle sees another": lambda own, x: x * own["w"].expand(len(x), -1) - _seen_by_the_third(x),
    "places that pass for patients": lambda own, x: (x.T * own["w"].expand(len(x), -1).T).T.cumsum(0),
}


@pytest.mark.parametrize("which", list(MEET))
def test_patients_who_meet_are_noticed_in_the_first_batch(which: str) -> None:
    loss = Rows({"w": W}, MEET[which])
    with pytest.raises(MechanismMisused, match="in a batch than alone"):
        patient_gradients(loss, loss.parameters, drawn((3,)), SETTINGS)  # type: ignore[arg-type]


def test_a_batch_of_one_proves_nothing_so_the_next_is_compared() -> None:
    loss = Rows({"w": W}, MEET["the batch's mean"])
    loss.call = lambda own, x: (
        x * own["w"].expand(len(x), -1) - x.unflatten(0, (-1, ROWS)).mean(0).repeat(len(x) // ROWS, 1)
    )
    terms = drawn((3,))
    patient_gradients(loss, loss.parameters, terms[:1], SETTINGS)  # type: ignore[arg-type]
    with pytest.raises(MechanismMisused, match="in a batch than alone"):
        patient_gradients(loss, loss.parameters, terms, SETTINGS)  # type: ignore[arg-type]


def test_a_patient_without_a_gradient_proves_nothing_either() -> None:
    loss = Rows({"w": W}, MEET["the batch's mean"])
    nothing = [[Term("x", {"x": torch.zeros(ROWS, 3, dtype=torch.float64)})]] * PATIENTS
    patient_gradients(loss, loss.parameters, nothing, SETTINGS)  # type: ignore[arg-type]
    with pytest.raises(MechanismMisused, match="in a batch than alone"):
        patient_gradients(loss, loss.parameters, drawn((3,)), SETTINGS)  # type: ignore[arg-type]


def test_a_kind_is_compared_once_and_behind_the_wrappers_of_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = module_loss(nn.Linear(4, 3))
    compared: list[str] = []
    alone = loss.loss
    monkeypatch.setattr(loss, "loss", lambda kind, *rest: compared.append(kind) or alone(kind, *rest))

    class Wrapped:
        def __getattr__(self, name: str) -> Any:
            return getattr(loss, name)

    for _ in range(3):
        patient_gradients(Wrapped(), loss.parameters, drawn((4,)), SETTINGS)  # type: ignore[arg-type]
    others = [[Term("y", own[0].tensors)] for own in drawn((4,))]
    one_by_one = ExecutionSettings(chunk_size=1, engine="batch")
    patient_gradients(Wrapped(), loss.parameters, others, one_by_one)  # type: ignore[arg-type]
    assert compared == ["x"] * PATIENTS + ["y"]
    patient_gradients(Wrapped(), loss.parameters, others, SETTINGS)  # type: ignore[arg-type]
    assert compared == ["x"] * PATIENTS + ["y"] * (1 + PATIENTS), "the first batch of several, after batches of one"


def test_a_loss_without_a_batch_is_refused_in_words(doubles: SimpleNamespace) -> None:
    loss = doubles.FixedLoss({"p": torch.zeros(2)})
    terms = [loss.draw("p", generator=torch.Generator())]
    with pytest.raises(MechanismMisused, match="takes no batch"):
        patient_gradients(loss, {"w": torch.zeros(2)}, terms, SETTINGS)


def test_a_patient_that_is_not_finite_counts_as_zero_and_spoils_nobody() -> None:
    loss = module_loss(nn.Sequential(nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6), nn.Conv2d(6, 1, 1)))
    terms = drawn((4, 5, 5))
    clean, spoilt = (ClippedSum(loss.parameters, clipping_norm=1.0) for _ in range(2))
    clean.fold(patient_gradients(loss, loss.parameters, terms[1:], SETTINGS))  # type: ignore[arg-type]
    terms[0][0].tensors["x"][0, 0, 0, 0] = torch.inf  # type: ignore[index]
    spoilt.fold(patient_gradients(loss, loss.parameters, terms, SETTINGS))  # type: ignore[arg-type]
    for name, value in spoilt.values().items():
        assert bool(value.isfinite().all()) and torch.allclose(value, clean.values()[name], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_one_patient_moves_the_sum_by_the_clipping_norm_at_most(scale: float, doubles: SimpleNamespace) -> None:
    names = [f"p{n}" for n in range(8)]

    def make() -> Any:
        loss = doubles.ToyLoss()
        own = loss.draw
        loss.draw = lambda who, *, generator: [
            Term(term.kind, {"x": term.tensors["x"] * scale}) for term in own(who, generator=generator)
        ]
        return loss

    moved = largest_move(
        make,
        doubles.ToyLoss().parameters,
        names,
        removed=names[:3],
        clipping_norm=1e-9,
        settings=ExecutionSettings(chunk_size=3, engine="batch"),
    )
    assert 0.5e-9 < moved <= 1e-9 * (1 + 1e-6)


def test_nothing_of_a_patient_stays_on_parameters_or_layers() -> None:
    module = nn.Conv2d(4, 6, 3).double()
    own = {name: nn.Parameter(value.detach().clone()) for name, value in module.named_parameters()}
    loss = Rows(dict(own), lambda given, x: torch.func.functional_call(module, given, (x,)))
    before = {name: value.detach().clone() for name, value in own.items()}
    patient_gradients(loss, own, drawn((4, 5, 5)), SETTINGS)  # type: ignore[arg-type]
    for name, value in [*own.items(), *module.named_parameters()]:
        assert value.grad is None
        assert name not in own or torch.equal(own[name], before[name])


def test_a_batch_must_give_one_loss_for_each_patient() -> None:
    loss = module_loss(nn.Linear(4, 3))
    whole = loss.batch_losses
    loss.batch_losses = lambda *given: whole(*given).mean()  # type: ignore[method-assign]
    with pytest.raises(MechanismMisused, match="one loss for each"):
        patient_gradients(loss, loss.parameters, drawn((4,)), SETTINGS)  # type: ignore[arg-type]

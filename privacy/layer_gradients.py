"""Layers that give, beside what they compute, a gradient for every patient of the batch.

One forward and one backward pass run over all patients' rows at once. A trained parameter goes in as a `PatientWeight`;
where a layer uses it, the layer's input is kept, and on the way back input and output gradient give a weight gradient
for each patient instead of one for the batch. PyTorch's own weight gradient is never computed, so the pass costs what
one without privacy costs, up to the patients' rows (notes/privacy.md section 4; I. Goodfellow, arXiv 1510.01799).

| use of a trained parameter | gradient of patient p, over the rows and places of p |
| --- | --- |
| `F.linear` | sum of output gradient times input |
| `F.conv2d` (groups, strides, dilation) | PyTorch's own, of the patient's rows alone |
| `F.group_norm`, `F.layer_norm` | sum of output gradient times normalised input; of output gradient |
| `parameter.expand(rows, ...)` | sum of the gradient of the rows |

Any other use raises: a gradient of which a part were missing would be clipped to the wrong norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from privacy.errors import MechanismMisused


class PatientSums:
    """Where the layers of one pass leave their gradients, (patients, *shape) by parameter."""

    def __init__(self, patients: int, owners_of_rows: Callable[[int], Tensor]) -> None:
        """owners_of_rows(rows): (rows,), to which patient each row of a batch of that length belongs. Raises ValueError
        where there can be no so many."""
        self.patients, self._owners_of_rows = patients, owners_of_rows
        self._orders: dict[int, Tensor | None] = {}
        self.gradients: dict[str, Tensor] = {}

    def weights(self, parameters: Mapping[str, Tensor]) -> dict[str, PatientWeight]:
        """Stand-ins for these parameters, whose gradients come here."""
        return {name: PatientWeight.of(name, value, self) for name, value in parameters.items()}

    def by_patient(self, rows: Tensor) -> Tensor:
        """(rows, ...) as (patients, rows of each, ...). Raises MechanismMisused where the first axis is no batch."""
        count = len(rows)
        if count not in self._orders:
            self._orders[count] = self._order(count)
        order = self._orders[count]
        sorted_rows = rows if order is None else rows[order.to(rows.device)]
        return sorted_rows.reshape(self.patients, count // self.patients, *rows.shape[1:])

    def _order(self, count: int) -> Tensor | None:
        """Rows sorted by patient; None where they are already."""
        try:
            owners = self._owners_of_rows(count)
        except ValueError:
            owners = torch.empty(0)
        each = torch.bincount(owners.long(), minlength=self.patients)
        if len(owners) != count or len(each) != self.patients or bool((each != count // self.patients).any()):
            raise MechanismMisused("A layer's first axis is not the batch, so patients would mix: use the engine vmap.")
        return None if bool((owners.diff() >= 0).all()) else owners.argsort(stable=True)

    def add(self, name: str, gradient: Tensor) -> None:
        """Take (patients, *shape); a parameter that is used twice has the sum."""
        self.gradients[name] = self.gradients[name] + gradient if name in self.gradients else gradient


class PatientWeight(Tensor):
    """A parameter that knows its name and where its patients' gradients go; may be used as the table above says."""

    called: str
    value: Tensor
    sums: PatientSums

    @classmethod
    def of(cls, name: str, value: Tensor, sums: PatientSums) -> PatientWeight:
        """The stand-in of one parameter. Its `value` takes a gradient only to keep the layer in the graph."""
        weight: PatientWeight = Tensor._make_subclass(cls, value.detach(), False)
        weight.called, weight.value, weight.sums = name, value.detach().requires_grad_(), sums
        return weight

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func in _RULES:
            return _RULES[func](*args, **(kwargs or {}))
        if getattr(getattr(func, "__self__", None), "__name__", "") in _FORM or func in _FORM_CALLS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        used = getattr(func, "__name__", "a function")
        raise MechanismMisused(
            f"A trained parameter is used in {used}, for which no gradient by patient is known: use the engine vmap."
        )


_FORM = frozenset({"shape", "dtype", "device", "ndim", "is_cuda", "requires_grad", "layout"})
"""Attributes that tell a parameter's form, and nothing that depends on its value."""
_FORM_CALLS = frozenset({Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.__len__})


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, PatientWeight) else value


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, owned: tuple[Any, Any]) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.owned = owned
        return F.linear(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        rows, weight = ctx.saved_tensors
        own_weight, own_bias = ctx.owned
        if own_weight is not None:
            sums = own_weight.sums
            given = sums.by_patient(gradient).flatten(1, -2)  # (patients, places, out)
            sums.add(own_weight.called, given.transpose(1, 2) @ sums.by_patient(rows).flatten(1, -2))
        if own_bias is not None:
            own_bias.sums.add(own_bias.called, own_bias.sums.by_patient(gradient).flatten(1, -2).sum(1))
        return (gradient @ weight if ctx.needs_input_grad[0] else None), None, None, None


def _linear(input: Any, weight: Any, bias: Any = None) -> Tensor:  # noqa: A002  (torch's own name)
    return _Linear.apply(_plain(input), _plain(weight), _plain(bias), _owned(input, weight, bias))


def _owned(input: Any, weight: Any, bias: Any) -> tuple[PatientWeight | None, PatientWeight | None]:  # noqa: A002
    """Which of a layer's two parameters is trained. Raises MechanismMisused where one stands in the input's place."""
    if isinstance(input, PatientWeight):
        raise MechanismMisused("A trained parameter is a layer's input: expand it to the rows of the batch first.")
    return weight if isinstance(weight, PatientWeight) else None, bias if isinstance(bias, PatientWeight) else None


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, geometry: dict[str, Any], owned: tuple[Any, Any]
    ) -> Tensor:
        rows = rows.contiguous()  # whatever the layout they came in
        ctx.save_for_backward(rows, weight)
        ctx.geometry, ctx.owned = geometry, owned
        return F.conv2d(rows, weight, bias, **geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        gradient = gradients[0].contiguous()
        rows, weight = ctx.saved_tensors
        own_weight, own_bias = ctx.owned
        if own_weight is not None:
            sums = own_weight.sums
            found = weight.new_empty(sums.patients, *weight.shape)
            for patient, (own, given) in enumerate(zip(sums.by_patient(rows), sums.by_patient(gradient), strict=True)):
                found[patient] = _convolution_backward(given, own, weight, ctx.geometry, (False, True, False))[1]
            sums.add(own_weight.called, found)
        if own_bias is not None:
            own_bias.sums.add(own_bias.called, own_bias.sums.by_patient(gradient.sum((2, 3))).sum(1))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None
        back = _convolution_backward(gradient, rows, weight, ctx.geometry, (True, False, False))[0]
        return back, None, None, None, None


def _convolution_backward(
    gradient: Tensor, rows: Tensor, weight: Tensor, geometry: Mapping[str, Any], wanted: tuple[bool, bool, bool]
) -> Any:
    """Gradients of (rows, weight, bias), those that are wanted. A call for each patient is nearly as fast as one for
    the batch from a few million products on (docs/LOG.md, 2026-11-27)."""
    form = (geometry["stride"], geometry["padding"], geometry["dilation"], False, [0, 0], geometry["groups"])
    return torch.ops.aten.convolution_backward(gradient, rows, weight, None, *form, list(wanted))


def _conv2d(  # noqa: PLR0913  (torch's own arguments)
    input: Any,  # noqa: A002
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if isinstance(padding, str):
        raise MechanismMisused(f"A convolution pads {padding!r}: give the padding in pixels.")
    geometry = {"stride": _two(stride), "padding": _two(padding), "dilation": _two(dilation), "groups": groups}
    return _Conv2d.apply(_plain(input), _plain(weight), _plain(bias), geometry, _owned(input, weight, bias))


def _two(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value) * (2 // len(value))


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float, owned: Any
    ) -> Tensor:
        rows = rows.contiguous()
        count, channels = rows.shape[:2]
        ctx.places = rows[0, 0].numel()
        out, mean, deviation = torch.native_group_norm(rows, weight, bias, count, channels, ctx.places, groups, eps)
        ctx.save_for_backward(rows, weight, mean, deviation)
        ctx.groups, ctx.owned = groups, owned
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        gradient = gradients[0].contiguous()
        rows, weight, mean, inverse_deviation = ctx.saved_tensors
        own_weight, own_bias = ctx.owned
        count, channels = rows.shape[:2]
        of_places = gradient.flatten(2).sum(2)  # (rows, channels)
        if own_weight is not None:
            products = (gradient.flatten(2) * rows.flatten(2)).sum(2)
            each = channels // ctx.groups
            centre, scale = (value.repeat_interleave(each, 1) for value in (mean, inverse_deviation))
            found = (products - of_places * centre) * scale
            own_weight.sums.add(own_weight.called, own_weight.sums.by_patient(found).sum(1))
        if own_bias is not None:
            own_bias.sums.add(own_bias.called, own_bias.sums.by_patient(of_places).sum(1))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None, None
        sizes = (count, channels, ctx.places, ctx.groups)
        back = torch.ops.aten.native_group_norm_backward(
            gradient, rows, mean, inverse_deviation, weight, *sizes, [True, False, False]
        )
        return back[0], None, None, None, None, None


def _group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:  # noqa: A002
    owned = _owned(input, weight, bias)
    return _GroupNorm.apply(_plain(input), _plain(weight), _plain(bias), num_groups, eps, owned)


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor | None, bias: Tensor | None, shape: list[int], eps: float, owned: Any
    ) -> Tensor:
        out, mean, deviation = torch.native_layer_norm(rows, shape, weight, bias, eps)
        ctx.save_for_backward(rows, weight, bias, mean, deviation)
        ctx.shape, ctx.owned = shape, owned
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        rows, weight, bias, mean, inverse_deviation = ctx.saved_tensors
        own_weight, own_bias = ctx.owned
        if own_weight is not None:
            _over_places(own_weight, gradient * (rows - mean) * inverse_deviation)
        if own_bias is not None:
            _over_places(own_bias, gradient)
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None, None
        back = torch.ops.aten.native_layer_norm_backward(
            gradient, rows, ctx.shape, mean, inverse_deviation, weight, bias, [True, False, False]
        )
        return back[0], None, None, None, None, None


def _over_places(owned: PatientWeight, found: Tensor) -> None:
    """(rows, places..., *shape) summed over the rows and places of each patient."""
    mine = owned.sums.by_patient(found)
    owned.sums.add(owned.called, mine.flatten(1, mine.dim() - owned.value.dim() - 1).sum(1))


def _layer_norm(
    input: Any,  # noqa: A002
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Tensor:
    owned = _owned(input, weight, bias)
    return _LayerNorm.apply(_plain(input), _plain(weight), _plain(bias), list(normalized_shape), eps, owned)


class _Expand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, rows: int, owned: PatientWeight) -> Tensor:
        ctx.owned = owned
        return value.expand(rows, *value.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        owned = ctx.owned
        owned.sums.add(owned.called, owned.sums.by_patient(gradients[0]).sum(1))
        return None, None, None


def _expand(parameter: PatientWeight, *sizes: Any) -> Tensor:
    wanted = list(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else list(sizes)
    value = parameter.value
    fits = len(wanted) == value.dim() + 1 and all(
        size in (-1, own) for size, own in zip(wanted[1:], value.shape, strict=True)
    )
    if not fits:
        raise MechanismMisused("A trained parameter may be expanded to the rows of the batch only: (rows, *shape).")
    return _Expand.apply(value, wanted[0], parameter)


_RULES: Mapping[Callable[..., Any], Callable[..., Tensor]] = {
    F.linear: _linear,
    F.conv2d: _conv2d,
    F.group_norm: _group_norm,
    F.layer_norm: _layer_norm,
    Tensor.expand: _expand,
}

"""The skeleton that the three stages share: from values per row to one scalar per patient, and to a public mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from medm2g.errors import InputInvalid
from medm2g.generator import Generator
from medm2g.stages.draws import TemplateFeatures
from medm2g.stages.source import PatientSource, Term

#: What of one flow each pure call reads: modules, and parameters that stand alone.
_READS: Mapping[str, tuple[str, ...]] = {
    "align": ("alignment",),
    "denoise": ("unets", "adapters"),
    "environment": ("environments",),
    "spell": ("codecs",),
}
_READS_ALONE: Mapping[str, tuple[str, ...]] = {"denoise": ("styles",)}


class Stage(ABC):
    """A loss of one patient at a time. `flows` are the site's declared flows: never what its store happens to hold."""

    def __init__(self, generator: Generator, patients: PatientSource, *, flows: Sequence[str]) -> None:
        if unknown := [flow for flow in flows if flow not in generator.flows]:
            raise InputInvalid(f"This generator has no flow called {unknown[0]!r}: leave it out of the site's flows.")
        self.generator, self.patients = generator, patients
        self.flows = tuple(flow for flow in generator.flows if flow in flows)
        self.timesteps = generator.config.num_train_timesteps
        self.without: frozenset[str] = frozenset(generator.config.without)
        """Parts of MedM2G that an ablation leaves out."""
        self.image_flows = tuple(flow for flow in self.flows if flow in generator.image_flows)
        self.templates = TemplateFeatures(generator)
        self._read: dict[tuple[str, str], dict[str, nn.Parameter]] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        self.flow_weights: Mapping[str, float] = {}
        """Public factors of the losses of flows; 1 where none is given."""

    @abstractmethod
    def draw(self, pseudonym: str, *, generator: torch.Generator, only: Sequence[str] | None = None) -> list[Term]:
        """The patient's terms. Everything random comes from `generator`, which no other patient shares.

        only: draw no terms but for these flows (public pre-training).
        """

    @abstractmethod
    def touched(self, kind: str) -> tuple[str, ...]:
        """Qualified names of the parameters that terms of this kind train."""

    @abstractmethod
    def row_losses(self, kind: str, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        """(rows,): one value per record and draw; no row sees another."""

    def loss(self, kind: str, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        """Scalar: the mean over one patient's real rows, times the flow's weight. Pure, and safe under vmap."""
        losses, weights = self.row_losses(kind, parameters, tensors), tensors["weight"]
        return self.weight_of(kind) * (losses * weights).sum() / weights.sum()

    def weight_of(self, kind: str) -> float:
        """The flow's public weight: a patient's flows are clipped together, so one whose gradients are a tenth of
        another's would drown in noise of that one's size (StageSpec.flow_weights)."""
        return self.flow_weights.get(kind.partition("/")[0], 1.0)

    @property
    def network(self) -> nn.Module:
        """The generator, whose parameters have the names of the groups' parameters."""
        return self.generator

    def batch_losses(self, kind: str, parameters: Mapping[str, Tensor], stacked: Mapping[str, Tensor]) -> Tensor:
        """(patients,): what `loss` gives for each of the patients stacked as (patients, rows, ...), in one pass."""
        return self.by_patient(kind, self.row_losses(kind, parameters, rows_of(stacked)), stacked["weight"])

    def by_patient(self, kind: str, losses: Tensor, weights: Tensor) -> Tensor:
        """(patients * rows,) with weights (patients, rows) -> (patients,)."""
        return self.weight_of(kind) * (losses.view_as(weights) * weights).sum(1) / weights.sum(1)

    def owners_of_rows(self, kind: str, stacked: Mapping[str, Tensor], rows: int) -> Tensor:
        """(rows,): of a layer's input in `batch_losses`, to which patient each row belongs. There is one for each row
        of a patient, or as many again for every view (stage align: two). Raises ValueError where neither is so."""
        patients, each = stacked["weight"].shape
        if rows % (patients * each):
            raise ValueError("the rows of a layer's input are not those of the patients")
        return torch.arange(rows) % (patients * each) // each

    def loss_batch(self, kind: str, parameters: Mapping[str, Tensor], stacked: Mapping[str, Tensor]) -> Tensor:
        """Scalar: the mean over patients, for public training; the private engines never call it."""
        return self.batch_losses(kind, parameters, without_masked_context(stacked)).mean()

    def public_batch_loss(self, parameters: Mapping[str, Tensor], terms: Iterable[Sequence[Term]]) -> Tensor:
        """Scalar: the mean over patients of the sum of each one's terms; `terms` has one list per patient."""
        patients = [list(own) for own in terms]
        by_kind: dict[str, list[Term]] = defaultdict(list)
        for own in patients:
            for term in own:
                by_kind[term.kind].append(term)
        if not by_kind:
            raise InputInvalid("None of these patients has a record of the flows that this stage trains.")
        parts = [
            self.loss_batch(kind, parameters, stack_terms(chosen)) * len(chosen) for kind, chosen in by_kind.items()
        ]
        return torch.stack(parts).sum() / len(patients)

    def call(self, parameters: Mapping[str, Tensor], method: str, flow: str, *args: Any, **kwargs: Any) -> Any:
        """A pure call of the generator. Given parameters stand in for its own, and then nothing else takes a gradient;
        without any (public training) the generator's own parameters do, as they are marked."""
        stand_ins = self._stand_ins(parameters, method, flow)
        # Looking for tied weights would walk through the whole generator in every call, longer than a small step takes.
        # There are none, and every parameter that is read is given by name (tests/medm2g/test_generator.py).
        return functional_call(self.generator, stand_ins, (method, flow, *args), kwargs, tie_weights=False)

    def _stand_ins(self, parameters: Mapping[str, Tensor], method: str, flow: str) -> dict[str, Tensor]:
        """Of the parameters that the call reads those that are given, and those that would take a gradient: replacing
        others costs time and changes nothing (of a denoiser of which a style trains, one for three hundred)."""
        if not parameters:
            return {}
        if (method, flow) not in self._read:
            self._read[method, flow] = self._parameters_read(method, flow)
        own = self._read[method, flow]
        with torch._C.DisableTorchFunction():  # no trip-wire need hear that three hundred parameters are asked this
            return {
                name: parameters[name] if name in parameters else value.detach()
                for name, value in own.items()
                if name in parameters or value.requires_grad
            }

    def _parameters_read(self, method: str, flow: str) -> dict[str, nn.Parameter]:
        prefixes = [f"{part}.{flow}" for part in _READS[method]]
        own = {
            f"{prefix}.{name}": value
            for prefix in prefixes
            for name, value in self.generator.get_submodule(prefix).named_parameters()
        }
        alone = [f"{part}.{flow}" for part in _READS_ALONE.get(method, ())]
        return own | {name: self.generator.get_parameter(name) for name in alone}

    def group_names(self, *groups: str, part: str = "") -> tuple[str, ...]:
        """Qualified names of those groups; only those that start with `part`, if given."""
        for group in groups:
            if group not in self._groups:  # asked at every step, and the same for as long as the stage lasts
                self._groups[group] = tuple(self.generator.group(group))
        return tuple(name for group in groups for name in self._groups[group] if name.startswith(part))


def stack_terms(terms: Sequence[Term]) -> dict[str, Tensor]:
    """Terms of one kind as tensors (patients, ...)."""
    return {name: torch.stack([term.tensors[name] for term in terms]) for name in terms[0].tensors}


def rows_of(stacked: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stacked terms (patients, rows, ...) as rows (patients * rows, ...), those of a patient side by side."""
    return {name: tensor.flatten(0, 1) for name, tensor in stacked.items()}


def without_masked_context(stacked: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same terms without the context that all of them mask: what nobody attends to costs time and changes nothing.
    Public batches only: how long a patient's report is may not shape another's step."""
    kept = dict(stacked)
    if "context_mask" in stacked:
        attended = stacked["context_mask"].flatten(0, 1).any(0)
        kept |= {name: stacked[name][:, :, attended] for name in ("context", "context_mask")}
    return kept

"""Every engine gives a batch-of-one's gradient to 1e-6, on every layer that any stage trains, in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from medm2g import Generator, preset
from medm2g.anchors import AnchorBank
from medm2g.config import FlowConfig
from medm2g.stages import Stage, build_stage
from medm2g.subsets import Subsets
from medm2g.text_encoder import TextEncoder
from privacy.engines import ENGINES, ExecutionSettings, Term, patient_gradients
from tests.medm2g.conftest import awakened, chosen
from tests.medm2g.public_patients import Patients

FLOWS = ("xray", "ct", "text")
COUNTS = {
    "paired": {"xray": 2, "ct": 1, "text": 1},
    "alone": {"ct": 1},
    "two": {"xray": 1, "text": 2},
    "too": {"xray": 1, "ct": 2, "text": 1},
}
FAMILY = {"align": "alignment", "diffuse": "diffusion", "guide": "cross_guidance"}


class InDouble:
    """A stage whose terms are float64: rounding then hides nothing above 1e-6."""

    def __init__(self, loss: Stage) -> None:
        self._loss = loss
        self.network, self.touched = loss.network, loss.touched
        self.loss, self.batch_losses, self.owners_of_rows = loss.loss, loss.batch_losses, loss.owners_of_rows

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Term]:
        drawn = self._loss.draw(pseudonym, generator=generator)
        return [
            Term(term.kind, {k: v.double() if v.is_floating_point() else v for k, v in term.tensors.items()})
            for term in drawn
        ]


@pytest.fixture(scope="module")
def small(text_encoder: TextEncoder) -> Iterator[Generator]:
    """A generator of few parameters in float64 whose every trained number has a gradient."""
    flows = (FlowConfig("xray"), FlowConfig("ct"), FlowConfig("text", "text"))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = preset("tiny", flows=flows, unet_channels=(16, 32), environment_width=16, adapter_width=16)
        generator = awakened(Generator(config, copy.deepcopy(text_encoder)))
    yield generator.double()


def stage_of(name: str, generator: Generator, anchors: AnchorBank) -> InDouble:
    stage = build_stage(
        name,
        generator,
        Patients(generator, COUNTS),
        flows=FLOWS,
        records_per_patient=2 if name == "align" else 1,
        timestep_draws=1,
        conditioning_dropout=0.1,
        source_prompts=0.5,
        flow_weights={"ct": 3.0, "text": 0.25},
        anchors=anchors,
    )
    return InDouble(stage)


def drawn_until_all_kinds(loss: InDouble, name: str) -> list[list[Term]]:
    """The patients' terms, drawn so that every kind of the stage is among them, and everybody heard by everybody."""
    wanted = {"align": {"xray", "ct"}, "diffuse": set(FLOWS), "guide": {*FLOWS, "ct/alone"}}[name]
    for seed in range(500):
        streams = [torch.Generator().manual_seed(10 * seed + number) for number in range(len(COUNTS))]
        terms = [loss.draw(who, generator=stream) for who, stream in zip(COUNTS, streams, strict=True)]
        every = [term for own in terms for term in own]
        heard = {(term.kind, key) for term in every for key in term.tensors if key.startswith("present.")}
        deaf = {pair for pair in heard if not any(t.tensors[pair[1]].any() for t in every if t.kind == pair[0])}
        if {term.kind for term in every} == wanted and not deaf:
            return terms
    raise AssertionError("no draw has every kind")


def one_by_one(loss: InDouble, parameters: dict[str, Tensor], own: list[Term]) -> dict[str, Tensor]:
    """A batch of one by plain autograd: nothing of the engines."""
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    total = sum((loss.loss(term.kind, leaves, dict(term.tensors)) for term in own), torch.zeros(()))
    if total.requires_grad:  # not where no term of the patient reads anything that trains
        total.backward()
    return {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}


@pytest.mark.parametrize(
    ("name", "subsets"),
    [
        *((name, chosen()) for name in FAMILY),
        ("align", chosen(alignment="norms")),
        ("guide", chosen(guidance="norms")),
        ("guide", chosen(guidance="gates")),
    ],
    ids=str,
)
def test_every_engine_gives_the_gradient_of_a_batch_of_one_on_every_trained_layer(
    name: str, subsets: Subsets, small: Generator, anchors: AnchorBank
) -> None:
    small.set_subsets(subsets)
    loss = stage_of(name, small, anchors)
    groups = [group for group in small.group_names((FAMILY[name],)) if group.partition("/")[2] in FLOWS]
    parameters = {key: value.detach() for group in groups for key, value in small.group(group).items()}
    terms = drawn_until_all_kinds(loss, name)
    expected = [one_by_one(loss, parameters, own) for own in terms]
    seen: set[str] = set()
    for engine in ENGINES:
        settings = ExecutionSettings(chunk_size=3, engine=engine)  # type: ignore[arg-type]
        gradients = patient_gradients(loss, parameters, terms, settings)  # type: ignore[arg-type]
        for patient, right in enumerate(expected):
            only = torch.zeros(len(terms), dtype=torch.float64)
            only[patient] = 1.0
            found = dict(gradients.weighted_sums(only))
            whole = torch.stack([value.norm() for value in right.values()]).norm()
            for key, value in right.items():
                apart = (found.get(key, torch.zeros_like(value)) - value).norm()
                assert apart <= 1e-6 * max(value.norm(), 1e-6 * whole), (engine, patient, key)
                seen |= {key} if value.any() else set()
    silent = set(parameters) - seen
    # Layers whose gradient is zero by construction: a bias before a softmax or a norm moves nothing.
    assert len(silent) < 0.1 * len(parameters), sorted(silent)

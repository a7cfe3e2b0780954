"""The real stages under the mechanism's own engine and clip: one patient moves the sum by at most the clipping norm.

Each way in which a stage could break that (a stream that patients share, another patient among the negatives) is
planted and must be caught. tests/privacy/test_sensitivity.py does the same for the mechanism, with toy losses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from medm2g import Generator
from medm2g.alignment import Aligned
from medm2g.anchors import AnchorBank
from medm2g.losses import InBatchInfoNCE
from medm2g.stages import AlignLoss, DiffuseLoss, PatientRecords, Stage, Term, build_stage
from medm2g.subsets import Subsets
from privacy.audit.remove_one import largest_move
from privacy.engines import ExecutionSettings
from privacy.errors import MechanismMisused
from tests.medm2g.conftest import chosen
from tests.medm2g.public_patients import Patients

FLOWS = ("xray", "text")
FAMILY = {"align": "alignment", "diffuse": "diffusion", "guide": "cross_guidance"}
NAMES = ["a", "b", "c", "d"]
NORM = 1e-3  # far below a patient's gradient norm, so that every patient is clipped
SLACK = 1 + 1e-4  # float32 sums of differently composed chunks


@pytest.fixture
def patients(generator: Generator) -> Patients:
    return Patients(generator, {name: {"xray": 1 + index % 2, "text": 1} for index, name in enumerate(NAMES)})


def _parameters(generator: Generator, family: str) -> dict[str, Tensor]:
    groups = [name for name in generator.group_names((family,)) if name.partition("/")[2] in FLOWS]
    return {key: value.detach() for name in groups for key, value in generator.group(name).items()}


def _move(
    make: Callable[[], Stage], family: str, removed: Sequence[str], generator: Generator, *, engine: str = "batch"
) -> float:
    return largest_move(
        make,
        _parameters(generator, family),
        NAMES,
        removed=removed,
        clipping_norm=NORM,
        settings=ExecutionSettings(chunk_size=8, engine=engine),  # type: ignore[arg-type]
    )


def _stage(name: str, generator: Generator, patients: Patients, anchors: AnchorBank) -> Stage:
    return build_stage(
        name,
        generator,
        patients,
        flows=FLOWS,
        records_per_patient=1,
        timestep_draws=1,
        conditioning_dropout=0.1,
        flow_weights={"xray": 30.0},
        anchors=anchors,
    )


WHOLE = chosen(diffusion="attention")
SMALL = chosen(alignment="norms", diffusion="style", guidance="gates")


@pytest.mark.parametrize("engine", ["vmap", "batch"])
@pytest.mark.parametrize("subsets", [WHOLE, SMALL], ids=str)
@pytest.mark.parametrize("name", list(FAMILY))
def test_no_patient_moves_a_stages_sum_by_more_than_the_clipping_norm(
    name: str, subsets: Subsets, engine: str, generator: Generator, patients: Patients, anchors: AnchorBank
) -> None:
    generator.set_subsets(subsets)
    moved = _move(lambda: _stage(name, generator, patients, anchors), FAMILY[name], NAMES, generator, engine=engine)
    assert 0.5 * NORM < moved <= NORM * SLACK


@pytest.mark.parametrize("name", list(FAMILY))
@pytest.mark.parametrize("worst", ["saturated", "constant", "huge", "not-finite"])
def test_no_worst_case_patient_does_either(
    name: str, worst: str, generator: Generator, patients: Patients, anchors: AnchorBank
) -> None:
    value = {"saturated": 1.0, "constant": 0.0, "huge": 6e4, "not-finite": float("nan")}[worst]
    own = patients.known["b"]
    patients.known["b"] = dataclasses.replace(
        own,
        images={flow: torch.full_like(images, value) for flow, images in own.images.items()},
        latents={flow: torch.full_like(latents, value) for flow, latents in own.latents.items()},
    )
    moved = _move(lambda: _stage(name, generator, patients, anchors), FAMILY[name], ["b", "a"], generator)
    assert moved <= NORM * SLACK


def test_planted_a_stream_that_patients_share_is_caught(generator: Generator, patients: Patients) -> None:
    class Sharing(DiffuseLoss):
        def __init__(self) -> None:
            super().__init__(generator, patients, flows=FLOWS)
            self.stream = torch.Generator().manual_seed(5)

        def draw(self, pseudonym: str, *, generator: torch.Generator, only: Sequence[str] | None = None) -> list[Term]:
            return super().draw(pseudonym, generator=self.stream)

    assert _move(Sharing, "diffusion", NAMES[:1], generator) > 1.3 * NORM


def test_a_patients_other_images_in_the_prompt_are_its_own_affair(generator: Generator, patients: Patients) -> None:
    def told() -> Stage:
        return DiffuseLoss(generator, patients, flows=FLOWS, source_prompts=0.8)

    assert 0.5 * NORM < _move(told, "diffusion", NAMES, generator) <= NORM * SLACK


def test_planted_another_patients_image_in_the_prompt_is_caught(generator: Generator, patients: Patients) -> None:
    class Lending(Patients):
        def __init__(self) -> None:
            self.known = patients.known
            self.before: PatientRecords | None = None

        def patient(self, pseudonym: str) -> PatientRecords:
            own = self.known[pseudonym]
            lent, self.before = self.before or own, own
            found = generator.align("xray", lent.images["xray"][:1].float())
            loud = (found.embedding, 100 * found.tokens)  # an untrained denoiser hardly hears its prompt
            shared = tuple(part.detach().expand(own.count("xray"), *part.shape[1:]) for part in loud)
            return dataclasses.replace(own, aligned={"xray": shared})

    def borrowing() -> Stage:
        return DiffuseLoss(generator, Lending(), flows=FLOWS, source_prompts=1.0)

    assert _move(borrowing, "diffusion", NAMES[:1], generator) > 1.02 * NORM


def test_planted_another_patients_report_among_the_candidates_is_caught(
    generator: Generator, patients: Patients, anchors: AnchorBank
) -> None:
    """The in-batch contrast in disguise: a patient is drawn to its own text and away from those drawn before."""
    for index, name in enumerate(NAMES):
        texts = torch.randn(1, 384, generator=torch.Generator().manual_seed(index))
        patients.known[name] = dataclasses.replace(patients.known[name], text_pooled=F.normalize(texts, dim=-1))

    class Remembering(AlignLoss):
        def __init__(self) -> None:
            super().__init__(generator, patients, flows=FLOWS, anchors=anchors)
            self.earlier = torch.zeros(1, 384)

        def draw(self, pseudonym: str, *, generator: torch.Generator, only: Sequence[str] | None = None) -> list[Term]:
            (term,) = super().draw(pseudonym, generator=generator)
            mixed = term.tensors["positive"] - 3 * self.earlier
            self.earlier = self.earlier + term.tensors["positive"]
            return [Term(term.kind, term.tensors | {"positive": mixed})]

    assert _move(Remembering, "alignment", NAMES[:1], generator) > 1.1 * NORM


def test_planted_in_batch_negatives_are_refused_by_the_engine_of_sites(
    generator: Generator, patients: Patients, anchors: AnchorBank
) -> None:
    """The paper's own contrast: under vmap a patient's batch is its own rows, in one batch it would be everybody's."""

    class InBatch(AlignLoss):
        def values(self, aligned: Aligned, tensors: Mapping[str, Tensor]) -> Tensor:
            rows = len(tensors["weight"])
            return InBatchInfoNCE(private=False)(aligned.embedding[:rows], tensors["positive"])

    with pytest.raises(MechanismMisused, match="in a batch than alone"):
        _move(lambda: InBatch(generator, patients, flows=FLOWS, anchors=anchors), "alignment", NAMES[:1], generator)

"""The real classes at tiny size, with random weights: a mock would only confirm the code against itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from medm2g import Generator, preset
from medm2g.anchors import AnchorBank, build_anchors
from medm2g.stages import Stage, build_stage
from medm2g.subsets import Subsets
from medm2g.text_encoder import TextEncoder
from tests.medm2g.public_patients import Patients
from tests.medm2g.stage_draws import COUNTS, SITE


@pytest.fixture(scope="session")
def text_encoder() -> TextEncoder:
    return TextEncoder()


@pytest.fixture(scope="session")
def anchors(text_encoder: TextEncoder) -> AnchorBank:
    return build_anchors(text_encoder)


def chosen(*, alignment: str = "all", diffusion: str = "all", guidance: str = "all") -> Subsets:
    return Subsets(alignment=alignment, diffusion=diffusion, guidance=guidance)  # type: ignore[arg-type]


def awakened(generator: Generator) -> Generator:
    """Gates as after some training: at birth they are zero and nothing is heard through them."""
    for name, parameter in generator.named_parameters():
        if name.startswith("adapters.") and ".gates." in name:
            torch.nn.init.normal_(parameter)
    return generator


@pytest.fixture(scope="session")
def shared_generator(text_encoder: TextEncoder) -> Generator:
    """A tiny generator with awake gates, for tests that only look."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return awakened(Generator(preset("tiny"), text_encoder))


@pytest.fixture()
def generator(shared_generator: Generator) -> Iterator[Generator]:
    """The same; whatever a test does to its parameters is undone."""
    before = {key: value.clone() for key, value in shared_generator.state_dict().items() if "text_encoder" not in key}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield shared_generator
    shared_generator.load_state_dict(before, strict=False)
    shared_generator.set_subsets(chosen(diffusion="attention"))
    shared_generator.zero_grad(set_to_none=True)


@pytest.fixture
def build(generator: Generator, anchors: AnchorBank) -> Callable[..., Stage]:
    """A stage of that name over four patients, or over those given."""

    def _build(name: str, patients: Patients | None = None, flows: tuple[str, ...] = SITE, **sizes: Any) -> Stage:
        source = patients or Patients(generator, COUNTS)
        sizes = {"records_per_patient": 2, "timestep_draws": 2} | sizes
        return build_stage(name, generator, source, flows=flows, conditioning_dropout=0.1, anchors=anchors, **sizes)

    return _build

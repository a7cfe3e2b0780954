"""Do samples resemble patients who trained? Nearest neighbours in pixel and feature space
(`privacy/audit/memorisation`).

Samples follow the prompts of members and of others alike, equally many, so that nothing in them depends on who trained
but the generator itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from medm2g.generator import Generator
from medm2g.metrics.referee import Referee
from medm2g.sampling import AnyToAnyPipeline, Conditions
from privacy.audit.membership import Membership
from privacy.audit.memorisation import Memorisation, memorisation, own_prompt_scores
from simulations.audit.patients import Attacked, FlowRecords

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SamplingTerms:
    """How samples are drawn."""

    records: int = 48
    """Records of members, and as many of others, per flow."""
    num_inference_steps: int = 10
    seed: int = 31


@dataclass(frozen=True)
class FlowMemory:
    """What one flow's samples show in one space."""

    flow: str
    space: str
    nearest: Memorisation
    own_prompt: Membership
    """Of records: how near the samples of a record's prompt come to that record."""


def attack_samples(
    generator: Generator,
    members: Attacked,
    others: Attacked,
    *,
    terms: SamplingTerms,
    fewest: int,
    on_flow: Callable[[], None] = lambda: None,
) -> list[FlowMemory]:
    """Every flow with at least `fewest` records of both kinds, in every space that it has."""
    referee, found = Referee.load(), []
    for flow in generator.flows:
        sides = [side.flows.get(flow) for side in (members, others)]
        if all(side is not None and len(side.owners) >= fewest for side in sides):
            first, second = (_one_each(side, terms.records) for side in sides if side is not None)
            for space, points in _points(generator, flow, first, second, terms, referee).items():
                found.append(_memory(flow, space, *points))
        on_flow()
    return found


def _memory(flow: str, space: str, samples: Array, trained: Array, held_out: Array) -> FlowMemory:
    patients = np.concatenate([trained, held_out])
    scores = own_prompt_scores(samples, np.arange(len(patients)), patients)
    return FlowMemory(
        flow,
        space,
        memorisation(samples, trained, held_out),
        Membership(scores[: len(trained)], scores[len(trained) :]),
    )


def _one_each(records: FlowRecords, most: int) -> FlowRecords:
    """The first record of each patient: records of one patient are no independent patients."""
    rows = np.unique(records.owners, return_index=True)[1][:most]
    return FlowRecords(
        owners=records.owners[rows],
        latents=records.latents[rows],
        tokens=records.tokens[rows],
        mask=records.mask[rows],
        images=None if records.images is None else records.images[rows],
        texts=[records.texts[row] for row in rows] if records.texts else [],
    )


def _points(
    generator: Generator, flow: str, first: FlowRecords, second: FlowRecords, terms: SamplingTerms, referee: Referee
) -> dict[str, tuple[Array, Array, Array]]:
    """By space: samples of everybody's prompts in order, trained patients, held-out patients."""
    tokens, mask = torch.cat([first.tokens, second.tokens]), torch.cat([first.mask, second.mask])
    made = _samples(generator, flow, tokens, mask, terms)
    if flow == generator.text_flow:
        texts = [*generator.decode_text(made), *first.texts, *second.texts]
        points = {"text embedding": generator.encode_text(texts).pooled.double().numpy()}
    else:
        assert first.images is not None and second.images is not None
        images = torch.cat([generator.decode_image(flow, made), first.images, second.images])
        points = {"pixels": images.flatten(1).double().numpy()}
        if flow in referee.config.flows:
            features = referee.features(flow, images).astype(np.float64)
            points["referee features"] = features / (features[len(made) :].std(0) + 1e-9)
    cuts = [len(made), len(made) + len(first.owners)]
    return {space: tuple(np.split(values, cuts)) for space, values in points.items()}  # type: ignore[misc]


@torch.no_grad()
def _samples(
    generator: Generator, flow: str, tokens: torch.Tensor, mask: torch.Tensor, terms: SamplingTerms
) -> torch.Tensor:
    """One latent per prompt, each from noise of its own."""
    pipeline = AnyToAnyPipeline(generator)
    random = torch.Generator().manual_seed(terms.seed)
    noise = torch.randn(len(tokens), *generator.latent_shape(flow), generator=random)
    null = generator.null_text
    conditions = Conditions(
        tokens=tokens.float(),
        mask=mask,
        null_tokens=null.tokens.float().expand(len(tokens), -1, -1),
        null_mask=null.mask.float().expand(len(tokens), -1),
        grids={},
        informative=True,
    )
    return pipeline.denoise({flow: noise}, conditions, terms.num_inference_steps, 1.0)[flow]

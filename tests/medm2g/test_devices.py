"""Nothing computes on the processor by mistake once the generator lies elsewhere.

Device `meta` computes shapes only and refuses, as an accelerator does, to mix its tensors with the processor's.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.fx.experimental import _config

from medm2g import Generator, preset
from medm2g.anchors import build_anchors
from medm2g.pretrain import PublicPatients
from medm2g.pretrain.align import PublicAlignLoss
from medm2g.pretrain.codecs import codec_loss
from medm2g.pretrain.diffuse import PublicDiffuseLoss
from medm2g.pretrain.draws import StageBatches, _loss
from medm2g.pretrain.styles import HospitalStyles
from medm2g.stages.guide import GuideLoss
from tests.medm2g.test_pretrain import FLOWS, _data

Batch = tuple[StageBatches, tuple[str, dict[str, Tensor]]]


class _Yes:
    def __bool__(self) -> bool:
        return True


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> tuple[Generator, dict[str, Batch]]:
    """A generator on `meta`, its encoder too, and a batch of every stage, drawn before."""
    generator, data = Generator(preset("tiny", flows=FLOWS)), _data()
    patients = PublicPatients(generator, data)
    patients.encode()
    patients.align()
    styles, anchors = HospitalStyles(generator, 2), build_anchors(generator.text_encoder)
    diffuse = PublicDiffuseLoss(generator, patients, flows=generator.flows, styles=styles, source_prompts=0.5)
    align = PublicAlignLoss(generator, patients, flows=generator.image_flows, anchors=anchors)
    guide = GuideLoss(generator, patients, flows=generator.flows, anchors=anchors, targets_per_patient=3)
    people = data.split(0.25, seed=1)[0]
    drawn: dict[str, Batch] = {}
    for name, stage, flow in (
        ("diffuse", diffuse, "ct"),
        ("diffuse a report", diffuse, "text"),
        ("align", align, "ct"),
        ("guide", guide, "ct"),
        ("guide a report", guide, "text"),
    ):
        batches = StageBatches(stage, patients, [flow], people, batch_size=3)
        drawn[name] = batches, batches.of_step(0)
    generator.to("meta")
    styles.to("meta")
    monkeypatch.setattr(Tensor, "any", lambda tensor, *args: _Yes())  # what depends on values has none here
    monkeypatch.setattr("medm2g.stages.stage.without_masked_context", dict)
    monkeypatch.setattr("medm2g.stages.guide.without_masked_context", dict)
    monkeypatch.setattr("medm2g.pretrain.diffuse.without_masked_context", dict)
    diffuse.contrast = 1.0
    monkeypatch.setattr(_config, "meta_nonzero_assume_all_nonzero", True, raising=False)
    return generator, drawn


@pytest.mark.parametrize("name", ["diffuse", "diffuse a report", "align", "guide", "guide a report"])
def test_a_stage_computes_where_the_generator_is(elsewhere: tuple[Generator, dict[str, Batch]], name: str) -> None:
    batches, batch = elsewhere[1][name]
    loss = _loss(batches.stage, *batch)
    assert loss.device.type == "meta"
    loss.backward()


def test_codecs_and_features_compute_where_the_generator_is(elsewhere: tuple[Generator, dict[str, Batch]]) -> None:
    generator = elsewhere[0]
    images = torch.zeros(3, 1, 64, 64, device="meta")
    random = torch.Generator().manual_seed(0)
    assert codec_loss(generator.image_codec("ct"), images, generator=random).device.type == "meta"
    assert generator.encode_image("ct", images).device.type == "meta"
    assert generator.align("ct", images).tokens.device.type == "meta"
    codec, words = generator.text_codec, generator.text_encoder.word_embeddings.detach()
    ids = torch.zeros(3, 64, dtype=torch.long, device="meta")
    mask = torch.ones(3, 64, dtype=torch.uint8, device="meta")
    latents = codec.encode_raw(torch.zeros(3, 64, 384, dtype=torch.float16, device="meta"), mask)
    loss = codec.reconstruction_loss(latents, ids, mask, words, latent_noise=0.3, generator=random)
    assert loss.device.type == "meta"
    HospitalStyles(generator, 2).to("meta").fold(generator)


def test_the_processor_beside_it_is_refused(elsewhere: tuple[Generator, dict[str, Batch]]) -> None:
    batches, (kind, stacked) = elsewhere[1]["diffuse"]
    with pytest.raises(RuntimeError, match="device meta"):
        batches.stage.loss_batch(kind, {}, stacked)

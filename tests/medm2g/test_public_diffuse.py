"""The public loss of a denoiser: another patient's prompt must serve a record worse than its own."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from medm2g import Generator
from medm2g.pretrain.data import PublicData, PublicPatients
from medm2g.pretrain.diffuse import MARGIN, PublicDiffuseLoss
from medm2g.pretrain.styles import HospitalStyles
from medm2g.stages import stack_terms
from medm2g.stages.stage import without_masked_context

PATIENTS = 6


@pytest.fixture
def stage(generator: Generator) -> PublicDiffuseLoss:
    images = torch.rand(PATIENTS, 1, 64, 64, generator=torch.Generator().manual_seed(3)).numpy() * 2 - 1
    people = torch.arange(PATIENTS).numpy()
    data = PublicData(
        images={"ct": images.astype("float16")},
        patients={"ct": people, "text": people},
        texts=[f"Finding number {number} on the {'left' if number % 2 else 'right'}." for number in people],
        report_of={"ct": people},
    )
    patients = PublicPatients(generator, data)
    patients.encode()
    return PublicDiffuseLoss(generator, patients, flows=("ct",), styles=HospitalStyles(generator, 1))


@pytest.fixture
def stacked(stage: PublicDiffuseLoss) -> dict[str, Tensor]:
    stage.conditioning_dropout = 0.0
    random = torch.Generator().manual_seed(0)
    terms = [term for who in range(PATIENTS) for term in stage.draw(str(who), generator=random)]
    return dict(stack_terms(terms))


def test_the_loss_is_the_plain_one_and_what_another_s_prompt_does_not_lose(
    stage: PublicDiffuseLoss, stacked: Mapping[str, Tensor]
) -> None:
    plain = stage.loss_batch("ct", {}, stacked).item()
    stage.contrast = 2.0
    told = without_masked_context(stacked)
    others = {name: tensor[:3] for name, tensor in told.items()}
    others |= {name: told[name][1:4] for name in ("context", "context_mask")}  # the next patient's
    lost = stage.batch_losses("ct", {}, others) - stage.batch_losses("ct", {}, told)[:3]
    assert lost.abs().max().item() > 0
    expected = plain + 2.0 * (MARGIN - lost).clamp_min(0).mean().item()
    assert stage.loss_batch("ct", {}, stacked).item() == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():  # validation is plain, so that its curve means what it meant
        assert stage.loss_batch("ct", {}, stacked).item() == pytest.approx(plain, rel=1e-6)


def test_it_teaches_a_denoiser_to_hear_its_own_prompt(stage: PublicDiffuseLoss, stacked: Mapping[str, Tensor]) -> None:
    unet = stage.generator.unets["ct"]
    before = {name: value.clone() for name, value in unet.state_dict().items()}

    def gap_after(contrast: float) -> float:
        unet.load_state_dict(before)
        stage.contrast = contrast
        optimizer = torch.optim.Adam(unet.parameters(), lr=2e-3)
        for _ in range(12):
            optimizer.zero_grad()
            stage.loss_batch("ct", {}, stacked).backward()
            optimizer.step()
        told = without_masked_context(stacked)
        others = told | {name: told[name].roll(-1, 0) for name in ("context", "context_mask")}
        with torch.no_grad():
            return float((stage.batch_losses("ct", {}, others) - stage.batch_losses("ct", {}, told)).mean())

    assert gap_after(2.0) > 2 * abs(gap_after(0.0))

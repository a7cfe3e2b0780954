"""Styles: every public hospital's own, and a space in which hospitals lie around zero with deviation one."""

from __future__ import annotations

import pytest
import torch

from medm2g import Generator
from medm2g.errors import InputInvalid
from medm2g.pretrain.data import PublicData, PublicPatients
from medm2g.pretrain.diffuse import PublicDiffuseLoss
from medm2g.pretrain.styles import RATE, HospitalStyles
from medm2g.stages import stack_terms


@pytest.fixture
def patients(generator: Generator) -> PublicPatients:
    images = torch.rand(6, 1, 64, 64, generator=torch.Generator().manual_seed(3)).numpy() * 2 - 1
    data = PublicData(
        images={"ct": images.astype("float16")},
        patients={"ct": torch.arange(6).numpy()},
        hospitals={number: number % 3 for number in range(6)},
    )
    found = PublicPatients(generator, data)
    found.encode()
    return found


def _styles(generator: Generator, hospitals: int) -> HospitalStyles:
    styles = HospitalStyles(generator, hospitals)
    random = torch.Generator().manual_seed(4)
    stretch = torch.linspace(0.01, 1.0, generator.config.style_width)
    with torch.no_grad():
        for table in styles.tables.values():
            table.copy_(0.2 + stretch * torch.randn(table.shape, generator=random))
    return styles


@torch.no_grad()
def test_folding_moves_the_space_and_not_what_a_hospital_s_images_look_like(generator: Generator) -> None:
    styles = _styles(generator, 40)
    projection = generator.unets["ct"].class_embedding
    before = projection(RATE * styles.tables["ct"])
    places = styles.fold(generator)["ct"]
    assert torch.allclose(projection(places), before, atol=1e-4)
    assert torch.allclose(places.mean(0), torch.zeros(places.shape[1]), atol=1e-4)
    assert torch.allclose(places.T @ places / len(places), torch.eye(places.shape[1]), atol=1e-3)
    assert not bool(generator.styles["ct"].any())


@torch.no_grad()
def test_axes_along_which_no_two_hospitals_differ_do_nothing(generator: Generator) -> None:
    """Three hospitals span two axes: whatever noise privacy adds to the other fourteen is without effect."""
    styles = _styles(generator, 3)
    styles.fold(generator)
    projection = generator.unets["ct"].class_embedding
    seen = projection(torch.eye(generator.config.style_width)) - projection(torch.zeros(generator.config.style_width))
    lengths = seen.norm(dim=1)
    assert bool((lengths[:2] > 1e-3).all()) and float(lengths[2:].max()) < 1e-4


def test_each_row_trains_the_style_of_its_own_hospital_only(generator: Generator, patients: PublicPatients) -> None:
    styles = HospitalStyles(generator, 3)
    stage = PublicDiffuseLoss(generator, patients, flows=("ct",), styles=styles)
    terms = [term for who in ("1", "4") for term in stage.draw(who, generator=torch.Generator().manual_seed(0))]
    stage.loss_batch("ct", {}, stack_terms(terms)).backward()
    gradient = styles.tables["ct"].grad
    assert gradient is not None
    assert bool(gradient[1].any()) and not bool(gradient[[0, 2]].any())


def test_fewer_styles_than_hospitals_are_refused(generator: Generator, patients: PublicPatients) -> None:
    with pytest.raises(InputInvalid, match="fewer styles"):
        PublicDiffuseLoss(generator, patients, flows=("ct",), styles=HospitalStyles(generator, 2))


@torch.no_grad()
def test_a_public_set_of_one_hospital_leaves_directions_that_a_study_can_move_along(generator: Generator) -> None:
    styles, projection = _styles(generator, 1), generator.unets["ct"].class_embedding
    weight = projection.weight.clone()
    styles.fold(generator)
    assert torch.equal(projection.weight, weight) and bool(weight.any())

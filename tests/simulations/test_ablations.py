"""The ablations' page, and what a generator with newborn parts keeps."""

from __future__ import annotations

import torch

from medm2g import Generator
from simulations.ablations import newborn, page
from simulations.generators import open_generator


def test_a_newborn_part_is_the_seed_s_and_everything_else_the_shipped_generator_s() -> None:
    shipped: Generator = open_generator("shipped")
    one, same, other = (newborn(shipped, "environments.", without=("alignment",), seed=seed) for seed in (0, 0, 1))
    assert one.config.without == ("alignment",) and shipped.config.without == ()
    before = shipped.state_dict()
    for name, value in one.state_dict().items():
        if not name.startswith("environments."):
            assert torch.equal(value, before[name])
    weight = "environments.ct.conv_in.weight"
    assert torch.equal(one.state_dict()[weight], same.state_dict()[weight])
    assert not torch.equal(one.state_dict()[weight], other.state_dict()[weight])
    assert not torch.equal(one.state_dict()[weight], before[weight])


def test_a_star_says_worse_beyond_the_seeds_noise() -> None:
    guidance = {
        "everything": {"ct->mri_t1": [20.0, 20.2, 20.1]},
        "without alignment": {"ct->mri_t1": [19.0, 19.3, 19.1]},
        "without cross-guidance": {"ct->mri_t1": [20.1, 20.0, 20.2]},
    }
    written = page(guidance, {"everything": {"ct": [0.7, 0.8]}, "without the invariant": {"ct": [0.6, 0.9]}})
    assert "| ct->mri_t1 | 20.10 (0.10) | 19.13 (0.15)* | 20.10 (0.10) |" in written
    assert "| ct | 0.750 (0.071) | 0.750 (0.212) |" in written

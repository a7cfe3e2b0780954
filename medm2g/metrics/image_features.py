"""Features of an image for a Fréchet distance: all that can be told of it, and not only what it shows.

A network that is asked for findings alone learns to overlook the rest: between the referee's features a distance does
not notice noise, blur or a wrong tone, and most of it is the spread of a few directions that are findings
(docs/evaluation.md). So this network is taught, once, on public phantoms of hospitals that nothing else sees, to tell
everything that is known of an image: how the scanner was set, whose anatomy it is, which finding it shows, and by how
much it was blurred and noised. Its features are kept uncorrelated and of one size, as in VICReg (arXiv 2105.04906,
section 4.1), so that none counts for more than another.

    image and its detail (b, 2, 64, 64), flow -> blocks at 32, 16, 8 px -> 4 x 4 grid -> features (b, 48)

No layer normalises: how bright and how rich in contrast an image is belongs to its look. Detail, by how much a pixel
differs from its neighbourhood, is given because what is grain and what is smooth is learnt last from pixels alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medm2g.metrics.flow_network import SHIPPED, FlowBlock, read_images
from medm2g.metrics.frechet import MAX_FEATURES

_NAME = "image_features"
_MOST_NOISE, _MOST_BLUR = 0.12, 1.0
"""Standard deviations: of added noise, in units of [-1, 1], and of the blur, in pixels."""
_FINDING_WEIGHT, _SPREAD_WEIGHT = 0.3, 0.1
"""Of the finding's cross entropy and of what keeps features apart, beside the mean squared error of the facts."""
_DAMAGE = 2
_DAMAGE_WEIGHT = 3.0
"""Noise and blur among the facts, and by how much they count for more than another: where they count as one, noise of
.06 adds 2 to 8 deviations to a distance between records, and 3 to 18 where they count as three (docs/LOG.md)."""


@dataclass(frozen=True)
class ImageFeaturesConfig:
    """What the shipped file says of itself."""

    flows: tuple[str, ...]
    image_size: int = 64
    width: int = 24
    features: int = MAX_FEATURES


class ImageFeatures(nn.Module):
    """See the module's docstring. Build with a config, or load what was shipped with `ImageFeatures.load()`."""

    def __init__(self, config: ImageFeaturesConfig) -> None:
        super().__init__()
        self.config = config
        width, flows = config.width, len(config.flows)
        sizes = ((2, width, 5), (width, 2 * width, 3), (2 * width, 4 * width, 3))
        self.blocks = nn.ModuleList(FlowBlock(a, b, flows, kernel=kernel, normalise=False) for a, b, kernel in sizes)
        self.to_grid = nn.Sequential(nn.AvgPool2d(config.image_size // 32), nn.Conv2d(4 * width, 2 * width, 1))
        self.to_features = nn.Linear(2 * width * 16, config.features)

    def forward(self, images: Tensor, flow: Tensor) -> Tensor:
        """Images (b, 1, s, s) in [-1, 1] and flow numbers (b,) to features (b, 48)."""
        detail = (images - F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)).abs()
        hidden = torch.cat([images, detail], 1)  # (b, 2, s, s)
        for block in self.blocks:
            hidden = block(hidden, flow)
        return self.to_features(self.to_grid(hidden).flatten(1))

    @torch.inference_mode()
    def features(self, flow: str, images: Tensor | npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Features (n, 48) of unit images (n, 1, s, s) or (n, s, s) of one flow. Raises ValueError for a flow that the
        network was not taught."""
        parts = read_images(flow, images, flows=self.config.flows, size=self.config.image_size)
        return torch.cat([self(*part) for part in parts]).numpy()

    def save(self, folder: Path) -> None:
        """Write `image_features.json` and `image_features.safetensors` (fp16) beside the referee."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{_NAME}.json").write_text(json.dumps(asdict(self.config), indent=1) + "\n", encoding="utf-8")
        save_file({name: value.half() for name, value in self.state_dict().items()}, folder / f"{_NAME}.safetensors")

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> ImageFeatures:
        """The frozen network in `folder`. Raises FileNotFoundError, saying how to make one."""
        path = folder / f"{_NAME}.json"
        if not path.is_file():
            raise FileNotFoundError(f"No {path.name} in {folder}: make it with python -m simulations.train_encoder.")
        known = json.loads(path.read_text(encoding="utf-8"))
        if unknown := set(known) - set(ImageFeaturesConfig.__dataclass_fields__):
            raise ValueError(f"{path.name} has unknown keys {sorted(unknown)}")
        network = cls(ImageFeaturesConfig(**known | {"flows": tuple(known["flows"])}))
        network.load_state_dict({k: v.float() for k, v in load_file(folder / f"{_NAME}.safetensors").items()})
        return network.eval().requires_grad_(False)


@dataclass(frozen=True)
class DescribedImages:
    """Unit images (n, s, s) of one flow, and what is known of each."""

    images: npt.NDArray[np.float32]
    facts: npt.NDArray[np.float64]
    """(n, facts), each of mean 0 and variance 1 over the flow's images; NaN where a fact says nothing of an image."""
    findings: npt.NDArray[np.int64]
    """(n,) number of the finding and side."""


def train_image_features(
    data: Mapping[str, DescribedImages],
    *,
    passes: int = 6,
    batch_size: int = 96,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> ImageFeatures:
    """Train on phantoms with AdamW; of every batch, half is blurred and noised, and how much is to be told too."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    first = next(iter(data.values()))
    network = ImageFeatures(ImageFeaturesConfig(flows=tuple(data), image_size=first.images.shape[-1]))
    width, facts = network.config.features, first.facts.shape[1] + _DAMAGE
    kinds = 1 + max(int(part.findings.max()) for part in data.values())
    heads = nn.ModuleList(nn.ModuleList([nn.Linear(width, facts), nn.Linear(width, kinds)]) for _ in data)
    optimizer = torch.optim.AdamW([*network.parameters(), *heads.parameters()], lr=learning_rate, weight_decay=1e-2)
    known = [_tensors(part) for part in data.values()]
    batches = min(len(part.images) for part in data.values()) // batch_size
    total = max(2, passes * batches * len(known))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=learning_rate, total_steps=total)
    network.train()
    for _ in range(passes):
        orders = [torch.randperm(len(images), generator=random) for images, _, _ in known]
        for start in range(0, batches * batch_size, batch_size):
            for number, (images, told, findings) in enumerate(known):
                chosen = orders[number][start : start + batch_size]
                seen, damage = _damaged(images[chosen], random)
                features = network(seen, torch.full((len(chosen),), number))
                regress, classify = heads[number]
                loss = _missed(regress(features), torch.cat([told[chosen], damage], 1))
                loss = loss + _FINDING_WEIGHT * F.cross_entropy(classify(features), findings[chosen])
                loss = loss + _SPREAD_WEIGHT * _unlike_white(features)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return network.eval().requires_grad_(False)


def _tensors(part: DescribedImages) -> tuple[Tensor, Tensor, Tensor]:
    facts = torch.as_tensor(part.facts, dtype=torch.float32)
    return torch.as_tensor(part.images)[:, None], facts, torch.as_tensor(part.findings)


def _damaged(images: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The second half of a batch blurred and noised; how much, (b, 2), in units of about the mean."""
    whole, rest = images.tensor_split(2)
    blur = _MOST_BLUR * float(torch.rand((), generator=random))
    bell = torch.exp(-(torch.arange(-2, 3) ** 2) / (2 * max(blur, 0.05) ** 2))
    bell = bell / bell.sum()
    rest = F.conv2d(F.pad(rest, (2, 2, 2, 2), mode="replicate"), (bell[:, None] * bell)[None, None])
    noise = _MOST_NOISE * torch.rand(len(rest), 1, 1, 1, generator=random)
    rest = rest + noise * torch.randn(rest.shape, generator=random)
    damage = torch.stack([noise.flatten() / (_MOST_NOISE / 2), torch.full((len(rest),), blur / (_MOST_BLUR / 2))], 1)
    return torch.cat([whole, rest]), torch.cat([damage.new_zeros(len(whole), 2), damage])


def _missed(said: Tensor, facts: Tensor) -> Tensor:
    """Mean squared error over the facts that are known, the damage last among them."""
    weights = torch.ones_like(facts)
    weights[:, -_DAMAGE:] = _DAMAGE_WEIGHT
    weights = weights.masked_fill(facts.isnan(), 0.0)
    return (weights * (said - facts.nan_to_num()) ** 2).sum() / weights.sum()


def _unlike_white(features: Tensor) -> Tensor:
    """How far the batch's covariance is from the identity: squared correlations, and variances beside 1."""
    centred = features - features.mean(0)
    covariance = centred.T @ centred / (len(features) - 1)
    variances = covariance.diagonal()
    apart = (covariance**2).sum() - (variances**2).sum()
    return apart / features.shape[1] + ((variances - 1) ** 2).mean()

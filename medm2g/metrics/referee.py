"""The referee: a small frozen CNN that gives features of an image and says which finding it shows, on which side.

It is trained once on public phantoms that nothing else is trained on (`simulations/train_referee.py`), shipped, and
never changes during a study. It looks *per flow*: the flow conditions every block, and each flow only answers with the
labels it was taught. Position survives to the end (no global pooling): a side is a place.

    image (b, 1, 64, 64), flow -> blocks at 32, 16, 8 px -> 4 x 4 grid -> features (b, 48) -> logits (b, labels)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medm2g.metrics.flow_network import SHIPPED, FlowBlock, read_images
from medm2g.metrics.frechet import MAX_FEATURES


@dataclass(frozen=True)
class RefereeConfig:
    """What the shipped file says of itself."""

    flows: tuple[str, ...]
    labels: tuple[str, ...]
    """One per finding and side, e.g. `nodule-left`; the order is that of the logits."""
    flow_labels: Mapping[str, tuple[int, ...]]
    """Which labels each flow was taught."""
    image_size: int = 64
    width: int = 24
    features: int = MAX_FEATURES


class Referee(nn.Module):
    """See the module's docstring. Build with a config, or load what was shipped with `Referee.load()`."""

    def __init__(self, config: RefereeConfig) -> None:
        super().__init__()
        self.config = config
        width, flows = config.width, len(config.flows)
        self.blocks = nn.ModuleList(
            FlowBlock(a, b, flows) for a, b in ((1, width), (width, 2 * width), (2 * width, 4 * width))
        )
        self.to_grid = nn.Sequential(nn.AvgPool2d(config.image_size // 32), nn.Conv2d(4 * width, 2 * width, 1))
        self.to_features = nn.Linear(2 * width * 16, config.features)
        self.head = nn.Embedding(flows, config.features * len(config.labels))
        nn.init.normal_(self.head.weight, std=0.02)
        allowed = torch.full((flows, len(config.labels)), float("-inf"))
        for index, flow in enumerate(config.flows):
            allowed[index, list(config.flow_labels[flow])] = 0.0
        self.register_buffer("allowed", allowed, persistent=False)

    def forward(self, images: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Images (b, 1, s, s) in [-1, 1] and flow numbers (b,) to features (b, 48) and logits (b, labels)."""
        hidden = images
        for block in self.blocks:
            hidden = block(hidden, flow)
        features = self.to_features(self.to_grid(hidden).flatten(1))  # (b, 48)
        head = self.head(flow).unflatten(1, (len(self.config.labels), self.config.features))  # (b, labels, 48)
        logits = torch.einsum("blf,bf->bl", head, nn.functional.silu(features))
        return features, logits + self.allowed[flow]

    def features(self, flow: str, images: Tensor | npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Features (n, 48) of unit images (n, 1, s, s) or (n, s, s) of one flow. Raises ValueError for a flow that the
        network was not taught, as all that read images do."""
        return self._read(flow, images)[0]

    def findings(self, flow: str, images: Tensor | npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        """Label numbers (n,), into `config.labels`, of unit images of one flow."""
        return self._read(flow, images)[1].argmax(1)

    def probabilities(self, flow: str, images: Tensor | npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """(n, labels) of unit images of one flow; zero for labels that the flow was not taught."""
        return torch.as_tensor(self._read(flow, images)[1]).softmax(1).numpy()

    @torch.inference_mode()
    def _read(
        self, flow: str, images: Tensor | npt.NDArray[np.floating]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        parts = read_images(flow, images, flows=self.config.flows, size=self.config.image_size)
        features, logits = zip(*(self(*part) for part in parts), strict=True)
        return torch.cat(features).numpy(), torch.cat(logits).numpy()

    def save(self, folder: Path) -> None:
        """Write `referee.json` and `referee.safetensors` (fp16)."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "referee.json").write_text(json.dumps(asdict(self.config), indent=1) + "\n", encoding="utf-8")
        save_file({name: value.half() for name, value in self.state_dict().items()}, folder / "referee.safetensors")

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> Referee:
        """The frozen referee in `folder`. Raises FileNotFoundError, saying how to make one."""
        if not (folder / "referee.json").is_file():
            raise FileNotFoundError(
                f"There is no referee in {folder}: train one with python -m simulations.train_referee."
            )
        config = _config_from_json(json.loads((folder / "referee.json").read_text(encoding="utf-8")))
        referee = cls(config)
        referee.load_state_dict({k: v.float() for k, v in load_file(folder / "referee.safetensors").items()})
        return referee.eval().requires_grad_(False)


def _config_from_json(values: dict[str, object]) -> RefereeConfig:
    if unknown := set(values) - set(RefereeConfig.__dataclass_fields__):
        raise ValueError(f"referee.json has unknown keys {sorted(unknown)}")
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    flow_labels = fields["flow_labels"]
    assert isinstance(flow_labels, dict)
    fields["flow_labels"] = {flow: tuple(numbers) for flow, numbers in flow_labels.items()}
    return RefereeConfig(**fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LabelledImages:
    """Unit images (n, s, s) of one flow, each with the number of its label."""

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def train_referee(
    data: Mapping[str, LabelledImages],
    labels: Sequence[str],
    *,
    passes: int = 12,
    batch_size: int = 96,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> Referee:
    """Train on phantoms with cross entropy and AdamW; small shifts and tone changes, never a flip."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    size = next(iter(data.values())).images.shape[-1]
    taught = {flow: tuple(int(n) for n in np.unique(part.labels)) for flow, part in data.items()}
    referee = Referee(RefereeConfig(flows=tuple(data), labels=tuple(labels), flow_labels=taught, image_size=size))
    images = torch.cat([torch.as_tensor(part.images).reshape(-1, 1, size, size) for part in data.values()])
    target = torch.cat([torch.as_tensor(part.labels) for part in data.values()])
    flow = torch.cat([torch.full((len(part.labels),), index) for index, part in enumerate(data.values())])
    optimizer = torch.optim.AdamW(referee.parameters(), lr=learning_rate, weight_decay=1e-2)
    steps = passes * (len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=learning_rate, total_steps=max(steps, 2))
    referee.train()
    for _ in range(passes):
        order = torch.randperm(len(images), generator=generator)
        for batch in order[: len(order) // batch_size * batch_size].split(batch_size):
            _, logits = referee(_augmented(images[batch], generator), flow[batch])
            loss = nn.functional.cross_entropy(logits, target[batch], label_smoothing=0.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return referee.eval().requires_grad_(False)


def _augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by at most two pixels, change gain and offset a little, add faint noise."""
    rows, columns = torch.randint(-2, 3, (2,), generator=generator).tolist()
    gain = 1 + 0.1 * torch.randn(len(images), 1, 1, 1, generator=generator)
    offset = 0.05 * torch.randn(len(images), 1, 1, 1, generator=generator)
    noise = 0.03 * torch.randn(images.shape, generator=generator)
    return torch.roll(images, (rows, columns), dims=(2, 3)) * gain + offset + noise

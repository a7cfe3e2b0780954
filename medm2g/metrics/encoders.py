"""What an image is compared by: features of a frozen encoder.

Three kinds, and a figure always says which: networks that are shipped and know phantoms, the one for all that can be
told of an image (image_features.py), the other for findings alone (referee.py); any encoder from a local folder (a
Hugging Face vision model such as RAD-DINO, or a TorchScript file such as Inception's); and principal components of the
pixels, which know nothing and can be fooled by nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medm2g.errors import EncoderMissing
from medm2g.metrics.frechet import MAX_FEATURES
from medm2g.metrics.image_features import ImageFeatures
from medm2g.metrics.referee import Referee

Features = npt.NDArray[np.float64]
_AT_ONCE = 64
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, where a folder does not say


class ImageEncoder(Protocol):
    """Unit images of a flow to features."""

    @property
    def name(self) -> str:
        """By which figures say what they were compared by."""

    def __call__(self, flow: str, images: npt.NDArray[np.floating]) -> Features:
        """(n, s, s) in [-1, 1] -> (n, features)"""


@dataclass(frozen=True)
class FrozenEncoder:
    """48 features of a shipped network that was taught on phantoms."""

    name: str
    network: ImageFeatures | Referee

    def __call__(self, flow: str, images: npt.NDArray[np.floating]) -> Features:
        return self.network.features(flow, images).astype(np.float64)


class PixelComponents:
    """Principal components of pixels, fitted on real images and never on generated ones: generators that are compared
    with the same images are compared alike."""

    name = "pixels"

    def __init__(self, reference: npt.NDArray[np.floating], *, features: int = MAX_FEATURES) -> None:
        """reference: (n, s, s), at least twice as many as features. Raises ValueError."""
        pixels = np.asarray(reference, dtype=np.float64).reshape(len(reference), -1)
        if len(pixels) < 2 * features:
            raise ValueError(f"{2 * features} images are needed to find {features} components, got {len(pixels)}")
        self.mean = pixels.mean(axis=0)
        self.components = np.linalg.svd(pixels - self.mean, full_matrices=False)[2][:features].T  # (s * s, features)

    def __call__(self, flow: str, images: npt.NDArray[np.floating]) -> Features:
        pixels = np.asarray(images, dtype=np.float64).reshape(len(images), -1)
        return np.asarray((pixels - self.mean) @ self.components)


@dataclass(frozen=True)
class FolderEncoder:
    """A vision network from a local folder, on three equal channels at its own size."""

    name: str
    network: Callable[[Tensor], Tensor]
    size: int
    mean: tuple[float, float, float] = _MEAN
    std: tuple[float, float, float] = _STD

    @torch.inference_mode()
    def __call__(self, flow: str, images: npt.NDArray[np.floating]) -> Features:
        pixels = (torch.as_tensor(np.asarray(images), dtype=torch.float32)[:, None] + 1) / 2  # (n, 1, s, s) in [0, 1]
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        parts = []
        for part in pixels.split(_AT_ONCE):
            resized = F.interpolate(part, size=(self.size, self.size), mode="bicubic", antialias=True)
            parts.append(self.network((resized.clamp(0, 1).expand(-1, 3, -1, -1) - mean) / std).flatten(1))
        return torch.cat(parts).double().numpy()


def folder_encoder(folder: Path) -> FolderEncoder:
    """The encoder of a folder: `config.json` with weights as Hugging Face writes them, or `encoder.pt` (TorchScript).

    Nothing is downloaded and no code of the folder is run but a TorchScript's. Raises EncoderMissing.
    """
    settings = _settings(folder)
    if (folder / "encoder.pt").is_file():
        network: nn.Module = torch.jit.load(folder / "encoder.pt", map_location="cpu").eval()
        return FolderEncoder(folder.name, network, *settings)
    if not (folder / "config.json").is_file():
        raise EncoderMissing(
            f"No image encoder in {folder.name}: it needs config.json with safetensors (Hugging Face) or encoder.pt."
        )
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_safetensors=True)
    model.eval().requires_grad_(False)
    return FolderEncoder(folder.name, lambda pixels: _pooled(model(pixel_values=pixels)), *settings)


def _settings(folder: Path) -> tuple[int, tuple[float, float, float], tuple[float, float, float]]:
    """Size, mean and deviation from `preprocessor_config.json`, as Hugging Face's image processors spell them."""
    path = folder / "preprocessor_config.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    size = said.get("crop_size") or said.get("size") or 224
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or 224
    mean, std = (tuple(said.get(name, usual)) for name, usual in (("image_mean", _MEAN), ("image_std", _STD)))
    return int(size), mean, std  # type: ignore[return-value]


def _pooled(output: object) -> Tensor:
    pooled = getattr(output, "pooler_output", None)
    hidden = getattr(output, "last_hidden_state", None)
    if pooled is None and hidden is None:
        raise EncoderMissing(
            "The folder's model gives neither pooled features nor hidden states: give a vision encoder."
        )
    return pooled if pooled is not None else hidden.mean(1)  # type: ignore[union-attr]


def reduced(real: Features, made: Features, *, features: int = MAX_FEATURES) -> tuple[Features, Features]:
    """Both sets on the first principal components of the real one: more features than that are mostly bias in a
    Fréchet distance of a few hundred samples."""
    if real.shape[1] <= features:
        return real, made
    mean = real.mean(axis=0)
    components = np.linalg.svd(real - mean, full_matrices=False)[2][:features].T
    return (real - mean) @ components, (made - mean) @ components

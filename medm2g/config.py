"""The shape of a generator: frozen, complete, and the whole truth (`config.json` is exactly this).

Two presets: `tiny` (64 px, trains on two CPU cores) and `base` (256 px, one GPU). A loaded configuration with a key
that is not declared here is refused, never ignored.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from medm2g.errors import ConfigInvalid, FolderInvalid

FlowKind = Literal["image", "text"]
AlignmentSubset = Literal["norms", "all"]
DiffusionSubset = Literal["style", "attention", "norms", "all"]
GuidanceSubset = Literal["gates", "norms", "all"]
AttentionKernel = Literal["plain", "fused"]
Part = Literal["alignment", "visual_invariant", "cross_guidance"]
"""What MedM2G adds to one latent diffusion per flow, and an ablation may leave out."""
Curve = tuple[tuple[float, float], ...]
FAMILIES: tuple[str, ...] = ("alignment", "diffusion", "cross_guidance")
_FLOW_NAME = re.compile(r"^[a-z][a-z0-9_]{0,31}$")


_CHOICES: Mapping[str, Any] = {
    "alignment_subset": AlignmentSubset,
    "diffusion_subset": DiffusionSubset,
    "guidance_subset": GuidanceSubset,
    "attention_kernel": AttentionKernel,
}


@dataclass(frozen=True)
class FlowConfig:
    """One modality's latent diffusion."""

    name: str
    """For example `mri_t1`: lower case, digits, underscores."""
    kind: FlowKind = "image"
    intensity: Curve = ()
    """The public tone curve by which its images came to [-1, 1], (stored value, unit value) knots as a study's
    `intensity`; empty where nobody said. Who gives it images along another one is refused (medm2g/curves.py)."""

    def __post_init__(self) -> None:
        if not _FLOW_NAME.match(self.name):
            raise ConfigInvalid(f"Flow name {self.name!r} is not allowed: use lower case letters, digits, underscores.")
        if self.kind not in ("image", "text"):
            raise ConfigInvalid(f"Flow {self.name} has kind {self.kind!r}: choose image or text.")


DEFAULT_FLOWS: tuple[FlowConfig, ...] = (
    FlowConfig("xray"),
    FlowConfig("ct"),
    FlowConfig("mri_t1"),
    FlowConfig("mri_t2"),
    FlowConfig("mri_flair"),
    FlowConfig("text", "text"),
)


def modality_of(flow: str) -> str:
    """`mri` of `mri_t1`; a flow without such a part is a modality of its own."""
    return flow.partition("_")[0]


@dataclass(frozen=True)
class GeneratorConfig:
    """Every size of every network of one generator."""

    preset: str = "tiny"
    """The preset these values started from; a label, nothing is derived from it."""
    flows: tuple[FlowConfig, ...] = DEFAULT_FLOWS
    image_size: int = 64
    """Pixels on a side."""

    context_length: int = 64
    """Text tokens given to the denoisers; longer text is cut."""
    context_width: int = 384
    """Width of the text encoder, of the context, and of the shared space."""
    aligned_tokens: int = 4
    """Tokens by which a clean image source joins the context."""

    codec_patch: int = 4
    """Pixels on a side folded into channels before the image autoencoder (1 folds nothing)."""
    codec_channels: tuple[int, ...] = (32, 48)
    codec_layers: int = 1
    latent_channels: int = 16
    codec_norm_groups: int = 8

    text_latent_width: int = 32
    text_latent_grid: int = 4
    """The text flow has grid x grid latent tokens, in raster order."""
    text_decoder_width: int = 128
    text_decoder_layers: int = 3
    text_decoder_heads: int = 4
    text_pooling_layers: int = 1

    alignment_width: int = 64
    alignment_stride: int = 8
    """Pixels on a side of one spatial token."""
    invariant_width: int = 32
    """Projection of the visual invariant: at most half the number of spatial tokens (DESIGN.md §4.2)."""

    unet_channels: tuple[int, ...] = (32, 56)
    unet_layers: int = 1
    unet_heads: int = 4
    unet_context_width: int = 112
    """Each denoiser projects the context to this width before its cross-attention."""
    unet_norm_groups: int = 8
    style_width: int = 16
    """Of a flow's style: the vector that tells a denoiser whose images it draws (medm2g/flows.py)."""
    attention_kernel: AttentionKernel = "plain"
    """`plain` matrix products (faster under vmap, and in bfloat16, on a CPU) or torch's `fused` kernels (GPU)."""

    guidance_grid: int = 4
    """An environment encoder gives grid x grid tokens."""
    guidance_width: int = 96
    environment_width: int = 64
    adapter_width: int = 96
    adapter_heads: int = 4

    alignment_subset: AlignmentSubset = "all"
    """What of a flow's alignment trains privately; the rest is its public trunk (medm2g/subsets.py)."""
    diffusion_subset: DiffusionSubset = "attention"
    """What of a denoiser trains privately, beside its style; the rest is the public trunk."""
    guidance_subset: GuidanceSubset = "all"
    """What of a flow's cross-guidance trains privately; the rest is its public trunk."""
    without: tuple[Part, ...] = ()
    """Parts that neither train nor speak in this generator (an ablation): none in one that is meant for use."""
    num_train_timesteps: int = 1000
    beta_schedule: str = "squaredcos_cap_v2"

    def __post_init__(self) -> None:
        names = [flow.name for flow in self.flows]
        if not names or len(set(names)) != len(names):
            raise ConfigInvalid("A generator needs at least one flow, each with a name of its own.")
        if sum(flow.kind == "text" for flow in self.flows) > 1:
            raise ConfigInvalid("A generator has at most one flow of kind text.")
        for key, choices in _CHOICES.items():
            if getattr(self, key) not in get_args(choices):
                known = ", ".join(get_args(choices))
                raise ConfigInvalid(f"`{key}` is {getattr(self, key)!r}: choose one of {known}.")
        if unknown := sorted(set(self.without) - set(get_args(Part))):
            raise ConfigInvalid(f"`without` names {unknown[0]!r}: choose from {', '.join(get_args(Part))}.")
        self._check_sizes()

    def _check_sizes(self) -> None:
        for divisor, what in ((self.downsampling, "the codec's downsampling"), (self.alignment_stride, "the stride")):
            if self.image_size % divisor:
                raise ConfigInvalid(f"`image_size` {self.image_size} must be a multiple of {what}, {divisor}.")
        if 2 * self.invariant_width > (self.image_size // self.alignment_stride) ** 2:
            raise ConfigInvalid("`invariant_width` must be at most half the number of spatial tokens.")
        for flow in self.flows:
            size = self.latent_shape(flow.name)[1]
            ratio, rest = divmod(size, self.guidance_grid)
            if rest or ratio & (ratio - 1):
                raise ConfigInvalid(f"`guidance_grid` must divide {flow.name}'s latent size {size} by a power of 2.")

    @property
    def downsampling(self) -> int:
        """Pixels per latent position, on a side."""
        return int(self.codec_patch * 2 ** (len(self.codec_channels) - 1))

    def flow(self, name: str) -> FlowConfig:
        """The flow of that name. Raises ConfigInvalid."""
        for flow in self.flows:
            if flow.name == name:
                return flow
        known = ", ".join(flow.name for flow in self.flows)
        raise ConfigInvalid(f"This generator has no flow called {name!r}: choose one of {known}.")

    def latent_shape(self, name: str) -> tuple[int, int, int]:
        """(channels, height, width) of one latent of a flow."""
        if self.flow(name).kind == "text":
            return (self.text_latent_width, self.text_latent_grid, self.text_latent_grid)
        size = self.image_size // self.downsampling
        return (self.latent_channels, size, size)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GeneratorConfig:
        """Build from plain values. Raises ConfigInvalid, also for a key that does not exist."""
        _refuse_unknown(cls, values, "the generator configuration")
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        if "flows" in plain:
            plain["flows"] = tuple(_flow_from(value) for value in plain["flows"])
        try:
            return cls(**plain)
        except TypeError as error:
            raise ConfigInvalid(f"The generator configuration holds a value of the wrong type ({error}).") from None


def read_config(folder: Path) -> GeneratorConfig:
    """The configuration of a generator folder. Raises FolderInvalid, ConfigInvalid."""
    return GeneratorConfig.from_dict(read_json(folder / "config.json"))


def read_json(path: Path) -> dict[str, Any]:
    """An object of a generator folder. Raises FolderInvalid, ConfigInvalid."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FolderInvalid(f"{path.parent.name} is not a generator folder: {path.name} is missing.") from None
    except ValueError:
        raise FolderInvalid(f"{path.name} in {path.parent.name} is not valid JSON: copy the folder again.") from None
    if not isinstance(values, dict):
        raise ConfigInvalid(f"{path.name} must hold a JSON object.")
    return values


def preset(name: str, **changes: Any) -> GeneratorConfig:
    """The preset of that name, with some values replaced. Raises ConfigInvalid."""
    if name not in PRESETS:
        raise ConfigInvalid(f"There is no preset called {name!r}: choose one of {', '.join(PRESETS)}.")
    try:
        return dataclasses.replace(PRESETS[name], **changes)
    except TypeError:
        raise ConfigInvalid(f"A generator has no setting called {' or '.join(sorted(changes))}.") from None


def _flow_from(value: Any) -> FlowConfig:
    if isinstance(value, FlowConfig):
        return value
    _refuse_unknown(FlowConfig, value, "a flow")
    curve = tuple((float(stored), float(unit)) for stored, unit in value.get("intensity", ()))
    return FlowConfig(**{**value, "intensity": curve})


def _refuse_unknown(cls: type, values: Mapping[str, Any], place: str) -> None:
    known = {field.name for field in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - known):
        raise ConfigInvalid(f"Unknown key {', '.join(map(repr, unknown))} in {place}: remove it or mend its spelling.")


PRESETS: Mapping[str, GeneratorConfig] = {
    "tiny": GeneratorConfig(),
    "base": GeneratorConfig(
        preset="base",
        image_size=256,
        codec_patch=1,
        codec_channels=(64, 128, 256, 256),
        codec_layers=2,
        codec_norm_groups=32,
        latent_channels=8,
        text_latent_width=64,
        text_latent_grid=8,
        text_decoder_width=256,
        text_decoder_layers=6,
        text_decoder_heads=8,
        text_pooling_layers=2,
        alignment_width=256,
        alignment_stride=16,
        invariant_width=128,
        unet_channels=(128, 256, 512),
        unet_layers=2,
        unet_heads=8,
        unet_context_width=384,
        unet_norm_groups=32,
        style_width=32,
        attention_kernel="fused",
        guidance_grid=8,
        guidance_width=256,
        environment_width=192,
        adapter_width=256,
        adapter_heads=8,
    ),
}

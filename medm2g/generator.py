"""The generator: text encoder, codecs, alignment, one denoiser per flow, and the cross-guidance between them.

Everything that trains is reached by *group* (`alignment/xray`, `diffusion/ct`, `cross_guidance/mri_t1`) and named by
its qualified parameter name. The pure calls `align`, `denoise`, `environment` and `spell` are batch first and safe
under `torch.func` (functional_call, grad, vmap): no in-place, no dropout, no BatchNorm, no data-dependent control flow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from medm2g import encoding
from medm2g.alignment import Aligned, AlignmentEncoder
from medm2g.anchors import AnchorBank, build_anchors
from medm2g.codec import ImageCodec
from medm2g.config import FAMILIES, GeneratorConfig
from medm2g.cross_guidance import EnvironmentEncoder, GuidanceAdapter, cross_guided
from medm2g.errors import ConfigInvalid, GroupUnknown, InputInvalid
from medm2g.flows import build_unet
from medm2g.subsets import Subsets
from medm2g.text_codec import TextCodec
from medm2g.text_encoder import DEFAULT_ENCODER, TextEncoder, TextFeatures

_PURE_CALLS = ("align", "denoise", "environment", "spell")


class Generator(nn.Module):
    """One generator of every flow of its configuration."""

    def __init__(self, config: GeneratorConfig, text_encoder: TextEncoder | str | Path | None = None) -> None:
        """text_encoder: a loaded one (share it between generators), a folder or package, or None for the default."""
        super().__init__()
        self.config = config
        if not isinstance(text_encoder, TextEncoder):
            text_encoder = TextEncoder(text_encoder or DEFAULT_ENCODER, max_length=config.context_length)
        if text_encoder.width != config.context_width:
            raise ConfigInvalid(
                f"`context_width` is {config.context_width}: set it to the text encoder's {text_encoder.width}."
            )
        self.text_encoder = text_encoder
        self.flows = tuple(flow.name for flow in config.flows)
        self.image_flows = tuple(flow.name for flow in config.flows if flow.kind == "image")
        self.text_flow = next((flow.name for flow in config.flows if flow.kind == "text"), None)
        self.codecs = nn.ModuleDict(
            {name: ImageCodec(config) if name in self.image_flows else TextCodec(config) for name in self.flows}
        )
        self.alignment = nn.ModuleDict({name: AlignmentEncoder(config) for name in self.image_flows})
        self.unets = nn.ModuleDict({name: build_unet(config, name) for name in self.flows})
        self.styles = nn.ParameterDict({name: nn.Parameter(torch.zeros(config.style_width)) for name in self.flows})
        self.environments = nn.ModuleDict({name: EnvironmentEncoder(config, name) for name in self.flows})
        self.adapters = nn.ModuleDict({name: GuidanceAdapter(config, name, self.unets[name]) for name in self.flows})
        self.scheduler = DDPMScheduler(
            num_train_timesteps=config.num_train_timesteps,
            beta_schedule=config.beta_schedule,
            prediction_type="v_prediction",
            clip_sample=False,
        )
        self.register_buffer("alphas_cumprod", self.scheduler.alphas_cumprod.clone(), persistent=False)
        self.alphas_cumprod: Tensor
        self._null_text: TextFeatures | None = None
        self._anchors: AnchorBank | None = None
        self.eval()
        self.codecs.requires_grad_(False)
        self._mark_trainable()

    # ---- facts -------------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return self.alphas_cumprod.dtype

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return self.alphas_cumprod.device

    @property
    def null_text(self) -> TextFeatures:
        """Features of the empty text (one row): the unconditional context."""
        if self._null_text is None or self._null_text.tokens.device != self.device:
            self._null_text = self.text_encoder([""])
        return self._null_text

    @property
    def anchors(self) -> AnchorBank:
        """The public anchors as this generator's text encoder sees them."""
        if self._anchors is None:
            self._anchors = build_anchors(self.text_encoder)
        return self._anchors

    @property
    def text_codec(self) -> TextCodec:
        """The codec of the text flow. Raises ConfigInvalid where there is none."""
        if self.text_flow is None:
            raise ConfigInvalid("This generator has no text flow: choose one that has for reports.")
        codec = self.codecs[self.text_flow]
        assert isinstance(codec, TextCodec)
        return codec

    def image_codec(self, flow: str) -> ImageCodec:
        """The codec of an image flow. Raises InputInvalid."""
        self._require_image(flow)
        codec = self.codecs[flow]
        assert isinstance(codec, ImageCodec)
        return codec

    def latent_shape(self, flow: str) -> tuple[int, int, int]:
        """(c, h, w) of one latent."""
        return self.config.latent_shape(flow)

    # ---- parameter groups ---------------------------------------------------------------------------------------

    def group_names(self, families: tuple[str, ...] = FAMILIES) -> list[str]:
        """Every group, family by family, flows in the configuration's order."""
        names = [(family, flow) for family in families for flow in self.flows]
        return [f"{family}/{flow}" for family, flow in names if family != "alignment" or flow in self.image_flows]

    def group(self, name: str) -> dict[str, nn.Parameter]:
        """The trainable parameters of a group, by qualified name, in a fixed order. Raises GroupUnknown."""
        subsets = self.subsets
        return {key: parameter for key, parameter in self.whole(name).items() if subsets.trains(key)}

    def trunk(self, name: str) -> dict[str, nn.Parameter]:
        """The public, frozen rest beside a group, by qualified name. Raises GroupUnknown."""
        subsets = self.subsets
        return {key: parameter for key, parameter in self.whole(name).items() if not subsets.trains(key)}

    def whole(self, name: str) -> dict[str, nn.Parameter]:
        """A group and its trunk: what public pre-training trains. Raises GroupUnknown."""
        family, _, flow = name.partition("/")
        if name not in self.group_names():
            raise GroupUnknown(f"This generator has no group {name!r}: choose one of {', '.join(self.group_names())}.")
        if family == "alignment":
            return _prefixed(f"alignment.{flow}", self.alignment[flow])
        if family == "cross_guidance":
            environment = _prefixed(f"environments.{flow}", self.environments[flow])
            return environment | _prefixed(f"adapters.{flow}", self.adapters[flow])
        beside = {f"styles.{flow}": self.styles[flow]}
        if flow == self.text_flow:
            beside[f"codecs.{flow}.adapter"] = self.text_codec.adapter
        return beside | _prefixed(f"unets.{flow}", self.unets[flow])

    def group_arrays(self, name: str) -> dict[str, np.ndarray]:
        """A copy of a group as float32 arrays."""
        return {
            key: parameter.detach().cpu().to(torch.float32, copy=True).numpy()
            for key, parameter in self.group(name).items()
        }

    @torch.no_grad()
    def load_group(self, name: str, arrays: Mapping[str, np.ndarray | Tensor]) -> None:
        """Overwrite a group; all of it or nothing. Raises GroupUnknown when names, shapes or values do not fit."""
        group = self.group(name)
        if set(arrays) != set(group):
            raise GroupUnknown(f"The arrays for {name} are not its {len(group)} parameters: send the whole group.")
        tensors = {key: torch.as_tensor(arrays[key]) for key in group}
        for key, parameter in group.items():
            if tensors[key].shape != parameter.shape:
                raise GroupUnknown(f"{key} has shape {tuple(tensors[key].shape)}; expected {tuple(parameter.shape)}.")
            if not bool(torch.isfinite(tensors[key]).all()):
                raise GroupUnknown(f"{key} is not finite: refuse the update that made it.")
        for key, parameter in group.items():
            parameter.copy_(tensors[key])

    @property
    def subsets(self) -> Subsets:
        """What of each family is in its groups."""
        return Subsets.of(self.config)

    def set_subsets(self, subsets: Subsets) -> None:
        """What trains from now on (a study's choice); moves parameters between trunks and groups."""
        self.config = dataclasses.replace(self.config, **subsets.settings())
        self._mark_trainable()

    def _mark_trainable(self) -> None:
        subsets = self.subsets
        for name in self.group_names():
            for key, parameter in self.whole(name).items():
                parameter.requires_grad_(subsets.trains(key))

    # ---- pure calls ----------------------------------------------------------------------------------------------

    def forward(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Dispatch to a pure call by name, so that `torch.func.functional_call` reaches each of them."""
        if method not in _PURE_CALLS:
            raise InputInvalid(f"`method` is {method!r}: choose one of {', '.join(_PURE_CALLS)}.")
        return getattr(self, method)(*args, **kwargs)

    def align(self, flow: str, images: Tensor) -> Aligned:
        """images (b, 1, s, s) in [-1, 1] -> embedding (b, 384), tokens (b, 4, 384), spatial (b, 64, 32)."""
        self._require_image(flow)
        return self.alignment[flow](images.to(self.dtype))

    def denoise(
        self,
        flow: str,
        noisy_latents: Tensor,
        timesteps: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor,
        guidance_tokens: Tensor | None = None,
        guidance_present: Tensor | None = None,
        guidance_sources: tuple[str, ...] = (),
        style: Tensor | None = None,
    ) -> Tensor:
        """Predicted velocity (b, c, h, w) of one flow.

        noisy_latents (b, c, h, w); timesteps (b,); encoder_hidden_states (b, n, 384); encoder_attention_mask (b, n),
        1 = attend; guidance_tokens (b, s, 16, 96) of the other flows `guidance_sources`, guidance_present (b, s).
        style (b, w): whose images; by default the flow's own.
        """
        self._require_flow(flow)
        context = encoder_hidden_states.to(self.dtype)
        attend = encoder_attention_mask.to(self.dtype)
        style = (self.styles[flow] if style is None else style).expand(len(noisy_latents), -1)
        if not guidance_sources:
            return self._velocity_of(flow, noisy_latents, timesteps, context, attend, style)
        if guidance_tokens is None or guidance_present is None:
            raise InputInvalid("`guidance_sources` needs `guidance_tokens` and `guidance_present` beside it.")
        present = guidance_present.to(self.dtype)
        tokens = guidance_tokens.to(self.dtype)
        with cross_guided(self.unets[flow], self.adapters[flow], tokens, present, tuple(guidance_sources)):
            return self._velocity_of(flow, noisy_latents, timesteps, context, attend, style)

    def _velocity_of(
        self, flow: str, latents: Tensor, timesteps: Tensor, context: Tensor, attend: Tensor, style: Tensor
    ) -> Tensor:
        unet = self.unets[flow]
        return unet(latents, timesteps, context, class_labels=style, encoder_attention_mask=attend, return_dict=False)[
            0
        ]

    def environment(self, flow: str, noisy_latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """V_flow: (b, c, h, w), (b,) -> grid tokens (b, 16, 96) and pooled (b, 384), unit norm."""
        self._require_flow(flow)
        return self.environments[flow](noisy_latents, timesteps)

    def spell(self, flow: str, latents: Tensor, ids: Tensor, mask: Tensor, negatives: Tensor) -> Tensor:
        """Nats per word (b,) of reports from their scaled latents (b, c, h, w); see `TextCodec.spelling_loss`."""
        self._require_flow(flow)
        words = self.text_encoder.word_embeddings.to(self.dtype)
        return self.text_codec.spelling_loss(latents.to(self.dtype), ids, mask, negatives, words)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """sqrt(alpha_bar_t) latents + sqrt(1 - alpha_bar_t) noise; timesteps (b,)."""
        signal, spread = self._schedule(timesteps)
        return signal * latents + spread * noise

    def velocity(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The v-prediction target sqrt(alpha_bar_t) noise - sqrt(1 - alpha_bar_t) latents (arXiv 2202.00512)."""
        signal, spread = self._schedule(timesteps)
        return signal * noise - spread * latents

    def _schedule(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        alpha_bar = self.alphas_cumprod[timesteps][:, None, None, None]  # (b, 1, 1, 1)
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    # ---- frozen features (see encoding.py) -----------------------------------------------------------------------

    def encode_text(self, texts: list[str]) -> TextFeatures:
        """Frozen features of n texts."""
        return encoding.encode_text(self, texts)

    def encode_image(self, flow: str, images: Tensor) -> Tensor:
        """Unit images (n, 1, s, s) to scaled latents (n, c, h, w)."""
        return encoding.encode_image(self, flow, images)

    def encode_report(self, features: TextFeatures) -> Tensor:
        """Frozen text features to the text flow's scaled latents."""
        return encoding.encode_report(self, features)

    def decode_image(self, flow: str, latents: Tensor) -> Tensor:
        """Scaled latents to images (n, 1, s, s) in [-1, 1], smoother than records are."""
        return encoding.decode_image(self, flow, latents)

    def grained(self, flow: str, images: Tensor, white: Tensor) -> Tensor:
        """Decoded images with the grain that the codec left out, from white noise of their shape."""
        return encoding.grained(self, flow, images, white)

    def decode_text(self, latents: Tensor, *, temperature: float = 0.0) -> list[str]:
        """The text flow's scaled latents to n reports."""
        return encoding.decode_text(self, latents, temperature=temperature)

    # ---- folders (see storage.py) --------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path, *, dtype: str = "float32", card: str | None = None) -> None:
        """Write a generator folder; see `storage.save_pretrained`."""
        from medm2g import storage

        storage.save_pretrained(self, Path(folder), dtype=dtype, card=card)

    @classmethod
    def from_pretrained(cls, folder: str | Path, text_encoder: TextEncoder | str | Path | None = None) -> Generator:
        """Read a generator folder; see `storage.from_pretrained`."""
        from medm2g import storage

        return storage.from_pretrained(Path(folder), text_encoder=text_encoder)

    def _require_flow(self, flow: str) -> None:
        if flow not in self.flows:
            raise InputInvalid(f"This generator has no flow called {flow!r}: choose one of {', '.join(self.flows)}.")

    def _require_image(self, flow: str) -> None:
        if flow not in self.image_flows:
            raise InputInvalid(f"{flow!r} is not an image flow: choose one of {', '.join(self.image_flows)}.")


def _prefixed(prefix: str, module: nn.Module) -> dict[str, nn.Parameter]:
    return {f"{prefix}.{name}": parameter for name, parameter in module.named_parameters()}

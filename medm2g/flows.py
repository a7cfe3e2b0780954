"""One latent diffusion per flow: diffusers' `UNet2DConditionModel` on that flow's latents, text as a token sequence.

Context is a sequence and never one pooled token: softmax over a single key is a constant, so its query would learn
nothing (notes/medm2g.md §3). The same class serves image latents (c, 8, 8) and text latents (32, 4, 4).

A flow's *style* is a short vector beside the timestep: what of its images no report tells, such as the scanner, the
exposure, how patients are built. In public pre-training every public hospital learns a style of its own; afterwards the
axes are turned and scaled so that public hospitals lie around zero with deviation one on each. So whoever joins is a
point in a space of a few dimensions that the denoiser knows already, which is what private training can afford to move.
"""

from __future__ import annotations

from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import nn

from medm2g.config import GeneratorConfig


def build_unet(config: GeneratorConfig, flow: str) -> UNet2DConditionModel:
    """The denoiser of one flow: predicts velocity from noisy latents, timestep and context."""
    channels, size, _ = config.latent_shape(flow)
    levels = len(config.unet_channels)
    unet = UNet2DConditionModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=config.unet_channels,
        layers_per_block=config.unet_layers,
        norm_num_groups=config.unet_norm_groups,
        attention_head_dim=config.unet_heads,  # diffusers' historic name for the number of heads
        cross_attention_dim=config.unet_context_width,
        encoder_hid_dim=config.context_width,
        encoder_hid_dim_type="text_proj",
        class_embed_type="simple_projection",  # diffusers' name for a vector beside the timestep: our style
        projection_class_embeddings_input_dim=config.style_width,
    )
    if config.attention_kernel == "plain":
        unet.set_attn_processor(AttnProcessor())
        for module in unet.modules():
            if isinstance(module, Attention):
                # of bfloat16, a softmax over 40 keys is twice as fast by way of float32: 11 % of sampling
                module.upcast_softmax = True
    return unet.eval()


def cross_attentions(unet: UNet2DConditionModel) -> list[tuple[str, nn.Module]]:
    """The text cross-attentions of a denoiser, in the order in which modules are registered: where guidance enters."""
    return [(name, module) for name, module in unet.named_modules() if name.endswith(".attn2")]

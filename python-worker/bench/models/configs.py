"""Sizes of the networks: arguments of their constructors, tiny and as published.

Full sizes are those of the configs of stable-diffusion-v1-5, stable-diffusion-xl-base-1.0, stable-diffusion-3.5-medium and
FLUX.1-dev. ``attention_head_dim`` of a UNet is the number of its heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Sizes:
    """One family at one scale. ``clips``: width, layers, heads and projection (0: none) of each CLIP text encoder; ``t5``:
    arguments of the T5 encoder, empty where there is none."""

    denoiser: Arguments
    vae: Arguments
    clips: tuple[tuple[int, int, int, int], ...]
    tokens: int
    t5: Arguments = field(default_factory=dict)
    t5_tokens: int = 0


def _vae(channels: tuple[int, ...], latent_channels: int, **more: Any) -> Arguments:
    return {
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "block_out_channels": channels,
        "latent_channels": latent_channels,
        "force_upcast": False,
        **more,
    }


def _small_vae(latent_channels: int, *channels: int, **more: Any) -> Arguments:
    return _vae(
        channels or (8, 16, 16),
        latent_channels,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=64,
        **more,
    )


def _full_vae(latent_channels: int, **more: Any) -> Arguments:
    # The sample size is that of a tile, where a picture is decoded in tiles.
    return _vae((128, 256, 512, 512), latent_channels, layers_per_block=2, sample_size=512, **more)


def _t5(width: int, inner: int, layers: int, heads: int, head_width: int, words: int) -> Arguments:
    return {
        "d_model": width,
        "d_ff": inner,
        "d_kv": head_width,
        "num_layers": layers,
        "num_heads": heads,
        "vocab_size": words,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": False,
        "use_cache": False,
    }


_FLOW_VAE = {"use_quant_conv": False, "use_post_quant_conv": False}
_SD3_VAE = {**_FLOW_VAE, "scaling_factor": 1.5305, "shift_factor": 0.0609}
_FLUX_VAE = {**_FLOW_VAE, "scaling_factor": 0.3611, "shift_factor": 0.1159}
_CROSS_DOWN = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
_CROSS_UP = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")
_TIME_IDS = 6

#: T5-XXL has 24 layers (4.8 billion parameters). Reading texts is not what is compared, so one stands for them unless asked.
T5_LAYERS = 24

#: A prompt of the benchmark takes 38, a token a letter.
_TINY_TOKENS = 48

TINY: Mapping[str, Sizes] = {
    "sd": Sizes(
        # Some 1.5 million parameters in the block layout of Stable Diffusion: a step is mostly Python and kernel launches.
        denoiser={
            "sample_size": 8,
            "block_out_channels": (32, 64, 64),
            "layers_per_block": 1,
            "down_block_types": _CROSS_DOWN,
            "up_block_types": _CROSS_UP,
            "cross_attention_dim": 32,
            "attention_head_dim": 4,
            "norm_num_groups": 8,
        },
        vae=_small_vae(4, 8, 8, 8, 8),
        clips=((32, 1, 2, 0),),
        tokens=_TINY_TOKENS,
    ),
    "sdxl": Sizes(
        denoiser={
            "sample_size": 16,
            "block_out_channels": (32, 64, 64),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 1, 2),
            "attention_head_dim": (2, 4, 4),
            "cross_attention_dim": 64,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": _TIME_IDS * 8 + 16,
            "norm_num_groups": 8,
        },
        vae=_small_vae(4, scaling_factor=0.13025),
        clips=((32, 2, 4, 0), (32, 2, 4, 16)),
        tokens=_TINY_TOKENS,
    ),
    "sd3": Sizes(
        denoiser={
            "sample_size": 16,
            "in_channels": 16,
            "num_layers": 3,
            "attention_head_dim": 16,
            "num_attention_heads": 4,
            "joint_attention_dim": 64,
            "caption_projection_dim": 64,
            "pooled_projection_dim": 32,
            "pos_embed_max_size": 24,
            "qk_norm": "rms_norm",
        },
        vae=_small_vae(16, **_SD3_VAE),
        clips=((32, 2, 4, 16), (32, 2, 4, 16)),
        tokens=_TINY_TOKENS,
        t5=_t5(64, 128, 2, 4, 16, 98),
        t5_tokens=_TINY_TOKENS,
    ),
    "flux": Sizes(
        denoiser={
            "patch_size": 1,
            "in_channels": 16,
            "num_layers": 2,
            "num_single_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 4,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 32,
            "guidance_embeds": True,
            "axes_dims_rope": (4, 6, 6),
        },
        vae=_small_vae(4, **_FLUX_VAE),
        clips=((32, 2, 4, 0),),
        tokens=_TINY_TOKENS,
        t5=_t5(32, 64, 2, 4, 16, 98),
        t5_tokens=_TINY_TOKENS,
    ),
}

_CLIP_L, _CLIP_G = (768, 12, 12), (1280, 32, 20)
_T5_XXL = _t5(4096, 10240, T5_LAYERS, 64, 64, 32128)

FULL: Mapping[str, Sizes] = {
    "sd": Sizes(
        denoiser={"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
        vae=_full_vae(4, scaling_factor=0.18215),
        clips=((*_CLIP_L, 0),),
        tokens=77,
    ),
    "sdxl": Sizes(
        denoiser={
            "sample_size": 128,
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": _TIME_IDS * 256 + 1280,
        },
        vae=_full_vae(4, scaling_factor=0.13025),
        clips=((*_CLIP_L, 0), (*_CLIP_G, 1280)),
        tokens=77,
    ),
    "sd3": Sizes(
        denoiser={
            "sample_size": 128,
            "in_channels": 16,
            "num_layers": 24,
            "attention_head_dim": 64,
            "num_attention_heads": 24,
            "joint_attention_dim": 4096,
            "caption_projection_dim": 1536,
            "pooled_projection_dim": 2048,
            "pos_embed_max_size": 384,
            "dual_attention_layers": tuple(range(13)),
            "qk_norm": "rms_norm",
        },
        vae=_full_vae(16, **_SD3_VAE),
        clips=((*_CLIP_L, 768), (*_CLIP_G, 1280)),
        tokens=77,
        t5=_T5_XXL,
        t5_tokens=512,
    ),
    "flux": Sizes(
        denoiser={"guidance_embeds": True},
        vae=_full_vae(16, **_FLUX_VAE),
        clips=((*_CLIP_L, 0),),
        tokens=77,
        t5=_T5_XXL,
        t5_tokens=512,
    ),
}

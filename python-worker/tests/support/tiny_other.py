"""Tiny pipelines of classes that no step adapter serves: a picture transformer, two video models, and an IP-Adapter."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKLWan,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    MotionAdapter,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    UNet2DConditionModel,
    WanPipeline,
    WanTransformer3DModel,
)
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, UMT5Config, UMT5EncoderModel

from tests.support import tiny
from tests.support.tiny import _t5_encoder, _t5_tokenizer, _vae


def pixart() -> PixArtAlphaPipeline:
    """Any size; denoised at the 256 by 256 pixels of its class and resized. It has the legacy callback only."""
    torch.manual_seed(0)
    tokens = _t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=32,
        patch_size=2,
        norm_num_groups=4,
        use_additional_conditions=False,
    )
    return PixArtAlphaPipeline(
        tokenizer=tokens,
        text_encoder=_t5_encoder(tokens, 16),
        vae=_vae(),
        transformer=transformer.eval(),
        scheduler=DPMSolverMultistepScheduler(),
    )


def wan() -> WanPipeline:
    """Videos of 4n + 1 frames, sides of 16 pixels or a multiple; latents of five axes."""
    torch.manual_seed(0)
    tokens = _t5_tokenizer()
    config = UMT5Config(vocab_size=len(tokens), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, use_cache=False)
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    )
    return WanPipeline(
        tokenizer=tokens,
        text_encoder=UMT5EncoderModel(config).eval(),
        vae=AutoencoderKLWan(
            base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        transformer=transformer.eval(),
    )


def animatediff() -> AnimateDiffPipeline:
    """Videos of up to 8 frames, made of a picture UNet and a motion adapter."""
    base = tiny.sd()
    torch.manual_seed(0)
    adapter = MotionAdapter(
        block_out_channels=tuple(base.unet.config.block_out_channels),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=2,
        motion_max_seq_length=8,
    )
    unet: UNet2DConditionModel = base.unet
    made = AnimateDiffPipeline(
        vae=base.vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        unet=unet,
        motion_adapter=adapter.eval(),
        scheduler=base.scheduler,
    )
    made.unet.eval()
    return made


BUILDERS = {"pixart": pixart, "wan": wan, "animatediff": animatediff}


def write(name: str, folder: Path) -> Path:
    """Saves a tiny pipeline in the diffusers layout."""
    BUILDERS[name]().save_pretrained(folder)
    return folder


IMAGE_EMBEDDING = 16


def image_encoder() -> CLIPVisionModelWithProjection:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=32,
        projection_dim=IMAGE_EMBEDDING,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    return CLIPVisionModelWithProjection(config).eval()


def write_ip_adapter(unet: UNet2DConditionModel, folder: Path, with_encoder: bool = True) -> Path:
    """The weight file of an IP-Adapter for a UNet, with random weights, and an image encoder beside it. Its names are those of
    h94/IP-Adapter: an attention layer is known by its place, counting those without text, too."""
    torch.manual_seed(1)
    width = unet.config.cross_attention_dim
    tokens = 4
    weights: dict[str, Tensor] = {
        "image_proj.proj.weight": torch.randn(tokens * width, IMAGE_EMBEDDING) * 0.3,
        "image_proj.proj.bias": torch.zeros(tokens * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    layers = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(layers):
        hidden = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
        for part in ("to_k_ip", "to_v_ip"):
            weights[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(hidden, width) * 0.3
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "ip-adapter.safetensors")
    if with_encoder:
        image_encoder().save_pretrained(folder / "image_encoder")
    return folder / "ip-adapter.safetensors"

"""Tiny pipelines of real classes with random weights, built from configs without a hub.

``python -m tests.support.tiny sd FOLDER`` writes one in the diffusers layout.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

MERGES = ["r e", "re d</w>", "c i", "ci r", "b l", "u e</w>", "bl ue</w>", "a n", "an d</w>"]
MAX_TOKENS = 32


def tokenizer() -> CLIPTokenizer:
    """All bytes, so that any text encodes; EOS keeps the highest id, which CLIP's pooling looks for."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in printable] + [chr(256 + n) for n in range(256 - len(printable))]
    words = [*symbols, *(symbol + "</w>" for symbol in symbols), *(merge.replace(" ", "") for merge in MERGES)]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys([*words, "<|startoftext|>", "<|endoftext|>"]))}
    # transformers 5 ignores vocab_file= and merges_file= here and would make a vocabulary of two.
    return CLIPTokenizer(
        vocab=vocabulary, merges=[tuple(merge.split()) for merge in MERGES], model_max_length=MAX_TOKENS
    )


def _text_encoder(tokens: CLIPTokenizer, width: int, projection: int | None = None) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
        **({"projection_dim": projection} if projection else {}),
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def _t5_tokenizer() -> T5Tokenizer:
    """Printable ASCII, one piece a character."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    return T5Tokenizer(
        vocab=[*special, *((chr(code), -4.0) for code in range(33, 127))], extra_ids=0, model_max_length=MAX_TOKENS
    )


def _t5_encoder(tokens: T5Tokenizer, width: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(tokens),
        d_model=width,
        d_kv=16,
        d_ff=2 * width,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        use_cache=False,
    )
    return T5EncoderModel(config).eval()


def _vae(latent_channels: int = 4, **config: float) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 16),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=64,
        mid_block_add_attention=False,
        force_upcast=False,
        **config,
    ).eval()


_UNET = {
    "sample_size": 16,
    "block_out_channels": (16, 32, 32),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
}
_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def sd() -> StableDiffusionPipeline:
    """64 by 64 pixels, some 0.3 M parameters."""
    torch.manual_seed(0)
    tokens = tokenizer()
    return StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_text_encoder(tokens, 32),
        tokenizer=tokens,
        unet=UNet2DConditionModel(cross_attention_dim=32, attention_head_dim=4, **_UNET).eval(),
        scheduler=DPMSolverMultistepScheduler(**_BETAS, use_karras_sigmas=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> StableDiffusionXLPipeline:
    """64 by 64 pixels, two text encoders."""
    torch.manual_seed(0)
    tokens = tokenizer()
    unet = UNet2DConditionModel(
        cross_attention_dim=32 + 32,
        attention_head_dim=(2, 4, 4),
        transformer_layers_per_block=(1, 1, 1),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
        **_UNET,
    )
    return StableDiffusionXLPipeline(
        vae=_vae(scaling_factor=0.13025),
        text_encoder=_text_encoder(tokens, 32),
        text_encoder_2=_text_encoder(tokens, 32, projection=16),
        tokenizer=tokens,
        tokenizer_2=tokenizer(),
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(**_BETAS, timestep_spacing="leading"),
        add_watermarker=False,
    )


def sd3(t5: bool = True) -> StableDiffusion3Pipeline:
    """64 by 64 pixels, three text encoders or two."""
    torch.manual_seed(0)
    tokens = tokenizer()
    pieces = _t5_tokenizer() if t5 else None
    transformer = SD3Transformer2DModel(
        sample_size=16,
        in_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=8 * 4,
        pooled_projection_dim=16 + 16,
        pos_embed_max_size=24,
        qk_norm="rms_norm",
    )
    return StableDiffusion3Pipeline(
        transformer=transformer.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(16, use_quant_conv=False, use_post_quant_conv=False, scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=_text_encoder(tokens, 32, projection=16),
        tokenizer=tokens,
        text_encoder_2=_text_encoder(tokens, 32, projection=16),
        tokenizer_2=tokenizer(),
        text_encoder_3=_t5_encoder(pieces, 64) if pieces else None,
        tokenizer_3=pieces,
    )


def flux(guidance_embeds: bool = True) -> FluxPipeline:
    """64 by 64 pixels; the schedule follows the size. Distilled on guidance, or on steps as "schnell" is."""
    torch.manual_seed(0)
    tokens, pieces = tokenizer(), _t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * 4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 6, 6),
    )
    return FluxPipeline(
        transformer=transformer.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, shift=3.0, base_image_seq_len=16, max_image_seq_len=256
        ),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=_text_encoder(tokens, 32),
        tokenizer=tokens,
        text_encoder_2=_t5_encoder(pieces, 32),
        tokenizer_2=pieces,
    )


BUILDERS = {"sd": sd, "sdxl": sdxl, "sd3": sd3, "flux": flux}


def write(name: str, folder: Path) -> Path:
    """Saves a tiny pipeline in the diffusers layout."""
    BUILDERS[name]().save_pretrained(folder)
    return folder


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))

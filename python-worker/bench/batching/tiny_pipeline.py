"""A pipeline so small that a step is mostly Python and kernel launches, as on a large GPU: real classes, random weights."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from bench.batching.workloads import TINY_SIDE

_TOKENS = 16
_WIDTH = 32


def write_tiny_pipeline(folder: Path) -> Path:
    """Saves the pipeline in the diffusers layout. Seeded: every run and every rival has the same weights."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    pipe = StableDiffusionPipeline(
        vae=_autoencoder(),
        text_encoder=_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=_denoiser(),
        scheduler=DPMSolverMultistepScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, use_karras_sigmas=True
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def _tokenizer() -> CLIPTokenizer:
    # One token a letter: transformers 5 takes the vocabulary as a mapping only.
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=_TOKENS)


def _text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config).eval()


def _denoiser() -> UNet2DConditionModel:
    """Some 1.5 million parameters in the block layout of Stable Diffusion."""
    return UNet2DConditionModel(
        sample_size=TINY_SIDE // 8,
        block_out_channels=(32, 64, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    ).eval()


def _autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=TINY_SIDE,
        mid_block_add_attention=False,
        force_upcast=False,
    ).eval()


if __name__ == "__main__":
    write_tiny_pipeline(Path(sys.argv[1]))

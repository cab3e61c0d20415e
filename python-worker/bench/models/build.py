"""From sizes to a pipeline with random weights, and to its files.

``python -m bench.models.build FAMILY SCALE FOLDER [--device D] [--dtype T] [--t5-layers N]`` writes one in the diffusers layout.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
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
)

from bench.models.configs import FULL, TINY, Sizes
from bench.models.tokenizers import clip_tokenizer, t5_tokenizer

SCALES: Mapping[str, Mapping[str, Sizes]] = {"tiny": TINY, "full": FULL}

_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def build(family: str, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> DiffusionPipeline:
    """A pipeline whose networks were made, and drew their weights, on ``device`` in ``dtype``. Seeded.

    Constructors fill everything themselves. Made without memory and given some afterwards, tables that are computed (positions
    of SD3) would hold whatever lay there; and weights of zeros run faster than any real ones.
    """
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return _FAMILIES[family](sizes)
    finally:
        torch.set_default_dtype(before)


def write(family: str, scale: str, folder: Path, device: torch.device, dtype: torch.dtype, t5_layers: int = 1) -> Path:
    """Saves a pipeline of full or tiny size. ``t5_layers`` counts for full sizes only."""
    sizes = SCALES[scale][family]
    if scale == "full" and sizes.t5:
        sizes = replace(sizes, t5={**sizes.t5, "num_layers": t5_layers})
    build(family, sizes, device, dtype).save_pretrained(folder)
    return folder


def _sd(sizes: Sizes) -> DiffusionPipeline:
    tokens = clip_tokenizer(sizes.tokens)
    return StableDiffusionPipeline(
        vae=_vae(sizes),
        text_encoder=_clip(sizes, 0, tokens),
        tokenizer=tokens,
        unet=UNet2DConditionModel(**sizes.denoiser).eval(),
        scheduler=_noise_scheduler(DPMSolverMultistepScheduler, **_BETAS, use_karras_sigmas=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl(sizes: Sizes) -> DiffusionPipeline:
    tokens = clip_tokenizer(sizes.tokens)
    return StableDiffusionXLPipeline(
        vae=_vae(sizes),
        text_encoder=_clip(sizes, 0, tokens),
        text_encoder_2=_clip(sizes, 1, tokens),
        tokenizer=tokens,
        tokenizer_2=clip_tokenizer(sizes.tokens),
        unet=UNet2DConditionModel(**sizes.denoiser).eval(),
        scheduler=_noise_scheduler(DPMSolverMultistepScheduler, **_BETAS, use_karras_sigmas=True),
        add_watermarker=False,
    )


def _sd3(sizes: Sizes) -> DiffusionPipeline:
    tokens = clip_tokenizer(sizes.tokens)
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(**sizes.denoiser).eval(),
        scheduler=_noise_scheduler(FlowMatchEulerDiscreteScheduler, shift=3.0),
        vae=_vae(sizes),
        text_encoder=_clip(sizes, 0, tokens),
        tokenizer=tokens,
        text_encoder_2=_clip(sizes, 1, tokens),
        tokenizer_2=clip_tokenizer(sizes.tokens),
        text_encoder_3=_t5(sizes),
        tokenizer_3=t5_tokenizer(sizes.t5_tokens),
    )


def _flux(sizes: Sizes) -> DiffusionPipeline:
    tokens = clip_tokenizer(sizes.tokens)
    return FluxPipeline(
        transformer=FluxTransformer2DModel(**sizes.denoiser).eval(),
        scheduler=_noise_scheduler(FlowMatchEulerDiscreteScheduler, use_dynamic_shifting=True, shift=3.0),
        vae=_vae(sizes),
        text_encoder=_clip(sizes, 0, tokens),
        tokenizer=tokens,
        text_encoder_2=_t5(sizes),
        tokenizer_2=t5_tokenizer(sizes.t5_tokens),
    )


_FAMILIES: Mapping[str, Callable[[Sizes], DiffusionPipeline]] = {"sd": _sd, "sdxl": _sdxl, "sd3": _sd3, "flux": _flux}


def _noise_scheduler(cls: Any, **config: Any) -> Any:
    """On the host, whichever device the networks are made on: its tables are read there."""
    with torch.device("cpu"):
        return cls(**config)


def _vae(sizes: Sizes) -> Any:
    return AutoencoderKL(**sizes.vae).eval()


def _clip(sizes: Sizes, which: int, tokens: CLIPTokenizer) -> Any:
    width, layers, heads, projection = sizes.clips[which]
    config = CLIPTextConfig(
        # As large as published where the width is; ids of our texts lie among the first.
        vocab_size=49408 if width >= 768 else len(tokens),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=sizes.tokens,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
        **({"projection_dim": projection} if projection else {}),
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def _t5(sizes: Sizes) -> Any:
    return T5EncoderModel(T5Config(**sizes.t5)).eval()


def main() -> None:
    """Writes one pipeline, as told on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.models.build", description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=sorted(_FAMILIES))
    parser.add_argument("scale", choices=sorted(SCALES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--t5-layers", type=int, default=1)
    told = parser.parse_args()
    write(told.family, told.scale, told.folder, told.device, getattr(torch, told.dtype), told.t5_layers)


if __name__ == "__main__":
    main()

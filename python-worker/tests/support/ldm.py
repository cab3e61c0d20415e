"""A tiny Stable Diffusion in the layout it was trained in: one file with the tensor names of the original code."""

from __future__ import annotations

import re
from pathlib import Path

from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def write_single_file(pipe: StableDiffusionPipeline, path: Path) -> Path:
    """Saves the three networks of a pipeline with one layer a block as one checkpoint."""
    tensors = {
        **{f"model.diffusion_model.{_unet_name(k)}": v for k, v in pipe.unet.state_dict().items()},
        **{f"first_stage_model.{_vae_name(k)}": v for k, v in pipe.vae.state_dict().items()},
        **{
            f"cond_stage_model.transformer.text_model.{k.removeprefix('text_model.')}": v
            for k, v in pipe.text_encoder.state_dict().items()
        },
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    return path


def _unet_name(name: str) -> str:
    for new, old in _ENDS.items():
        if name.startswith(new + "."):
            return old + name.removeprefix(new)
    kind, *rest = name.split(".")
    if kind == "mid_block":
        part, index, *inner = rest
        return _joined(f"middle_block.{2 * int(index) if part == 'resnets' else 1}", part, inner)
    block, part, index, *inner = rest
    if part == "downsamplers":
        return _joined(f"input_blocks.{2 * int(block) + 2}.0.op", part, inner[1:])
    if part == "upsamplers":
        # It stands after the attention, where there is one.
        return _joined(f"output_blocks.{2 * int(block) + 1}.2", part, inner)
    place = (
        f"input_blocks.{2 * int(block) + 1}"
        if kind == "down_blocks"
        else f"output_blocks.{2 * int(block) + int(index)}"
    )
    return _joined(f"{place}.{0 if part == 'resnets' else 1}", part, inner)


def _joined(place: str, part: str, inner: list[str]) -> str:
    if part == "resnets":
        inner = [_RESNET[inner[0]], *inner[1:]]
    return ".".join([place, *inner])


def _vae_name(name: str) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    # The original counts the blocks of the decoder from the picture; there are three.
    name = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda m: f"up.{2 - int(m[1])}.block.", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.", lambda m: f"up.{2 - int(m[1])}.upsample.", name)

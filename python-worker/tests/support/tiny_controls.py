"""Tiny ControlNets and LoRA files for the tiny pipelines, with random weights that leave a visible mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel
from PIL import Image
from safetensors.torch import save_file


def controlnet(pipe: Any, seed: int = 0) -> ControlNetModel:
    """A ControlNet for the UNet of a tiny pipeline."""
    torch.manual_seed(seed)
    # As many halvings of the picture as the VAE makes: two.
    net = ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(8, 16, 16))
    for parameter in net.parameters():
        # Its last layers start at zero, where it would change nothing.
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


def write_controlnet(pipe: Any, folder: Path, seed: int = 0) -> Path:
    """Saves one as a folder."""
    controlnet(pipe, seed).save_pretrained(folder)
    return folder


def write_lora(pipe: Any, path: Path, seed: int = 0, parts: tuple[str, ...] = (), rank: int = 2) -> Path:
    """A LoRA for the queries and values of the attention layers of ``parts``; none: of the denoiser."""
    parts = parts or (("unet",) if hasattr(pipe, "unet") else ("transformer",))
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for part in parts:
        layers = [(name, layer) for name, layer in getattr(pipe, part).named_modules() if _is_adaptable(name, layer)]
        assert layers, f"{part} has no plain attention layers; are LoRAs loaded already?"
        for name, layer in layers:
            down = torch.randn(rank, layer.in_features, generator=random)
            up = torch.randn(layer.out_features, rank, generator=random)
            tensors[f"{part}.{name}.lora_A.weight"] = down / layer.in_features**0.5
            tensors[f"{part}.{name}.lora_B.weight"] = up
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"format": "pt"})
    return path


def _is_adaptable(name: str, layer: torch.nn.Module) -> bool:
    return isinstance(layer, torch.nn.Linear) and name.endswith(("to_q", "to_v", "q_proj", "v_proj"))


def write_picture(path: Path, size: tuple[int, int] = (64, 64), seed: int = 0) -> Path:
    """Coloured blocks of eight pixels."""
    width, height = size
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]).save(path)
    return path


def write_mask(path: Path, size: tuple[int, int] = (64, 64)) -> Path:
    """The right half is white: painted anew."""
    mask = np.zeros((size[1], size[0]), dtype=np.uint8)
    mask[:, size[0] // 2 :] = 255
    Image.fromarray(mask).save(path)
    return path

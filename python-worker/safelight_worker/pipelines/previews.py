"""Rough pictures from latents by a linear map, cheap enough for every few steps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class PreviewFactors:
    """``rgb = latents @ factors + bias``: factors (channels, 3), bias (3,), rgb in -1 … 1 as the VAE's."""

    factors: Tensor
    bias: Tensor

    def picture(self, latents: Tensor) -> NDArray[np.float32]:
        """(height/f, width/f, 3) float32 in 0 … 1 from (1, channels, height/f, width/f)."""
        rgb = torch.einsum("chw,cr->hwr", latents[0].float().cpu(), self.factors) + self.bias
        picture: NDArray[np.float32] = (rgb / 2 + 0.5).clamp(0, 1).numpy()
        return picture


def preview_factors(folder: Path, vae: Any) -> PreviewFactors:
    """The factors that came with the model (``preview.json``), else a least-squares fit to what its VAE decodes."""
    return read_factors(folder) or _fit(vae)


def read_factors(folder: Path) -> PreviewFactors | None:
    """Those that came with the model; None: none did."""
    file = folder / "preview.json"
    if not file.is_file():
        return None
    told = json.loads(file.read_text())
    return PreviewFactors(torch.tensor(told["latent_rgb_factors"]), torch.tensor(told["latent_rgb_bias"]))


def _fit(vae: Any) -> PreviewFactors:
    # Float16 overflows in some VAEs, which their configs know of (SDXL's first one).
    overflows = next(vae.parameters()).dtype == torch.float16 and vae.config.get("force_upcast")
    if not overflows:
        return _fitted(vae)
    vae.to(torch.float32)
    try:
        return _fitted(vae)
    finally:
        vae.to(torch.float16)


def _fitted(vae: Any) -> PreviewFactors:
    # Smooth random fields: neighbouring latents of pictures are alike, and a pixel then depends on its own latent most.
    generator = torch.Generator().manual_seed(0)
    channels = vae.config.latent_channels
    coarse = torch.randn(8, channels, 4, 4, generator=generator)
    latents = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear") * 1.5
    weight = next(vae.parameters())
    rows = []
    for latent in latents:
        scaled = latent[None] / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0.0)
        decoded = vae.decode(scaled.to(weight), return_dict=False)[0].float().cpu()
        rows.append(torch.nn.functional.adaptive_avg_pool2d(decoded, 16)[0])
    x = latents.permute(0, 2, 3, 1).reshape(-1, channels)
    y = torch.stack(rows).permute(0, 2, 3, 1).reshape(-1, 3)
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(len(x), 1)], dim=1), y).solution
    return PreviewFactors(solution[:-1], solution[-1])

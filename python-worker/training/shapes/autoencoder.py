"""How does a picture become 16x16x4 numbers and back? Configuration and training of the autoencoder."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from .draw import draw
from .optimiser import Mover
from .progress import Progress
from .scenes import CANVAS, sample_scene

LATENT_CHANNELS = 4
# Standard deviation of the noise put on latents in training, so that near latents decode alike. It is also what the
# finished encoder reports as its own spread.
LATENT_NOISE = 0.05
BATCH = 8


def build() -> AutoencoderKL:
    """A new autoencoder, 0.65 M weights. Factor 4: (3, 64, 64) pictures become (4, 16, 16) latents."""
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=2,
        sample_size=CANVAS,
        mid_block_add_attention=False,
        force_upcast=False,
    )
    # A block that starts as the identity learns in half the steps.
    for name, param in vae.named_parameters():
        if name.endswith("conv2.weight"):
            torch.nn.init.zeros_(param)
    return vae


def draw_many(count: int, seed: int) -> Tensor:
    """Random drawings: (count, 3, 64, 64) uint8. Source: `seed`."""
    rng = random.Random(seed)
    pictures = np.stack([draw(sample_scene(rng), rng) for _ in range(count)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


def to_signed(pictures: Tensor) -> Tensor:
    """Bytes 0..255 to float32 -1..1."""
    return pictures.float() / 127.5 - 1.0


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def picture_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 + 0.5 MSE + 0.2 L1 of the slopes; pixels next to an edge weigh up to four times as much."""
    down, across = _slopes(target)
    steep = F.pad(down.abs().amax(1, keepdim=True), (0, 0, 0, 1)) + F.pad(across.abs().amax(1, keepdim=True), (0, 1))
    weight = 1.0 + 3.0 * F.max_pool2d(steep.clamp(max=1.0), 3, stride=1, padding=1)
    error = output - target
    slopes = sum((a - b).abs().mean() for a, b in zip(_slopes(output), (down, across), strict=True))
    return (weight * (error.abs() + 0.5 * error**2)).mean() + 0.2 * slopes


@torch.no_grad()
def psnr(vae: AutoencoderKL, pictures: Tensor) -> float:
    """Peak signal-to-noise ratio of a round trip in dB, over (n, 3, 64, 64) uint8 pictures."""
    target = to_signed(pictures)
    output = vae.decode(vae.encode(target).latent_dist.mean).sample.clamp(-1, 1)
    return 10 * math.log10(4 / float(F.mse_loss(output, target)))


def train(vae: AutoencoderKL, progress: Progress, seed: int, checkpoint: Path) -> None:
    """Trains in place, with a checkpoint every two minutes."""
    progress.resume(checkpoint, vae=vae)
    generator = torch.Generator().manual_seed(seed + progress.step)
    pictures = draw_many(8192, seed)
    unseen = draw_many(128, seed + 1)
    vae.train().requires_grad_(True)
    # Muon reached 31.7 dB in 450 steps where AdamW reached 17.
    mover = Mover([vae], muon=2e-3, adam=2e-3)
    saved_at = progress.fraction
    while not progress.done():
        chosen = torch.randint(len(pictures), (BATCH,), generator=generator)
        target = to_signed(pictures[chosen])
        with torch.autocast("cpu", torch.bfloat16):
            mean = vae.encode(target).latent_dist.mean.float()
        noisy = mean + LATENT_NOISE * torch.randn(mean.shape, generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            output = vae.decode(noisy).sample
        # Without a weak pull to zero the latents would outgrow the fixed noise.
        loss = picture_loss(output.float(), target) + 1e-3 * (mean**2).mean()
        loss.backward()
        mover.step(progress.rate())
        progress.step += 1
        progress.report(loss=float(loss.detach()))
        if (progress.fraction - saved_at) * progress.seconds > 120:
            saved_at = progress.fraction
            progress.save(checkpoint, vae=vae)
            progress.report(0, psnr=psnr(vae, unseen))
    finish(vae, pictures[:2048])
    progress.save(checkpoint, vae=vae)
    progress.report(0, psnr=psnr(vae, unseen))


@torch.no_grad()
def finish(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Fixes what training leaves open: the encoder's reported spread, which training never reads."""
    vae.eval().requires_grad_(False)
    vae.quant_conv.weight[LATENT_CHANNELS:].zero_()
    vae.quant_conv.bias[LATENT_CHANNELS:].fill_(2 * math.log(LATENT_NOISE))
    latents = vae.encode(to_signed(pictures)).latent_dist.mean
    vae.register_to_config(scaling_factor=round(1.0 / float(latents.std()), 5))

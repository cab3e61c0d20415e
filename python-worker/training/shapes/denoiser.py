"""How does noise become a picture? Configuration and training of the UNet, the text encoder learning along."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from .autoencoder import to_signed
from .captions import VARIED, describe
from .draw import draw
from .optimiser import Mover, RunningMean
from .progress import Progress
from .scenes import Scene, sample_scene
from .text_encoder import WIDTH, tokens
from .tokenizer import LENGTH

BATCH = 32
CAPTIONS_EACH = 6
EMPTY_SHARE = 0.1  # of captions, so that guidance has something to push away from
MEAN_DECAY = 0.998


def build() -> UNet2DConditionModel:
    """A new denoiser, 2.76 M weights, for (4, 16, 16) latents."""
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    # Blocks that start as the identity, and a first guess of zero.
    for name, param in unet.named_parameters():
        if name.endswith(("conv2.weight", "proj_out.weight", "proj_out.bias")) or name.startswith("conv_out"):
            torch.nn.init.zeros_(param)
    return unet


def scheduler() -> DPMSolverMultistepScheduler:
    """The noise scheduler that ships with the model."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        use_karras_sigmas=True,
        steps_offset=1,
    )


def _fitting(scene: Scene, tokenizer: CLIPTokenizer, rng: random.Random) -> str:
    """A caption that the tokenizer does not have to cut."""
    while len(tokenizer(caption := describe(scene, rng, VARIED)).input_ids) > LENGTH:
        pass
    return caption


@torch.no_grad()
def make_examples(vae: AutoencoderKL, tokenizer: CLIPTokenizer, count: int, seed: int, path: Path) -> None:
    """Draws `count` scenes and writes their latents, each with CAPTIONS_EACH captions, for `Examples`."""
    rng = random.Random(seed)
    latents, ids = [], []
    for start in range(0, count, 64):
        scenes = [sample_scene(rng) for _ in range(min(64, count - start))]
        pictures = torch.stack([torch.from_numpy(draw(scene, rng)) for scene in scenes]).permute(0, 3, 1, 2)
        latents.append(vae.encode(to_signed(pictures)).latent_dist.mean * vae.config.scaling_factor)
        captions = [_fitting(scene, tokenizer, rng) for scene in scenes for _ in range(CAPTIONS_EACH)]
        ids.append(tokens(tokenizer, captions).view(len(scenes), CAPTIONS_EACH, -1))
    content = {"latents": torch.cat(latents), "ids": torch.cat(ids), "empty": tokens(tokenizer, [""])[0]}
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


class Examples:
    """Latents in memory, each with several captions of the scene it shows."""

    def __init__(self, path: Path) -> None:
        content = torch.load(path, weights_only=True)
        self.latents: Tensor = content["latents"]
        self.ids: Tensor = content["ids"]
        self.empty: Tensor = content["empty"]

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latents (32, 4, 16, 16) float32 and token ids (32, 32) int64."""
        chosen = torch.randint(len(self.latents), (BATCH,), generator=generator)
        caption = torch.randint(CAPTIONS_EACH, (BATCH,), generator=generator)
        ids = self.ids[chosen, caption].clone()
        ids[torch.rand(BATCH, generator=generator) < EMPTY_SHARE] = self.empty
        return self.latents[chosen], ids


def loss_of(
    unet: UNet2DConditionModel, text: CLIPTextModel, alphas: Tensor, batch: tuple[Tensor, Tensor],
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Mean squared error of the velocity (Salimans and Ho, 2022). Time steps are spread evenly over the batch."""
    latents, ids = batch
    count = len(latents)
    spread = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    timesteps = (spread * len(alphas)).long()[torch.randperm(count, generator=generator)]
    noise = torch.randn(latents.shape, generator=generator)
    signal = alphas[timesteps].view(-1, 1, 1, 1)
    noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
    velocity = signal.sqrt() * noise - (1 - signal).sqrt() * latents
    states = text(ids).last_hidden_state
    return F.mse_loss(unet(noisy, timesteps, states).sample.float(), velocity)


def train(
    unet: UNet2DConditionModel,
    text: CLIPTextModel,
    examples: Examples,
    progress: Progress,
    seed: int,
    checkpoint: Path,
    test: Callable[[UNet2DConditionModel, CLIPTextModel], dict[str, float]],
) -> None:
    """Trains both modules and keeps their running means in `checkpoint`, from which an interrupted run goes on.

    Args:
        test: Called with the running means after each quarter of the time; its figures go to the log.
    """
    means = RunningMean(unet, MEAN_DECAY), RunningMean(text, MEAN_DECAY)
    kept = {"unet_now": unet, "text_now": text, "unet": means[0].module, "text": means[1].module}
    progress.resume(checkpoint, **kept)
    generator = torch.Generator().manual_seed(seed + progress.step)
    alphas = scheduler().alphas_cumprod
    movers = Mover([unet], muon=4e-3, adam=2e-3), Mover([text], muon=3e-4, adam=3e-4)
    unet.train().requires_grad_(True)
    text.train().requires_grad_(True)
    tests_done = int(progress.fraction * 4)
    smooth = 0.0
    while not progress.done():
        loss = loss_of(unet, text, alphas, examples.batch(generator), generator)
        rate = progress.rate()
        loss.backward()
        for mover in movers:
            mover.step(rate)
        for mean in means:
            mean.update()
        progress.step += 1
        smooth = 0.98 * smooth + 0.02 * float(loss.detach()) if smooth else float(loss.detach())
        progress.report(60.0, loss=smooth)
        if progress.step % 500 == 0:
            progress.save(checkpoint, **kept)
            if int(progress.fraction * 4) > tests_done:
                tests_done += 1
                progress.report(0, **test(means[0].module, means[1].module))
    progress.save(checkpoint, **kept)

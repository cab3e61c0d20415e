"""Step adapter for Stable Diffusion 1.x and 2: one UNet, one text encoder, 4-channel latents.

Mirrors diffusers' ``StableDiffusionPipeline.__call__`` operation by operation, so that one image alone is bit-identical to it
(src/diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.schedulers import SchedulerChoice, set_timesteps, step_arguments
from safelight_worker.pipelines.suspension import SchedulerRecord, moved, record, restore


@dataclass(frozen=True)
class Conditions:
    """Text embeddings (1, tokens, width) in the model's dtype; ``negative`` is None without guidance."""

    positive: Tensor
    negative: Tensor | None


@dataclass
class Sd15State:
    """One image in the making. Everything a step reads or writes, and nothing else."""

    latents: Tensor
    """(1, channels, height/f, width/f) in the model's dtype."""
    timesteps: Tensor
    """(steps,) int64 or float32, as the scheduler made them."""
    scheduler: SchedulerMixin
    generator: torch.Generator
    conditions: Conditions
    guidance_scale: float
    timestep_cond: Tensor | None
    """(1, width) for models distilled on guidance (LCM); None for all others."""
    step: int = 0

    @property
    def steps(self) -> int:
        """Ticks in all; schedulers of second order take more than were asked for."""
        return len(self.timesteps)


@dataclass(frozen=True)
class Sd15Record:
    """A state off the device: tensors on the CPU, numbers and words. Goes on bit for bit where the state was."""

    latents: Tensor
    step: int
    scheduler: SchedulerRecord
    generator: Tensor
    """State of the random generator, (n,) uint8."""
    positive: Tensor
    negative: Tensor | None
    guidance_scale: float
    timestep_cond: Tensor | None


class Sd15Adapter:
    """What the family adds to stepped running. Methods are pure of threads and queues."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels that the denoiser was trained on."""
        pipe = self.model.pipe
        side = pipe.unet.config.sample_size * 2 ** (len(pipe.vae.config.block_out_channels) - 1)
        return side, side

    def encode(self, view: DiffusionPipeline, prompt: str, negative_prompt: str, guidance_scale: float) -> Conditions:
        """The text conditions, as ``pipe()`` makes them."""
        guided = guidance_scale > 1 and self.model.pipe.unet.config.time_cond_proj_dim is None
        positive, negative = view.encode_prompt(prompt, self.model.device, 1, guided, negative_prompt or None)
        return Conditions(positive, negative if guided else None)

    def prepare(
        self,
        view: DiffusionPipeline,
        choice: SchedulerChoice,
        conditions: Conditions,
        *,
        steps: int,
        guidance_scale: float,
        width: int,
        height: int,
        seed: int,
    ) -> Sd15State:
        """A state at step 0, with a scheduler and a generator of its own. Noise is drawn on the CPU on every device."""
        device = self.model.device
        scheduler = choice.build(self.model.pipe.scheduler)
        # Before the latents: prepare_latents multiplies by init_noise_sigma, which follows the timesteps.
        set_timesteps(scheduler, steps, device)
        view.scheduler = scheduler
        generator = torch.Generator().manual_seed(seed)
        channels = view.unet.config.in_channels
        latents = view.prepare_latents(1, channels, height, width, conditions.positive.dtype, device, generator, None)
        width_of_condition = view.unet.config.time_cond_proj_dim
        timestep_cond = None
        if width_of_condition is not None:
            scale = torch.tensor([guidance_scale - 1])
            timestep_cond = view.get_guidance_scale_embedding(scale, embedding_dim=width_of_condition)
            timestep_cond = timestep_cond.to(device=device, dtype=latents.dtype)
        return Sd15State(latents, scheduler.timesteps, scheduler, generator, conditions, guidance_scale, timestep_cond)

    def predict(self, states: Sequence[Sd15State]) -> list[Tensor]:
        """Noise predicted for each state, guidance applied; one forward for all. Shapes as their latents."""
        samples, times, texts, conds = [], [], [], []
        for state in states:
            t = state.timesteps[state.step]
            branches = [state.conditions.positive]
            if state.conditions.negative is not None:
                branches.insert(0, state.conditions.negative)
            rows = torch.cat([state.latents] * len(branches))
            samples.append(state.scheduler.scale_model_input(rows, t))
            times.append(t.reshape(1).expand(len(branches)))
            texts.extend(branches)
            if state.timestep_cond is not None:
                conds.append(state.timestep_cond.expand(len(branches), -1))
        dtype = times[0].dtype if all(each.dtype == times[0].dtype for each in times) else torch.float32
        predicted = self.model.pipe.unet(
            torch.cat(samples),
            torch.cat([each.to(device=self.model.device, dtype=dtype) for each in times]),
            encoder_hidden_states=torch.cat(texts),
            timestep_cond=torch.cat(conds) if conds else None,
            return_dict=False,
        )[0]
        out, at = [], 0
        for state, sample in zip(states, samples, strict=True):
            rows = predicted[at : at + len(sample)]
            at += len(sample)
            if state.conditions.negative is None:
                # A view would keep the rows of all others alive in a scheduler's history.
                out.append(rows.clone())
            else:
                negative, positive = rows.chunk(2)
                out.append(negative + state.guidance_scale * (positive - negative))
        return out

    def apply(self, state: Sd15State, predicted: Tensor) -> Tensor:
        """The latents after this step. Moves the scheduler and the generator on."""
        t = state.timesteps[state.step]
        arguments = step_arguments(state.scheduler, state.generator)
        latents: Tensor = state.scheduler.step(predicted, t, state.latents, **arguments, return_dict=False)[0]
        return latents

    def decode(self, view: DiffusionPipeline, state: Sd15State) -> tuple[Tensor, bool]:
        """(1, 3, height, width) in -1 … 1, and whether the model's own safety checker, where it has one, objects."""
        scaled = state.latents / view.vae.config.scaling_factor
        picture: Tensor = view.vae.decode(scaled, return_dict=False, generator=state.generator)[0]
        if view.safety_checker is None:
            return picture, False
        # It blackens what it rejects, in place.
        _, rejected = view.run_safety_checker(picture.clone(), self.model.device, state.conditions.positive.dtype)
        return picture, any(rejected or [])

    def to_host(self, state: Sd15State) -> Sd15Record:
        """The state as a plain record that shares nothing with it, so that the device can forget the image."""
        host = torch.device("cpu")
        return Sd15Record(
            latents=moved(state.latents, host),
            step=state.step,
            scheduler=record(state.scheduler),
            generator=state.generator.get_state(),
            positive=moved(state.conditions.positive, host),
            negative=moved(state.conditions.negative, host),
            guidance_scale=state.guidance_scale,
            timestep_cond=moved(state.timestep_cond, host),
        )

    def from_host(self, kept: Sd15Record) -> Sd15State:
        """The state a record was made from, on the device again."""
        device = self.model.device
        scheduler = restore(kept.scheduler, device)
        generator = torch.Generator()
        generator.set_state(kept.generator)
        return Sd15State(
            latents=moved(kept.latents, device),
            timesteps=scheduler.timesteps,
            scheduler=scheduler,
            generator=generator,
            conditions=Conditions(moved(kept.positive, device), moved(kept.negative, device)),
            guidance_scale=kept.guidance_scale,
            timestep_cond=moved(kept.timestep_cond, device),
            step=kept.step,
        )

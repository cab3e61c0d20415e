"""Step adapter for Stable Diffusion 3 and 3.5: a transformer over latents, two CLIP encoders, T5 where the model has it.

Mirrors ``StableDiffusion3Pipeline`` and its image-to-image and inpainting siblings
(src/diffusers/pipelines/stable_diffusion_3/).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers import (
    DiffusionPipeline,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3InpaintPipeline,
    StableDiffusion3Pipeline,
)
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from safelight_worker.pipelines.adapter import ForwardBatch
from safelight_worker.pipelines.flow_matching import FlowMatchingAdapter
from safelight_worker.pipelines.state import NEGATIVE, POSITIVE, Blend, Conditions, Start, StepState
from safelight_worker.types import FailureKind, Plan, Task, WorkerError


class Sd3Adapter(FlowMatchingAdapter):
    """Rows: ``encoder_hidden_states`` (1, CLIP's tokens + 256, width), ``pooled_projections`` (1, width)."""

    classes: ClassVar[Mapping[Task, type[DiffusionPipeline]]] = {
        Task.TEXT_TO_IMAGE: StableDiffusion3Pipeline,
        Task.IMAGE_TO_IMAGE: StableDiffusion3Img2ImgPipeline,
        Task.INPAINT: StableDiffusion3InpaintPipeline,
    }
    default_max_shift: ClassVar[float] = 1.16

    @property
    def patch_size(self) -> int:
        return int(self.module.config.patch_size)

    def encode(self, view: Any, plan: Plan) -> Conditions:
        guided = self.is_guided(plan)
        positive, negative, pooled, negative_pooled = view.encode_prompt(
            plan.prompt,
            None,
            None,
            device=self.model.device,
            do_classifier_free_guidance=guided,
            negative_prompt=plan.negative_prompt or None,
            max_sequence_length=self.call_defaults["max_sequence_length"],
        )
        branches = {POSITIVE: {"encoder_hidden_states": positive, "pooled_projections": pooled}}
        if guided:
            others = {"encoder_hidden_states": negative, "pooled_projections": negative_pooled}
            branches = {NEGATIVE: others, **branches}
        return Conditions(branches)

    # ---------------------------------------------------------------- the beginning

    def check_size(self, plan: Plan) -> None:
        super().check_size(plan)
        # Positions are learnt, and a picture is cut out of their middle.
        most = self.module.config.pos_embed_max_size * self.patch_size * self.model.pipe.vae_scale_factor
        for name, pixels in (("width", plan.width), ("height", plan.height)):
            if pixels > most:
                message = f"{name} is {pixels}; {self.model.spec.id} takes at most {most}"
                raise WorkerError(FailureKind.INVALID_REQUEST, message, name)

    def schedule(self, scheduler: SchedulerMixin, plan: Plan) -> dict[str, Any]:
        return {"mu": self.mu(scheduler, plan)} if scheduler.config.get("use_dynamic_shifting") else {}

    def from_noise(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        self._check_starts_without("init_image")
        channels, device = self.module.config.in_channels, self.model.device
        latents = view.prepare_latents(1, channels, plan.height, plan.width, dtype, device, generator, None)
        return Start(latents, view.scheduler.timesteps)

    def from_image(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        self._check_starts_without("mask_image")
        image = self.init_pixels(view, plan)
        timesteps = self.timesteps_left(view, plan)
        latents = view.prepare_latents(image, timesteps[:1], 1, 1, dtype, self.model.device, generator)
        return Start(latents, timesteps)

    def from_masked_image(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        """A transformer of 16 channels is blended after each step, one of 33 is told mask and picture."""
        timesteps = self.timesteps_left(view, plan)
        width, height, device = plan.width, plan.height, self.model.device
        image = self.init_pixels(view, plan)
        blends = not self._paints_into_pictures
        latents, noise, *image_latents = view.prepare_latents(
            1,
            view.vae.config.latent_channels,
            height,
            width,
            dtype,
            device,
            generator,
            None,
            image=image,
            timestep=timesteps[:1],
            is_strength_max=plan.inputs.strength == 1.0,
            return_noise=True,
            return_image_latents=blends,
        )
        mask_pixels = self.mask_pixels(view, plan)
        masked = image * (mask_pixels < 0.5)
        # Encodes the masked picture even where nothing asks for it, as pipe() does: that draws from the generator.
        mask, masked_latents = view.prepare_mask_latents(
            mask_pixels, masked, 1, 1, height, width, dtype, device, generator, False
        )
        if blends:
            return Start(latents, timesteps, blend=Blend(mask, image_latents[0], noise))
        return Start(latents, timesteps, channels=torch.cat([mask, masked_latents], dim=1))

    @property
    def _paints_into_pictures(self) -> bool:
        return bool(self.module.config.in_channels != self.model.pipe.vae.config.latent_channels)

    def _check_starts_without(self, field: str) -> None:
        if self._paints_into_pictures:
            message = f"{self.model.spec.id} paints into pictures: it needs init_image and mask_image"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, field)

    # ---------------------------------------------------------------- the forward, and the end

    def forward(self, batch: ForwardBatch) -> Tensor:
        predicted: Tensor = self.module(
            hidden_states=batch.sample, timestep=batch.timestep, **batch.rows, return_dict=False
        )[0]
        return predicted

    def decodable(self, view: Any, state: StepState) -> Tensor:
        config = view.vae.config
        scaled: Tensor = state.latents / config.scaling_factor
        if state.blend is None and state.channels is None:
            # The inpainting pipeline alone leaves this out.
            scaled = scaled + config.shift_factor
        return scaled

    def preview_latents(self, state: StepState) -> Tensor:
        return state.latents

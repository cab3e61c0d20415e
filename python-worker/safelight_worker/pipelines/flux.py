"""Step adapter for Flux.1: a transformer over packed latents with rotary positions, CLIP for the whole prompt, T5 for its words.

Mirrors ``FluxPipeline`` and its image-to-image and inpainting siblings (src/diffusers/pipelines/flux/).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import DiffusionPipeline, FluxImg2ImgPipeline, FluxInpaintPipeline, FluxPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from safelight_worker.pipelines.adapter import ForwardBatch
from safelight_worker.pipelines.flow_matching import PACKED, FlowMatchingAdapter
from safelight_worker.pipelines.state import NEGATIVE, POSITIVE, Blend, Conditions, Start, StepState
from safelight_worker.types import Plan, Task


class FluxAdapter(FlowMatchingAdapter):
    """Rows: ``encoder_hidden_states`` (1, 512, width), ``pooled_projections`` (1, width) and, for models distilled on
    guidance, ``guidance`` (1,) float32. Shared: ``txt_ids`` (512, 3), ``img_ids`` (patches, 3).

    Latents are packed: (1, patches, 4 * channels), patches row by row.
    """

    classes: ClassVar[Mapping[Task, type[DiffusionPipeline]]] = {
        Task.TEXT_TO_IMAGE: FluxPipeline,
        Task.IMAGE_TO_IMAGE: FluxImg2ImgPipeline,
        Task.INPAINT: FluxInpaintPipeline,
    }
    branches_together: ClassVar[bool] = False
    default_max_shift: ClassVar[float] = 1.15

    def is_guided(self, plan: Plan) -> bool:
        # guidance_scale is an input of the transformer and takes no second row.
        return plan.true_cfg_scale > 1 and bool(plan.negative_prompt)

    def guidance(self, plan: Plan) -> float:
        return plan.true_cfg_scale

    def encode(self, view: Any, plan: Plan) -> Conditions:
        rows, text_ids = self._read(view, plan.prompt)
        branches = {POSITIVE: rows}
        if self.is_guided(plan):
            branches[NEGATIVE] = self._read(view, plan.negative_prompt)[0]
        return Conditions(branches, {"txt_ids": text_ids})

    def _read(self, view: Any, prompt: str) -> tuple[dict[str, Tensor], Tensor]:
        length = self.call_defaults["max_sequence_length"]
        embeds, pooled, text_ids = view.encode_prompt(
            prompt, None, device=self.model.device, max_sequence_length=length
        )
        return {"encoder_hidden_states": embeds, "pooled_projections": pooled}, text_ids

    # ---------------------------------------------------------------- the beginning

    def schedule(self, scheduler: SchedulerMixin, plan: Plan) -> dict[str, Any]:
        arguments: dict[str, Any] = {"mu": self.mu(scheduler, plan)}
        if not scheduler.config.get("use_flow_sigmas"):
            steps = plan.num_inference_steps
            arguments["sigmas"] = np.linspace(1.0, 1 / steps, steps)
        return arguments

    def from_noise(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        latents, ids = view.prepare_latents(
            1, self._channels, plan.height, plan.width, dtype, self.model.device, generator, None
        )
        view.scheduler.set_begin_index(0)
        return Start(latents, view.scheduler.timesteps, {"img_ids": ids})

    def from_image(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        image = self.init_pixels(view, plan)
        timesteps = self.timesteps_left(view, plan)
        latents, ids = view.prepare_latents(
            image,
            timesteps[:1],
            1,
            self._channels,
            plan.height,
            plan.width,
            dtype,
            self.model.device,
            generator,
        )
        return Start(latents, timesteps, {"img_ids": ids})

    def from_masked_image(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        width, height, device = plan.width, plan.height, self.model.device
        image = self.init_pixels(view, plan)
        timesteps = self.timesteps_left(view, plan)
        latents, noise, image_latents, ids = view.prepare_latents(
            image, timesteps[:1], 1, self._channels, height, width, dtype, device, generator
        )
        mask_pixels = self.mask_pixels(view, plan)
        masked = image * (mask_pixels < 0.5)
        # Encodes the masked picture, which nothing asks for, as pipe() does.
        mask, _ = view.prepare_mask_latents(
            mask_pixels, masked, 1, self._channels, 1, height, width, dtype, device, generator
        )
        return Start(latents, timesteps, {"img_ids": ids}, blend=Blend(mask, image_latents, noise))

    @property
    def _channels(self) -> int:
        """Channels of the latents before they are packed."""
        return int(self.module.config.in_channels) // PACKED**2

    # ---------------------------------------------------------------- the forward, and the end

    def timestep(self, state: StepState, t: Tensor, rows: int) -> Tensor:
        return t.expand(rows).to(state.latents.dtype) / 1000

    def forward(self, batch: ForwardBatch) -> Tensor:
        predicted: Tensor = self.module(
            hidden_states=batch.sample, timestep=batch.timestep, **batch.rows, **batch.shared, return_dict=False
        )[0]
        return predicted

    def decodable(self, view: Any, state: StepState) -> Tensor:
        config = view.vae.config
        scaled: Tensor = (self.preview_latents(state) / config.scaling_factor) + config.shift_factor
        return scaled

    def preview_latents(self, state: StepState) -> Tensor:
        pipe = self.model.pipe
        unpacked: Tensor = pipe._unpack_latents(state.latents, state.height, state.width, pipe.vae_scale_factor)
        return unpacked

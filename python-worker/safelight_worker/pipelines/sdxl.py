"""Step adapter for Stable Diffusion XL: one UNet told the size of the picture, two text encoders.

Mirrors ``StableDiffusionXLPipeline``, its image-to-image, inpainting and ControlNet siblings
(src/diffusers/pipelines/stable_diffusion_xl/, controlnet/pipeline_controlnet_sd_xl.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from diffusers import (
    DiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from torch import Tensor

from safelight_worker.pipelines.state import NEGATIVE, POSITIVE, Conditions, Rows, Start, StepState
from safelight_worker.pipelines.unet import UNetAdapter
from safelight_worker.placement.group_offload import renew_group_offload
from safelight_worker.types import FailureKind, Plan, Task, WorkerError

#: Defaults of ``pipe()``, for models told how much the picture should please (the refiner).
AESTHETIC_SCORE, NEGATIVE_AESTHETIC_SCORE = 6.0, 2.5

#: Left upper corner of the cut a training picture was; ``pipe()``'s default asks for whole ones.
UNCROPPED = (0, 0)


class SdxlAdapter(UNetAdapter):
    """Rows: ``encoder_hidden_states`` (1, 77, width), ``text_embeds`` (1, projection), ``time_ids`` (1, 6), of models with
    an aesthetic score (1, 5); ``timestep_cond`` (1, width) for models distilled on guidance."""

    classes: ClassVar[Mapping[Task, type[DiffusionPipeline]]] = {
        Task.TEXT_TO_IMAGE: StableDiffusionXLPipeline,
        Task.IMAGE_TO_IMAGE: StableDiffusionXLImg2ImgPipeline,
        Task.INPAINT: StableDiffusionXLInpaintPipeline,
    }

    @property
    def simplest_task(self) -> Task:
        return Task.IMAGE_TO_IMAGE if self._refines else super().simplest_task

    @property
    def _refines(self) -> bool:
        return bool(self.model.pipe.config.get("requires_aesthetics_score"))

    def encode(self, view: Any, plan: Plan) -> Conditions:
        guided = self.is_guided(plan)
        positive, negative, pooled, negative_pooled = view.encode_prompt(
            plan.prompt,
            device=self.model.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            negative_prompt=plan.negative_prompt or None,
        )
        branches = {POSITIVE: {"encoder_hidden_states": positive, "text_embeds": pooled}}
        if guided:
            unwanted = {"encoder_hidden_states": negative, "text_embeds": negative_pooled}
            branches = {NEGATIVE: unwanted, **branches}
        return Conditions(branches)

    def rows_of_size(self, view: Any, plan: Plan, conditions: Conditions) -> Mapping[str, Rows]:
        rows = conditions.branches[POSITIVE]
        told = {
            "dtype": rows["encoder_hidden_states"].dtype,
            "text_encoder_projection_dim": rows["text_embeds"].shape[-1],
        }
        size = (plan.height, plan.width)
        if plan.inputs.task is Task.TEXT_TO_IMAGE:
            positive = negative = view._get_add_time_ids(size, UNCROPPED, size, **told)
        else:
            positive, negative = view._get_add_time_ids(
                size, UNCROPPED, size, AESTHETIC_SCORE, NEGATIVE_AESTHETIC_SCORE, size, UNCROPPED, size, **told
            )
        by_branch = {POSITIVE: positive, NEGATIVE: negative}
        return {name: {"time_ids": by_branch[name].to(self.model.device)} for name in conditions.branches}

    def added_conditions(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"text_embeds": rows["text_embeds"], "time_ids": rows["time_ids"]}

    def from_noise(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        if self._refines:
            message = f"{self.model.spec.id} refines pictures: it needs init_image"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, "init_image")
        start = super().from_noise(view, plan, dtype, generator)
        # Without it schedulers look the first timestep up; the ControlNet pipeline leaves it to them.
        if not plan.inputs.controls and hasattr(view.scheduler, "set_begin_index"):
            view.scheduler.set_begin_index(0)
        return start

    def decode(self, view: Any, state: StepState) -> Tensor:
        with _in_float32_where_float16_overflows(view.vae):
            decoded = super().decode(view, state)
        if view.watermark is None:
            return decoded
        marked: Tensor = view.watermark.apply_watermark(decoded)
        return marked

    def decodable(self, view: Any, state: StepState) -> Tensor:
        config = view.vae.config
        # Before the division, as pipe() does where it casts the VAE up.
        latents = state.latents.to(view.vae.dtype)
        mean, std = config.get("latents_mean"), config.get("latents_std")
        if mean is None or std is None:
            plain: Tensor = latents / config.scaling_factor
            return plain
        mean, std = (torch.tensor(each).view(1, -1, 1, 1).to(latents.device, latents.dtype) for each in (mean, std))
        scaled: Tensor = latents * std / config.scaling_factor + mean
        return scaled


@contextmanager
def _in_float32_where_float16_overflows(vae: Any) -> Iterator[None]:
    """The VAE's weights are everybody's: whatever happens, they come out as they went in."""
    overflows = vae.dtype == torch.float16 and vae.config.force_upcast
    if not overflows:
        yield
        return
    try:
        _cast(vae, torch.float32)
        yield
    finally:
        _cast(vae, torch.float16)


def _cast(vae: Any, dtype: torch.dtype) -> None:
    vae.to(dtype)
    renew_group_offload(vae)

"""Step adapter for Stable Diffusion 1.x and 2: one UNet, one text encoder.

Mirrors ``StableDiffusionPipeline`` and its image-to-image and inpainting siblings
(src/diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from diffusers import (
    DiffusionPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from torch import Tensor

from safelight_worker.pipelines.state import NEGATIVE, POSITIVE, Conditions
from safelight_worker.pipelines.unet import UNetAdapter
from safelight_worker.types import Plan, Task


class Sd15Adapter(UNetAdapter):
    """Rows: ``encoder_hidden_states`` (1, 77, width); ``timestep_cond`` (1, width) for models distilled on guidance."""

    classes: ClassVar[Mapping[Task, type[DiffusionPipeline]]] = {
        Task.TEXT_TO_IMAGE: StableDiffusionPipeline,
        Task.IMAGE_TO_IMAGE: StableDiffusionImg2ImgPipeline,
        Task.INPAINT: StableDiffusionInpaintPipeline,
    }

    def encode(self, view: Any, plan: Plan) -> Conditions:
        guided = self.is_guided(plan)
        positive, negative = view.encode_prompt(plan.prompt, self.model.device, 1, guided, plan.negative_prompt or None)
        branches = {POSITIVE: {"encoder_hidden_states": positive}}
        if guided:
            branches = {NEGATIVE: {"encoder_hidden_states": negative}, **branches}
        return Conditions(branches)

    def objects(self, view: Any, decoded: Tensor) -> bool:
        if view.safety_checker is None:
            return False
        # It blackens what it rejects, in place.
        _, rejected = view.run_safety_checker(decoded.clone(), self.model.device, decoded.dtype)
        return any(rejected or [])

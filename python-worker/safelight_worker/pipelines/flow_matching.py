"""What Stable Diffusion 3 and Flux share: a transformer that predicts velocities, a schedule that may follow the picture's
size, three ways to start.

Mirrors diffusers' ``StableDiffusion3…Pipeline.__call__`` and ``Flux…Pipeline.__call__``
(src/diffusers/pipelines/stable_diffusion_3/, flux/).
"""

# ruff: noqa: ARG002  a hook takes what its overrides need

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from safelight_worker.pipelines.adapter import StepAdapter
from safelight_worker.pipelines.state import Conditions, Rows, Start, StepState
from safelight_worker.types import FailureKind, Plan, Task, WorkerError

#: Latents a patch is wide and high where the pipeline itself makes the patches.
PACKED = 2


class FlowMatchingAdapter(StepAdapter):
    """A flow-matching family. Subclasses encode, say what the schedule depends on, and how pictures become latents."""

    denoiser: ClassVar[str] = "transformer"

    #: What ``pipe()`` takes where a scheduler's config does not say.
    default_max_shift: ClassVar[float]

    # ---------------------------------------------------------------- what a family says

    @property
    def patch_size(self) -> int:
        """Latents a patch is wide and high."""
        return PACKED

    # ---------------------------------------------------------------- what both share

    def native_size(self) -> tuple[int, int]:
        pipe = self.model.pipe
        side = pipe.default_sample_size * pipe.vae_scale_factor
        return side, side

    def check_plan(self, plan: Plan, scheduler: SchedulerMixin) -> None:
        self.check_size(plan)
        if plan.inputs.task is not Task.TEXT_TO_IMAGE and not hasattr(scheduler, "scale_noise"):
            message = f"the model's {type(scheduler).__name__} cannot start from a picture"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, "init_image")
        arguments = self.schedule(scheduler, plan)
        if not inspect.signature(scheduler.set_timesteps).parameters.keys() >= arguments.keys():
            message = f"the model's {type(scheduler).__name__} takes no {' and '.join(arguments)}"
            raise WorkerError(FailureKind.MODEL_UNAVAILABLE, message)

    def rows_of_image(self, view: Any, plan: Plan, conditions: Conditions, start: Start) -> Mapping[str, Rows]:
        # A transformer distilled on guidance takes the scale as an input.
        if not self.module.config.get("guidance_embeds"):
            return {}
        told = torch.full([1], plan.guidance_scale, device=self.model.device, dtype=torch.float32)
        return {name: {"guidance": told} for name in conditions.branches}

    def check_size(self, plan: Plan) -> None:
        """Raises WorkerError(invalid_request) naming ``width`` or ``height`` when it is not made of whole patches."""
        side = self.model.pipe.vae_scale_factor * self.patch_size
        for name, pixels in (("width", plan.width), ("height", plan.height)):
            if pixels % side:
                message = f"{name} is {pixels}; {self.model.spec.id} takes multiples of {side}"
                raise WorkerError(FailureKind.INVALID_REQUEST, message, name)

    def mu(self, scheduler: SchedulerMixin, plan: Plan) -> float:
        """How far a dynamic schedule is shifted towards noise: the more patches, the further (Esser et al., 2024)."""
        side = self.model.pipe.vae_scale_factor * self.patch_size
        shift: float = calculate_shift(
            (plan.height // side) * (plan.width // side),
            scheduler.config.get("base_image_seq_len", 256),
            scheduler.config.get("max_image_seq_len", 4096),
            scheduler.config.get("base_shift", 0.5),
            scheduler.config.get("max_shift", self.default_max_shift),
        )
        return shift

    def init_pixels(self, view: Any, plan: Plan) -> Tensor:
        """(1, 3, height, width) in -1 … 1, float32."""
        image: Tensor = view.image_processor.preprocess(self.init_image(plan), height=plan.height, width=plan.width)
        return image.to(dtype=torch.float32)

    def mask_pixels(self, view: Any, plan: Plan) -> Tensor:
        """(1, 1, height, width), 1 where it is painted anew."""
        mask: Tensor = view.mask_processor.preprocess(self.mask_image(plan), height=plan.height, width=plan.width)
        return mask

    def noised(self, state: StepState, image_latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        noised: Tensor = state.scheduler.scale_noise(image_latents, t.reshape(1), noise)
        return noised

"""What Stable Diffusion 1.x, 2 and XL share: a UNet over 4-channel latents, ControlNets beside it, three ways to start.

Mirrors diffusers' ``StableDiffusion…Pipeline.__call__`` (src/diffusers/pipelines/stable_diffusion/, controlnet/).
"""

# ruff: noqa: ARG002  a hook takes what its overrides need

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers.image_processor import VaeImageProcessor
from torch import Tensor

from safelight_worker.pipelines.adapter import ForwardBatch, StepAdapter
from safelight_worker.pipelines.controlnets import ControlNets
from safelight_worker.pipelines.input_images import open_rgb
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.state import Blend, Conditions, ControlUse, Rows, Start, StepState
from safelight_worker.types import FailureKind, Plan, Task, WorkerError


class UNetAdapter(StepAdapter):
    """A UNet family. Subclasses encode, say what else the UNet is told, and how pictures become latents."""

    denoiser: ClassVar[str] = "unet"
    takes_controls: ClassVar[bool] = True

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model)
        self._controlnets = ControlNets(model)

    def native_size(self) -> tuple[int, int]:
        pipe = self.model.pipe
        side = pipe.unet.config.sample_size * 2 ** (len(pipe.vae.config.block_out_channels) - 1)
        return side, side

    @property
    def simplest_task(self) -> Task:
        paints = self.module.config.in_channels != self.model.pipe.vae.config.latent_channels
        return Task.INPAINT if paints else Task.TEXT_TO_IMAGE

    def is_guided(self, plan: Plan) -> bool:
        # A UNet distilled on guidance (LCM) takes the scale as an input instead.
        return plan.guidance_scale > 1 and self.module.config.time_cond_proj_dim is None

    def added_conditions(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """``added_cond_kwargs`` of the UNet, from its rows."""
        return None

    def rows_of_size(self, view: Any, plan: Plan, conditions: Conditions) -> Mapping[str, Rows]:
        """Rows by branch that depend on the picture's size and not on the prompt."""
        return {}

    # ---------------------------------------------------------------- the beginning

    def rows_of_image(self, view: Any, plan: Plan, conditions: Conditions, start: Start) -> Mapping[str, Rows]:
        sized = self.rows_of_size(view, plan, conditions)
        told = self._guidance_rows(view, plan, start.latents.dtype)
        return {name: {**sized.get(name, {}), **told} for name in conditions.branches}

    def controls(self, plan: Plan) -> tuple[ControlUse, ...]:
        return tuple(self._control(use, plan) for use in plan.inputs.controls)

    def from_noise(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        channels = self.module.config.in_channels
        if channels != view.vae.config.latent_channels:
            message = f"{self.model.spec.id} paints into pictures: it needs init_image and mask_image"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, "init_image")
        device = self.model.device
        latents = view.prepare_latents(1, channels, plan.height, plan.width, dtype, device, generator, None)
        return Start(latents, view.scheduler.timesteps)

    def from_image(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        image = view.image_processor.preprocess(self.init_image(plan))
        timesteps = self.timesteps_left(view, plan)
        latents = view.prepare_latents(image, timesteps[:1], 1, 1, dtype, self.model.device, generator)
        return Start(latents, timesteps)

    def from_masked_image(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        """Inpainting: a 4-channel UNet is blended after each step, a 9-channel one is told mask and picture."""
        timesteps = self.timesteps_left(view, plan)
        width, height, device = plan.width, plan.height, self.model.device
        image = view.image_processor.preprocess(self.init_image(plan), height=height, width=width).to(torch.float32)
        channels = view.vae.config.latent_channels
        blends = self.module.config.in_channels == channels
        latents, noise, *image_latents = view.prepare_latents(
            1,
            channels,
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
        mask_pixels = view.mask_processor.preprocess(self.mask_image(plan), height=height, width=width)
        masked = image * (mask_pixels < 0.5)
        # Encodes the masked picture even where nothing asks for it, as pipe() does: that draws from the generator.
        mask, masked_latents = view.prepare_mask_latents(
            mask_pixels, masked, 1, height, width, dtype, device, generator, False
        )
        if blends:
            return Start(latents, timesteps, blend=Blend(mask, image_latents[0], noise))
        return Start(latents, timesteps, channels=torch.cat([mask, masked_latents], dim=1))

    def _guidance_rows(self, view: Any, plan: Plan, dtype: torch.dtype) -> dict[str, Tensor]:
        width = self.module.config.time_cond_proj_dim
        if width is None:
            return {}
        scale = torch.tensor([plan.guidance_scale - 1])
        embedded = view.get_guidance_scale_embedding(scale, embedding_dim=width)
        return {"timestep_cond": embedded.to(device=self.model.device, dtype=dtype)}

    def _control(self, use: Any, plan: Plan) -> ControlUse:
        module = self._controlnets.get(use.id, str(use.source))
        factor = 2 ** (len(self.model.pipe.vae.config.block_out_channels) - 1)
        processor = VaeImageProcessor(vae_scale_factor=factor, do_convert_rgb=True, do_normalize=False)
        opened = open_rgb(use.image, "controls.image", plan.width, plan.height)
        image = processor.preprocess(opened, height=plan.height, width=plan.width).to(dtype=torch.float32)
        # As pipe()'s repeat_interleave leaves it: in another layout a convolution sums in another order.
        image = image.to(device=self.model.device, dtype=module.dtype).contiguous()
        return ControlUse(use.id, str(use.source), image, use.scale, use.start, use.end)

    # ---------------------------------------------------------------- the forward

    def forward(self, batch: ForwardBatch) -> Tensor:
        rows = dict(batch.rows)
        text = rows["encoder_hidden_states"]
        added = self.added_conditions(rows)
        down, mid = self._residuals(batch, text, added)
        predicted: Tensor = self.module(
            batch.sample,
            batch.timestep,
            encoder_hidden_states=text,
            timestep_cond=rows.get("timestep_cond"),
            added_cond_kwargs=added,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            return_dict=False,
        )[0]
        return predicted

    def _residuals(
        self, batch: ForwardBatch, text: Tensor, added: dict[str, Tensor] | None
    ) -> tuple[list[Tensor] | None, Tensor | None]:
        """What the ControlNets add, summed in their order. All states of a batch name the same ones."""
        down: list[Tensor] | None = None
        mid: Tensor | None = None
        for index, use in enumerate(batch.states[0].controls):
            pairs = list(zip(batch.states, batch.spans, strict=True))
            images = [s.controls[index].image.expand(span.stop - span.start, -1, -1, -1) for s, span in pairs]
            missing = len(batch.sample) - pairs[-1][1].stop
            images += [images[0][:1].expand(missing, -1, -1, -1)] if missing else []
            residuals, middle = self._controlnets.get(use.id, use.source)(
                batch.sample,
                batch.timestep,
                encoder_hidden_states=text,
                controlnet_cond=torch.cat(images),
                conditioning_scale=1.0,
                guess_mode=False,
                added_cond_kwargs=added,
                return_dict=False,
            )
            # By state, as a number each: a tensor of scales would be rounded to the dtype of the residuals first.
            scales = [s.controls[index].scale_at(s.step, s.steps) for s in batch.states]
            spans = [span for _, span in pairs]
            residuals = [_scaled(each, spans, scales) for each in residuals]
            middle = _scaled(middle, spans, scales)
            down = residuals if down is None else [one + other for one, other in zip(down, residuals, strict=True)]
            mid = middle if mid is None else mid + middle
        return down, mid

    # ---------------------------------------------------------------- the end

    def decodable(self, view: Any, state: StepState) -> Tensor:
        scaled: Tensor = state.latents / view.vae.config.scaling_factor
        return scaled

    def preview_latents(self, state: StepState) -> Tensor:
        return state.latents


def _scaled(rows: Tensor, spans: list[slice], scales: list[float]) -> Tensor:
    parts = [rows[span] * scale for span, scale in zip(spans, scales, strict=True)]
    return torch.cat([*parts, rows[spans[-1].stop :]])

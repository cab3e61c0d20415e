"""What diffusers' own pipelines draw from pictures: image to image, inpainting, ControlNets."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image

from safelight_worker.pipelines.schedulers import choose
from safelight_worker.runners.outputs import Picture
from safelight_worker.types import Plan, Task

_CLASSES = {
    Task.TEXT_TO_IMAGE: (StableDiffusionPipeline, StableDiffusionXLPipeline),
    Task.IMAGE_TO_IMAGE: (StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline),
    Task.INPAINT: (StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline),
}


def sibling(pipe: Any, plan: Plan) -> Any:
    """A pipeline of the plan's task on the very modules of ``pipe``, Stable Diffusion or XL, with the plan's scheduler."""
    is_xl = "XL" in type(pipe).__name__
    given: dict[str, Any] = {
        **pipe.config,
        **pipe.components,
        "requires_safety_checker": False,
        "add_watermarker": False,
    }
    cls: Any = _CLASSES[plan.inputs.task][is_xl]
    if plan.inputs.controls:
        cls = StableDiffusionXLControlNetPipeline if is_xl else StableDiffusionControlNetPipeline
        nets = [ControlNetModel.from_pretrained(use.source, torch_dtype=pipe.dtype) for use in plan.inputs.controls]
        given["controlnet"] = nets[0] if len(nets) == 1 else nets
    accepted = inspect.signature(cls.__init__).parameters
    own = cls(**{name: value for name, value in given.items() if name in accepted})
    own.scheduler = choose(pipe.scheduler, plan.scheduler, plan.scheduler_options).build(pipe.scheduler)
    own.watermark = copy.copy(getattr(pipe, "watermark", None))
    own.set_progress_bar_config(disable=True)
    return own


def drawn(pipe: Any, plan: Plan, seed: int | None = None) -> Picture:
    """The picture ``pipe()`` draws for a plan, (height, width, 3) float32."""
    torch.set_num_threads(1)
    inputs = plan.inputs
    arguments: dict[str, Any] = {}
    if inputs.init_image is not None:
        arguments |= {"image": Image.open(inputs.init_image).convert("RGB"), "strength": inputs.strength}
    if inputs.mask_image is not None:
        arguments |= {"mask_image": Image.open(inputs.mask_image)}
    if inputs.task is not Task.IMAGE_TO_IMAGE:
        arguments |= {"width": plan.width, "height": plan.height}
    if inputs.controls:
        several: dict[str, list[Any]] = {
            "image": [Image.open(use.image) for use in inputs.controls],
            "controlnet_conditioning_scale": [use.scale for use in inputs.controls],
            "control_guidance_start": [use.start for use in inputs.controls],
            "control_guidance_end": [use.end for use in inputs.controls],
        }
        arguments |= several if len(inputs.controls) > 1 else {name: each[0] for name, each in several.items()}
    made = sibling(pipe, plan)(
        plan.prompt,
        negative_prompt=plan.negative_prompt or None,
        num_inference_steps=plan.num_inference_steps,
        guidance_scale=plan.guidance_scale,
        generator=torch.Generator().manual_seed(plan.seeds[0] if seed is None else seed),
        output_type="np",
        **arguments,
    )
    picture: Picture = made.images[0]
    return picture

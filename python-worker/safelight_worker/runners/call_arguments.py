"""A plan in the words of a pipeline class: what its call takes, and what it refuses before any work."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline

from safelight_worker.pipelines.input_images import open_mask, open_rgb
from safelight_worker.types import FailureKind, OutputFormat, Plan, WorkerError

#: Names diffusers gives the number of frames.
_FRAME_COUNTS = ("num_frames", "video_length", "frames")

#: Arguments that only pipelines that make videos have.
_OF_VIDEOS = (*_FRAME_COUNTS, "video", "control_video", "pose_video")

#: Arguments that only pipelines that make nothing but sound have.
_OF_SOUND = ("audio_length_in_s", "audio_end_in_s", "audio_duration")

#: Components that make ``image`` the picture that is followed instead of the one to start from.
_FOLLOWING = ("controlnet", "adapter")

#: Frames a second, by the start of the class name, as the example of each class in diffusers writes them.
_FPS = {
    "Allegro": 15,
    "AnimateDiff": 8,
    "AnyFlow": 16,
    "ChronoEdit": 16,
    "CogVideoX": 8,
    "ConsisID": 8,
    "Cosmos2_5": 16,
    "Cosmos2_5_Transfer": 30,
    "EasyAnimate": 8,
    "Helios": 24,
    "HunyuanSkyreels": 15,
    "HunyuanVideo": 15,
    "HunyuanVideo15": 24,
    "HunyuanVideoFramepack": 30,
    "Kandinsky": 24,
    "Latte": 8,
    "Lucy": 24,
    "Mochi": 30,
    "Motif": 24,
    "Sana": 16,
    "SkyReels": 24,
    "Wan": 16,
    "WanAnimate": 30,
}

#: Frames a second of a class that says nothing.
_DEFAULT_FPS = 8


def parameters(cls: type[DiffusionPipeline]) -> Mapping[str, inspect.Parameter]:
    """Those of the call."""
    return {name: each for name, each in inspect.signature(cls.__call__).parameters.items() if name != "self"}


def is_video(cls: type[DiffusionPipeline]) -> bool:
    return any(name in parameters(cls) for name in _OF_VIDEOS)


def starts_from_image(cls: type[DiffusionPipeline]) -> bool:
    """Whether ``image`` is the picture the call starts from or edits."""
    return "image" in parameters(cls) and _control_name(cls) != "image"


def fps(cls: type[DiffusionPipeline]) -> int:
    """Frames a second of the videos of a class."""
    for name in ("frame_rate", "fps"):
        told = parameters(cls).get(name)
        if told is not None and isinstance(told.default, (int, float)):
            return round(told.default)
    families = [family for family in _FPS if cls.__name__.startswith(family)]
    return _FPS[max(families, key=len)] if families else _DEFAULT_FPS


def check_arguments(cls: type[DiffusionPipeline], plan: Plan) -> None:
    """Raises WorkerError(invalid_request) for what the call of this class cannot be given, or needs and a plan does not hold."""
    taken, inputs = parameters(cls), plan.inputs
    if any(name in taken for name in _OF_SOUND):
        raise _invalid("model", f"{cls.__name__} makes sound, which has no output format here")
    if plan.output_format is OutputFormat.MP4 and not is_video(cls):
        raise _invalid("output_format", f"{cls.__name__} makes pictures; mp4 is for videos")
    if plan.num_frames and not any(name in taken for name in _FRAME_COUNTS):
        raise _invalid("num_frames", f"{cls.__name__} takes no number of frames")
    if inputs.init_image and not starts_from_image(cls):
        raise _invalid("init_image", f"{cls.__name__} does not start from a picture")
    if inputs.mask_image and "mask_image" not in taken:
        raise _invalid("mask_image", f"{cls.__name__} takes no mask")
    if inputs.controls and _control_name(cls) is None:
        raise _invalid("controls", f"{cls.__name__} follows no picture")
    if len(inputs.controls) > 1:
        raise _invalid("controls", f"{cls.__name__} follows one picture; {len(inputs.controls)} are given")
    if inputs.ip_adapter and "ip_adapter_image" not in taken:
        raise _invalid("ip_adapter", f"{cls.__name__} takes no IP-Adapter")
    if plan.loras and not hasattr(cls, "load_lora_weights"):
        raise _invalid("loras", f"{cls.__name__} takes no LoRA")
    given = _named(cls, plan)
    for name, parameter in taken.items():
        positional = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if positional and parameter.default is parameter.empty and name not in given:
            field = "init_image" if name == "image" else "model"
            raise _invalid(field, f"{cls.__name__} needs {name}, which this request does not give")


def call_arguments(cls: type[DiffusionPipeline], plan: Plan, seed: int) -> dict[str, Any]:
    """Everything the call is given, with its pictures opened.

    Raises:
        WorkerError: ``invalid_request`` naming the field of a picture that is none.
    """
    # On the CPU on every device, so that a seed draws the same noise on all of them.
    named = {**_named(cls, plan), "generator": torch.Generator().manual_seed(seed)}
    return {name: value() if callable(value) else value for name, value in named.items() if name in parameters(cls)}


def _named(cls: type[DiffusionPipeline], plan: Plan) -> dict[str, Any]:
    """By argument. What a plan leaves open is not named: the pipeline has its own idea. Pictures are functions that open them."""
    inputs = plan.inputs
    named: dict[str, Any] = {
        "prompt": plan.prompt,
        "num_inference_steps": plan.num_inference_steps,
        "guidance_scale": plan.guidance_scale,
        "width": plan.width,
        "height": plan.height,
        "output_type": "np",
    }
    if plan.true_cfg_scale:
        named["true_cfg_scale"] = plan.true_cfg_scale
    if plan.negative_prompt:
        named["negative_prompt"] = plan.negative_prompt
    if plan.num_frames:
        named |= dict.fromkeys(_FRAME_COUNTS, plan.num_frames)
    if inputs.init_image is not None:
        init = inputs.init_image
        named["image"] = lambda: open_rgb(init, "init_image", plan.width, plan.height)
        named["strength"] = inputs.strength
    if inputs.mask_image is not None:
        mask = inputs.mask_image
        painted = inputs.mask_transparency_painted
        named["mask_image"] = lambda: open_mask(
            mask, "mask_image", plan.width, plan.height, transparency_painted=painted
        )
    for control in inputs.controls:
        path = control.image
        named[_control_name(cls) or ""] = lambda path=path: open_rgb(path, "controls", plan.width, plan.height)
        named["controlnet_conditioning_scale"] = control.scale
        named["control_guidance_start"] = control.start
        named["control_guidance_end"] = control.end
    if inputs.ip_adapter is not None:
        likeness = inputs.ip_adapter.image
        named["ip_adapter_image"] = lambda: open_rgb(likeness, "ip_adapter", 0, 0)
    return named


def _control_name(cls: type[DiffusionPipeline]) -> str | None:
    """Argument for the picture that is followed."""
    if "control_image" in parameters(cls):
        return "control_image"
    follows = any(name in inspect.signature(cls.__init__).parameters for name in _FOLLOWING)
    return "image" if follows and "image" in parameters(cls) and "strength" not in parameters(cls) else None


def _invalid(field: str, message: str) -> WorkerError:
    return WorkerError(FailureKind.INVALID_REQUEST, message, field)

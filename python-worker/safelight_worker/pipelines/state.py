"""One image in the making: everything a step reads or writes, and nothing else.

The same record serves every family, so that suspending, checkpointing and batching are written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from safelight_worker.types import LoraUse

POSITIVE, NEGATIVE = "positive", "negative"

Rows = Mapping[str, Tensor]
"""Inputs of the denoiser by the family's own names, each (1, …): one row of a forward."""


@dataclass(frozen=True)
class Conditions:
    """What the text encoders made of a prompt. Shared by the images of an attempt and kept for the next one, so it is never
    written into.

    ``branches`` holds ``positive`` and, with classifier-free guidance, ``negative``, in the order in which ``pipe()`` stacks
    them. ``shared`` holds tensors without a row axis, equal for all images that share a forward.
    """

    branches: Mapping[str, Rows]
    shared: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Blend:
    """What inpainting puts back after each step where the mask is 0. All in the latents' shape; the mask may have one channel."""

    mask: Tensor
    image_latents: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Start:
    """Where denoising begins. ``timesteps`` are those ``strength`` leaves; ``shared`` and ``channels`` go into the state."""

    latents: Tensor
    timesteps: Tensor
    shared: Mapping[str, Tensor] = field(default_factory=dict)
    blend: Blend | None = None
    channels: Tensor | None = None


@dataclass(frozen=True)
class ControlUse:
    """A picture a ControlNet follows: ``image`` is (1, 3, height, width) in 0 … 1 in the ControlNet's dtype. ``start`` and
    ``end`` are shares of the steps."""

    id: str
    source: str
    image: Tensor
    scale: float
    start: float
    end: float

    def scale_at(self, step: int, steps: int) -> float:
        """As ``StableDiffusionControlNetPipeline`` keeps or drops it."""
        outside = step / steps < self.start or (step + 1) / steps > self.end
        return self.scale * (1.0 - float(outside))


@dataclass
class StepState:
    """``latents`` are (1, …) in the family's own layout and the model's dtype; ``timesteps`` (steps,) as its scheduler made
    them, those that ``strength`` leaves out already gone."""

    latents: Tensor
    timesteps: Tensor
    scheduler: SchedulerMixin
    generator: torch.Generator
    branches: Mapping[str, Rows]
    guidance_scale: float
    width: int
    height: int
    shared: Mapping[str, Tensor] = field(default_factory=dict)
    channels: Tensor | None = None
    """(1, n, h, w): further input channels of an inpainting denoiser."""
    blend: Blend | None = None
    controls: tuple[ControlUse, ...] = ()
    loras: tuple[LoraUse, ...] = ()
    step: int = 0
    exact_rows: int = 0
    """Rows every forward of this image is padded to; 0: as many as there are."""
    attention_slicing: bool = False
    kind: str = ""
    """Fingerprint of what images must have in common to share a forward; set by the adapter once."""

    @property
    def steps(self) -> int:
        """Ticks in all; schedulers of second order take more than were asked for."""
        return len(self.timesteps)

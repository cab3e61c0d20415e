"""What a loaded model offers the engine. The engine drives runners and never asks what kind of work it has."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from safelight_worker.types import Plan

Picture = NDArray[np.float32]
"""One picture: (height, width, 3) float32 in 0 … 1."""


class ImageState(Protocol):
    """One image in the making: a plain record that can leave the device at any step."""

    step: int
    """Ticks committed."""
    steps: int
    """Ticks in all."""


class Runner(Protocol):
    """A loaded model, as the engine sees it. All methods run on the engine thread."""

    kind: str
    """``stepped`` or ``exclusive``."""

    def check(self, plan: Plan) -> None:
        """Raises WorkerError(invalid_request) when the plan cannot be run by this model."""

    def encode(self, plan: Plan) -> Any:
        """The text conditions of a plan, shared by its images."""

    def prepare(self, plan: Plan, conditions: Any, seed: int) -> ImageState:
        """A fresh state at step 0."""

    def key(self, plan: Plan, state: ImageState) -> Hashable:
        """States with equal keys may share a tick."""

    def row_cap(self, plan: Plan) -> int:
        """Most images that should share a tick at this plan's shape."""

    def tick(self, states: Sequence[ImageState], on_progress: Callable[[int, int], None]) -> None:
        """Advances all states by one step. Nothing is committed unless all are: after an exception each is as before."""

    def finish(self, plan: Plan, state: ImageState) -> Picture:
        """Decodes a state whose steps are done."""

    def preview(self, state: ImageState) -> Picture | None:
        """A rough small picture of a state, or None when the model offers none."""


def to_picture(decoded: Tensor) -> Picture:
    """From a VAE's output (1, 3, height, width) in -1 … 1, any float dtype."""
    picture: Picture = (decoded[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
    return picture

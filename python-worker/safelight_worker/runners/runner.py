"""What a loaded model offers the engine. The engine drives runners and never asks what kind of work it has."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from safelight_worker.pipelines.schedulers import SchedulerChoice
from safelight_worker.types import Plan

Picture = NDArray[np.float32]
"""One picture: (height, width, 3) float32 in 0 … 1."""


class ImageState(Protocol):
    """One image in the making: a plain record that can leave the device at any step."""

    step: int
    """Ticks committed."""

    @property
    def steps(self) -> int:
        """Ticks in all."""


class Runner(Protocol):
    """A loaded model, as the engine sees it. All methods but ``row_caps`` belong to the engine thread."""

    @property
    def kind(self) -> str:
        """``stepped`` or ``exclusive``."""

    @property
    def row_caps(self) -> Mapping[str, int]:
        """Most images that should share a tick, by ``<width>x<height>``, as measured so far."""

    def check(self, plan: Plan) -> SchedulerChoice | None:
        """The noise scheduler the plan gets; None when the model has none. Raises WorkerError(invalid_request) when the
        plan cannot be run by this model."""

    def measure(self, plan: Plan) -> None:
        """Learns the row cap of the plan's shape when it is new; takes about a second at most."""

    def encode(self, plan: Plan) -> Any:
        """The text conditions of a plan, shared by its images."""

    def prepare(self, plan: Plan, conditions: Any, seed: int) -> Any:
        """A fresh :class:`ImageState` at step 0."""

    def key(self, plan: Plan, state: Any) -> Hashable:
        """States with equal keys may share a tick."""

    def row_cap(self, plan: Plan) -> int:
        """Most images that should share a tick at this plan's shape; 1 where it was not measured."""

    def tick(self, states: Sequence[Any], on_progress: Callable[[int, int], None]) -> None:
        """Advances the states by one step, one after the other once their forward is done. After an exception each state
        is either one step on or exactly as before. ``on_progress(step, steps)`` is called from inside a long tick and may
        raise to break it off."""

    def finish(self, plan: Plan, state: Any) -> Picture:
        """Decodes a state whose steps are done. Raises WorkerError(rejected_output) when the model's own safety checker
        objects."""

    def preview(self, state: Any) -> Picture | None:
        """A rough small picture of a state, or None when the model offers none."""

    def to_host(self, state: Any) -> Any:
        """The state as a plain record on the host that shares nothing with it; the state itself is not changed."""

    def from_host(self, kept: Any) -> Any:
        """The state a record was made from; goes on bit for bit where that one was."""


def to_picture(decoded: Tensor) -> Picture:
    """From a VAE's output (1, 3, height, width) in -1 … 1, any float dtype; rounds as diffusers' image processor does."""
    picture: Picture = (decoded[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
    return picture

"""What a loaded model offers the engine. The engine drives runners and never asks what kind of work it has."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from safelight_worker.memory.footprint import PhaseFootprint
from safelight_worker.pipelines.schedulers import SchedulerChoice
from safelight_worker.runners.outputs import Output, Picture
from safelight_worker.types import MemoryPlan, Plan


class ImageState(Protocol):
    """One image (or video) in the making: a plain record that can leave the device at any step."""

    step: int
    """Ticks committed."""

    exact_rows: int
    """Rows every forward of it is padded to; 0: as many as there are."""

    @property
    def steps(self) -> int:
        """Ticks in all."""


@dataclass(frozen=True)
class Finished:
    """What came of a state, and whether its decode had to be done again in float32."""

    output: Output
    decoded_in_float32: bool = False


class Runner(Protocol):
    """A loaded model, as the engine sees it. All methods but ``row_caps`` belong to the engine thread."""

    @property
    def kind(self) -> str:
        """``stepped`` or ``exclusive``."""

    @property
    def swaps_phases(self) -> bool:
        """Whether its phases take turns on the device, so that going from one to another costs time."""

    @property
    def row_caps(self) -> Mapping[str, int]:
        """Most images that should share a tick, by ``<width>x<height>``, as measured so far."""

    @property
    def exact_rows(self) -> Mapping[str, int]:
        """Rows of exact forwards, by ``<width>x<height>``, of the shapes that had any."""

    @property
    def footprints(self) -> Sequence[PhaseFootprint]:
        """Memory each phase takes beyond the weights."""

    def check(self, plan: Plan) -> SchedulerChoice | None:
        """The noise scheduler the plan gets; None when the model has none. Raises WorkerError(invalid_request) when the
        plan cannot be run by this model."""

    def place(self, plans: Sequence[MemoryPlan]) -> None:
        """Follows the memory plans of the attempts in flight; where they differ, the one that needs less memory counts."""

    def memory_in_force(self, plan: Plan) -> MemoryPlan:
        """The plan's memory decisions as they are carried out, beside those of others in flight."""

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

    def images_in(self, rows: int) -> int:
        """Images that fit into a forward of so many rows."""

    def tick(self, states: Sequence[Any], on_progress: Callable[[int, int], None], rows: int = 0) -> None:
        """Advances the states by one step, one after the other once their forward is done; forwards are padded to ``rows``.
        After an exception each state is either one step on or exactly as before. ``on_progress(step, steps)`` is called from
        inside a long tick and may raise to break it off."""

    def finish(self, plan: Plan, state: Any) -> Finished:
        """Decodes a state whose steps are done. Raises WorkerError(rejected_output) when the model's own safety checker
        objects."""

    def preview(self, state: Any) -> Picture | None:
        """A rough small picture of a state, or None when the model offers none."""

    def to_host(self, state: Any) -> Any:
        """The state as a plain record on the host that shares nothing with it; the state itself is not changed."""

    def from_host(self, plan: Plan, kept: Any) -> Any:
        """The state a record was made from; goes on bit for bit where that one was."""

    def close(self) -> None:
        """Lets go of everything on the device."""


def to_picture(decoded: Tensor) -> Picture:
    """From a VAE's output (1, 3, height, width) in -1 … 1, any float dtype; rounds as diffusers' image processor does."""
    picture: Picture = (decoded[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
    return picture

"""One attempt inside the engine: its images, its phase, what it took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from safelight_worker.engine.events import TERMINAL, Artifact, Event, Failed, PhaseStarted, PhaseTiming, Sink, StepFinished
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.runners.runner import ImageState, Picture, Runner
from safelight_worker.types import Phase, Plan


@dataclass
class Image:
    """One picture of an attempt. ``state`` is dropped once it is decoded."""

    index: int
    seed: int
    state: ImageState | None = None
    artifact: Artifact | None = None


@dataclass
class Attempt:
    """Owned by the engine thread; others only set ``cancelled`` and ``preview_interval_ms``."""

    plan: Plan
    sink: Sink
    memory: MemoryProbe
    order: int
    runner: Runner | None = None
    conditions: Any = None
    images: list[Image] = field(default_factory=list)
    phase: Phase | None = None
    cancelled: bool = False
    ended: bool = False
    max_batch_images: int = 1
    preview_interval_ms: int = 0
    previewed_at: float = 0.0
    reported_step: int = 0
    timings: list[PhaseTiming] = field(default_factory=list)
    _phase_began_ms: int = 0

    def enter(self, phase: Phase) -> None:
        """Moves on to a phase and tells so; does nothing when it is there already."""
        if phase == self.phase:
            return
        self.close_phase()
        self.phase = phase
        self._phase_began_ms = _now_ms()
        self.memory.reset_peak()
        self.tell(PhaseStarted(phase))

    def tell(self, event: Event) -> None:
        """Passes an event on; nothing passes after the terminal one."""
        if self.ended:
            return
        if isinstance(event, TERMINAL):
            self.close_phase()
            self.ended = True
            self.images.clear()
            self.conditions = None
        self.sink(event)

    def tell_step(self, batch_images: int) -> None:
        """Tells a step once all images have taken it."""
        self.max_batch_images = max(self.max_batch_images, batch_images)
        step = self.step
        if step > self.reported_step:
            self.reported_step = step
            self.tell(StepFinished(step, max(image.state.steps for image in self.images if image.state), batch_images))

    def tell_inner_step(self, step: int, steps: int) -> None:
        """Tells a step inside a tick that makes a whole call."""
        self.reported_step = max(self.reported_step, step)
        self.tell(StepFinished(step, max(step, steps), 1))

    @property
    def step(self) -> int:
        """Steps all images have taken."""
        return min((image.state.step for image in self.images if image.state), default=self.reported_step)

    def close_phase(self) -> None:
        if self.phase is not None and self._phase_began_ms:
            self.timings.append(PhaseTiming(self.phase, self._phase_began_ms, _now_ms(), self.memory.peak_bytes()))
            self._phase_began_ms = 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

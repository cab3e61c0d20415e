"""One attempt inside the engine: its images, its phase, what it took."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from safelight_worker.engine.events import (
    TERMINAL,
    Artifact,
    Event,
    Outcome,
    PhaseStarted,
    PhaseTiming,
    Preview,
    Sink,
    StepFinished,
)
from safelight_worker.engine.models import LoadedRunner
from safelight_worker.log_context import PROMPTS
from safelight_worker.memory.probe import MemoryProbe, PeakWatch
from safelight_worker.types import Phase, Plan

log = logging.getLogger(__name__)

_ORDER = {phase: number for number, phase in enumerate(Phase)}


@dataclass(eq=False)
class Image:
    """One picture or video of an attempt. ``state`` is an ImageState of its runner; it is kept to the end, because a
    checkpoint made while a sibling is decoded needs it."""

    index: int
    seed: int
    state: Any = None
    decoded: bool = False
    artifacts: tuple[Artifact, ...] = ()

    @property
    def is_denoising(self) -> bool:
        """Whether it has a step to take."""
        return self.state.step < self.state.steps  # type: ignore[no-any-return]


@dataclass(eq=False)
class Attempt:
    """Belongs to the engine thread. Others set ``cancelled``, ``suspending`` and ``preview_interval_ms``, and the image pool
    calls ``enter`` and ``tell``, which may be called from any thread."""

    plan: Plan
    sink: Sink
    memory: MemoryProbe
    order: int
    loaded: LoadedRunner | None = None
    conditions: Any = None
    images: list[Image] = field(default_factory=list)
    phase: Phase | None = None
    cancelled: bool = False
    suspending: bool = False
    outcome: Outcome | None = None
    """The terminal event once it is decided; it is told when the image pool holds nothing of the attempt any more."""
    saving: int = 0
    """Outputs and checkpoints the image pool holds."""
    checkpointing: bool = False
    """Whether one of them is a checkpoint."""
    checkpointed_at: float = field(default_factory=time.monotonic)
    resumed_at_step: int = 0
    decoded_in_float32: bool = False
    max_batch_images: int = 0
    preview_interval_ms: int = 0
    previewed_at: float = 0.0
    reported_step: int = 0
    timings: list[PhaseTiming] = field(default_factory=list)
    _phase_began_ms: int = 0
    _watch: PeakWatch | None = None
    _told_end: bool = False
    _previewed_step: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        # What libraries say of their input quotes it, on whatever thread.
        PROMPTS.hold(self, self.plan.prompt, self.plan.negative_prompt)

    @property
    def id(self) -> str:
        return self.plan.attempt_id

    @property
    def rank(self) -> tuple[int, int]:
        """Lower is taken up first: the more urgent, then the older."""
        return self.plan.priority, self.order

    @property
    def is_over(self) -> bool:
        """Whether no more work should be put into it."""
        return self.cancelled or self.outcome is not None

    @property
    def runner(self) -> Any:
        """The Runner of its model for its plan; only once it is loaded."""
        assert self.loaded is not None
        return self.loaded.runner_for(self.plan)

    @property
    def is_denoising(self) -> bool:
        """Whether an image has a step to take."""
        return any(image.is_denoising for image in self.images)

    @property
    def is_decoding(self) -> bool:
        """Whether all steps are taken and an image is still to be decoded."""
        return not self.is_denoising and any(not image.decoded for image in self.images)

    @property
    def step(self) -> int:
        """Steps that all images have taken."""
        return min((image.state.step for image in self.images), default=self.reported_step)

    def enter(self, phase: Phase) -> None:
        """Moves on to a phase and tells so. Phases only go forward; one that is reached or passed is not entered again."""
        with self._lock:
            if self._told_end or (self.phase is not None and _ORDER[phase] <= _ORDER[self.phase]):
                return
            self._close_phase()
            self.phase = phase
            self._phase_began_ms = _now_ms()
            self._watch = self.memory.watch()
            self.tell(PhaseStarted(phase))

    def tell(self, event: Event) -> None:
        """Passes an event on; nothing passes after the terminal one."""
        with self._lock:
            if self._told_end:
                return
            if isinstance(event, TERMINAL):
                self._told_end = True
            elif isinstance(event, Preview):
                if event.step <= self._previewed_step:
                    # Two threads encode frames; an older one may come in later.
                    return
                self._previewed_step = event.step
            try:
                self.sink(event)
            except Exception:
                log.exception("a sink failed", extra={"attempt": self.id})

    def tell_step(self, batch_images: int) -> None:
        """Tells a step once all images have taken it."""
        self.max_batch_images = max(self.max_batch_images, batch_images)
        step = self.step
        if step > self.reported_step:
            self.reported_step = step
            steps = max(image.state.steps for image in self.images)
            self.tell(StepFinished(step, steps, batch_images))

    def tell_inner_step(self, image: Image, step: int, steps: int) -> None:
        """Tells a step inside a tick that makes a whole call; the calls of all images are counted through."""
        self.reported_step = image.index * steps + step
        self.tell(StepFinished(self.reported_step, max(step, steps) * len(self.images), 1))

    def release(self) -> None:
        """Lets go of everything on the device. Timings end here."""
        with self._lock:
            self._close_phase()
        self.images = []
        self.conditions = None
        self.loaded = None

    def _close_phase(self) -> None:
        if self.phase is not None and self._watch is not None:
            peak = self.memory.unwatch(self._watch)
            self._watch = None
            self.timings.append(PhaseTiming(self.phase, self._phase_began_ms, _now_ms(), peak))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

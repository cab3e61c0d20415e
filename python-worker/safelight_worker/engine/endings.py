"""How attempts end: in one way, once, with nothing left behind."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from safelight_worker.engine.attempt import Attempt, Image
from safelight_worker.engine.delivery import DeliveryFailed, remove_files
from safelight_worker.engine.events import Artifact, Cancelled, Effective, Failed, Succeeded
from safelight_worker.engine.failures import EXIT_DEVICE_FATAL, release_memory, to_failed
from safelight_worker.engine.register import Register
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.types import FailureKind, Phase

log = logging.getLogger(__name__)

#: Seconds a fatal failure gets to leave the process before it ends.
_FAREWELL_SECONDS = 0.2


class Endings:
    """Belongs to the engine thread. ``exit_process`` is called when the device is lost."""

    def __init__(
        self, register: Register, memory: MemoryProbe, device: str, exit_process: Callable[[int], None]
    ) -> None:
        self._register = register
        self._memory = memory
        self._device = device
        self._exit_process = exit_process

    def end(self, attempt: Attempt, outcome: Succeeded | Failed | Cancelled) -> None:
        """Decides how an attempt ends and lets go of what it holds. The first decision counts."""
        if attempt.outcome is None:
            attempt.outcome = outcome
            attempt.release()
            self._register.drop(attempt)
            self._settle(attempt)

    def fail(self, attempt: Attempt, error: BaseException, phase: Phase | None = None) -> None:
        """Ends an attempt with what an exception says."""
        failed = to_failed(error, phase or attempt.phase, attempt.reported_step, self._memory.state().free)
        if failed.kind is FailureKind.INTERNAL:
            log.error("an attempt failed", extra={"attempt": attempt.id, "traceback": failed.detail})
        self.end(attempt, failed)
        release_memory(error)
        if failed.kind is FailureKind.DEVICE_FATAL:
            # The context is gone for every attempt; only a new process helps.
            log.critical("the device is lost; the worker ends", extra={"attempt": attempt.id})
            time.sleep(_FAREWELL_SECONDS)
            self._exit_process(EXIT_DEVICE_FATAL)

    def give_back(self) -> None:
        """Ends all that are in flight unharmed: somebody else may run them."""
        for attempt in self._register.all():
            self.end(attempt, Failed(FailureKind.WORKER_STOPPING, attempt.phase, attempt.step, "the worker stops"))

    def delivered(self, attempt: Attempt, image: Image, outcome: Artifact | DeliveryFailed | None) -> None:
        """What became of a picture in the image pool. The last one makes the attempt succeed."""
        attempt.saving -= 1
        if attempt.outcome is not None:
            self._settle(attempt)
        elif attempt.cancelled:
            self.end(attempt, Cancelled())
        elif isinstance(outcome, DeliveryFailed):
            self.fail(attempt, outcome.cause, outcome.phase)
        else:
            image.artifact = outcome
            artifacts = tuple(each.artifact for each in attempt.images if each.artifact is not None)
            if len(artifacts) == len(attempt.plan.seeds):
                effective = self._effective(attempt)
                attempt.release()
                self.end(attempt, Succeeded(artifacts, tuple(attempt.timings), effective))

    def _settle(self, attempt: Attempt) -> None:
        """Tells how an attempt ended, once the image pool can write nothing for it any more."""
        if attempt.saving or attempt.outcome is None:
            return
        if not isinstance(attempt.outcome, Succeeded):
            remove_files(attempt)
        self._register.forget(attempt)
        attempt.tell(attempt.outcome)

    def _effective(self, attempt: Attempt) -> Effective:
        assert attempt.loaded is not None
        plan, model = attempt.plan, attempt.loaded.model
        choice = attempt.runner.check(plan)
        return Effective(
            num_inference_steps=plan.num_inference_steps,
            guidance_scale=plan.guidance_scale,
            width=plan.width,
            height=plan.height,
            scheduler=choice.class_name if choice else "",
            scheduler_options=choice.options if choice else {},
            dtype=model.dtype_name,
            device=self._device,
            max_batch_images=attempt.max_batch_images,
            weights_sha256=model.weights_sha256,
            pipeline_class=model.pipeline_class,
            runner=attempt.runner.kind,
        )

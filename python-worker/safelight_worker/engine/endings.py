"""How attempts end: in one way, once, with nothing left behind."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch

from safelight_worker.engine.attempt import Attempt, Image
from safelight_worker.engine.delivery import Delivery, DeliveryFailed, remove_checkpoint, remove_files
from safelight_worker.engine.events import (
    Artifact,
    Cancelled,
    Checkpointed,
    Effective,
    Failed,
    Outcome,
    Succeeded,
    Suspended,
)
from safelight_worker.engine.failures import EXIT_DEVICE_FATAL, release_memory, to_failed
from safelight_worker.engine.register import Register
from safelight_worker.memory.out_of_memory import probe_device
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.runners.attempt_record import AttemptRecord
from safelight_worker.types import FailureKind, ModelSpec, Phase

log = logging.getLogger(__name__)

#: Seconds a fatal failure gets to leave the process before it ends.
_FAREWELL_SECONDS = 0.2


class Endings:
    """Belongs to the engine thread. ``exit_process`` is called when the device is lost, ``let_go`` with the model of an attempt
    that has ended."""

    def __init__(
        self,
        register: Register,
        delivery: Delivery,
        memory: MemoryProbe,
        device: torch.device,
        exit_process: Callable[[int], None],
        let_go: Callable[[ModelSpec], None],
    ) -> None:
        self._register = register
        self._delivery = delivery
        self._memory = memory
        self._device = device
        self._exit_process = exit_process
        self._let_go = let_go

    def end(self, attempt: Attempt, outcome: Outcome) -> None:
        """Decides how an attempt ends and lets go of what it holds. The first decision counts."""
        if attempt.outcome is None:
            attempt.outcome = outcome
            attempt.release()
            self._register.drop(attempt)
            self._let_go(attempt.plan.model)
            self._settle(attempt)

    def suspend(self, attempt: Attempt) -> None:
        """Ends an attempt with a checkpoint of where it is. Its images leave the device here; the file is written later."""
        self._mark(attempt)
        self.end(attempt, Suspended())

    def fail(self, attempt: Attempt, error: BaseException, phase: Phase | None = None) -> None:
        """Ends an attempt with what an exception says."""
        failed = to_failed(error, phase or attempt.phase, attempt.reported_step, self._free_bytes())
        if failed.kind is FailureKind.INTERNAL:
            log.error("an attempt failed", extra={"attempt": attempt.id, "traceback": failed.detail})
            if not probe_device(self._device):
                failed = replace(failed, kind=FailureKind.DEVICE_FATAL)
        if failed.kind is FailureKind.DEVICE_OUT_OF_MEMORY and attempt.outcome is None:
            # The state was committed after the last good step: whoever has more room goes on from there.
            self._mark(attempt)
        self.end(attempt, failed)
        release_memory(error)
        if failed.kind is FailureKind.DEVICE_FATAL:
            # The context is gone for every attempt; only a new process helps.
            log.critical("the device is lost; the worker ends", extra={"attempt": attempt.id})
            time.sleep(_FAREWELL_SECONDS)
            self._exit_process(EXIT_DEVICE_FATAL)

    def _free_bytes(self) -> int:
        try:
            return self._memory.state().free
        except RuntimeError:
            # A lost device answers nothing any more; that it is lost must still be told.
            return 0

    def give_back(self, attempts: Iterable[Attempt]) -> None:
        """Ends attempts unharmed: somebody else may run them, and goes on where a denoising one was. Once the image pool has
        stopped there are no more checkpoints."""
        for attempt in attempts:
            if attempt.outcome is not None:
                continue
            phase, step = attempt.phase, attempt.step
            if attempt.is_denoising:
                self._mark(attempt)
            self.end(attempt, Failed(FailureKind.WORKER_STOPPING, phase, step, "the worker stops"))

    def mark(self, attempt: Attempt) -> None:
        """Leaves a checkpoint of an attempt that goes on, when one is due."""
        interval, now = attempt.plan.checkpoint_interval_ms, time.monotonic()
        if interval and not attempt.checkpointing and (now - attempt.checkpointed_at) * 1000 >= interval:
            attempt.checkpointed_at = now
            self._mark(attempt)

    def _mark(self, attempt: Attempt) -> None:
        if attempt.loaded is None or len(attempt.images) < len(attempt.plan.seeds):
            return
        try:
            record = AttemptRecord.of(attempt.loaded, attempt.plan, [image.state for image in attempt.images])
            self._delivery.checkpoint(attempt, record)
        except Exception:
            # The device may have no answer any more, or the worker stops; the attempt then begins again.
            log.exception("a checkpoint cannot be taken", extra={"attempt": attempt.id})

    def marked(self, attempt: Attempt, checkpoint: Checkpointed | None) -> None:
        """What became of a checkpoint in the image pool."""
        attempt.saving -= 1
        attempt.checkpointing = False
        if attempt.outcome is None:
            if checkpoint is not None:
                attempt.tell(checkpoint)
            return
        if checkpoint is not None and isinstance(attempt.outcome, (Failed, Suspended)):
            attempt.outcome = replace(attempt.outcome, checkpoint=checkpoint)
        self._settle(attempt)

    def delivered(self, attempt: Attempt, image: Image, outcome: tuple[Artifact, ...] | DeliveryFailed | None) -> None:
        """What became of an output in the image pool. The last one makes the attempt succeed."""
        attempt.saving -= 1
        if attempt.outcome is not None:
            self._settle(attempt)
        elif attempt.cancelled:
            self.end(attempt, Cancelled())
        elif isinstance(outcome, DeliveryFailed):
            self.fail(attempt, outcome.cause, outcome.phase)
        else:
            image.artifacts = outcome or ()
            if all(each.artifacts for each in attempt.images):
                artifacts = (artifact for each in attempt.images for artifact in each.artifacts)
                numbered = tuple(replace(artifact, index=index) for index, artifact in enumerate(artifacts))
                effective = self._effective(attempt)
                attempt.release()
                self.end(attempt, Succeeded(numbered, tuple(attempt.timings), effective))

    def _settle(self, attempt: Attempt) -> None:
        """Tells how an attempt ended, once the image pool can write nothing for it any more."""
        if attempt.saving or attempt.outcome is None:
            return
        if isinstance(attempt.outcome, Suspended) and attempt.cancelled:
            # Asked for while its checkpoint was being written.
            attempt.outcome = Cancelled()
        if not isinstance(attempt.outcome, Succeeded):
            remove_files(attempt)
        if isinstance(attempt.outcome, (Succeeded, Cancelled)):
            remove_checkpoint(attempt)
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
            device=str(self._device),
            max_batch_images=attempt.max_batch_images,
            weights_sha256=model.weights_sha256,
            pipeline_class=model.pipeline_class,
            runner=attempt.runner.kind,
            exact_rows=max(image.state.exact_rows for image in attempt.images),
            memory=attempt.runner.memory_in_force(plan),
            resumed_at_step=attempt.resumed_at_step,
            decoded_in_float32=attempt.decoded_in_float32,
        )

"""The engine: one thread that owns the device and drives runners.

The loop goes round as long as the process lives: commands, admissions, one tick for the most deserving group, at most one
decode. The RPCs and the encoding of files happen on other threads and reach it through the inbox. State is committed only
after a successful step, so whatever a tick raises, no image is worse off than before it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import torch

from safelight_worker.engine.admission import Interrupted, admit, load
from safelight_worker.engine.attempt import Attempt, Image
from safelight_worker.engine.delivery import Delivery
from safelight_worker.engine.endings import Endings
from safelight_worker.engine.events import Cancelled, Sink
from safelight_worker.engine.failures import to_worker_error
from safelight_worker.engine.inbox import Command, Inbox
from safelight_worker.engine.models import LoadedRunner, ModelStore
from safelight_worker.engine.register import MAX_IN_FLIGHT, Register
from safelight_worker.engine.ticking import Ticker
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.runners.loaded import accepted_options
from safelight_worker.types import ModelSpec, Phase, Plan

log = logging.getLogger(__name__)

#: The loop goes round at least this often when idle, in seconds, so that its age tells whether it lives.
_IDLE_SECONDS = 0.5

#: Attempts admitted per round: a burst joins within a few ticks without holding up those already running.
_ADMITTED_PER_ROUND = 8

#: Exit code for a defect of the loop.
_EXIT_DEFECT = 1


class Engine:
    """Runs plans. What has no underscore may be used from any thread. ``exit_process`` is called with an exit code when only a
    new process helps."""

    def __init__(
        self,
        device: torch.device,
        models: ModelStore,
        threads: int = 0,
        exit_process: Callable[[int], None] = os._exit,
        capacity: int = MAX_IN_FLIGHT,
    ) -> None:
        self._models = models
        self._threads = threads
        self._exit_process = exit_process
        self.memory = MemoryProbe(device)
        self._inbox = Inbox()
        self._register = Register(self.memory, capacity)
        self._delivery = Delivery(lambda *told: self._inbox.post(lambda: self._endings.delivered(*told)))
        self._endings = Endings(self._register, self.memory, str(device), exit_process)
        self._ticker = Ticker(self._endings.fail, self._beat, self._delivery.preview)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._phase: Phase | None = None
        self._round_began = time.monotonic()
        self.loop_count = 0
        """Times the loop went round; steps inside a whole call count too."""

    # ---------------------------------------------------------------- any thread

    def start(self) -> None:
        """Starts the thread. Once."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Gives attempts back as ``worker_stopping`` and ends the thread, waiting ``timeout`` seconds for the step that is
        going on. Pictures already with the image pool are finished. Safe to call twice. False: the step still goes on."""
        self._inbox.stop()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def submit(self, plan: Plan, sink: Sink) -> None:
        """Takes an attempt. ``sink`` is called on the engine thread and on the image pool; it must not block.

        Raises:
            WorkerError: ``invalid_request`` for an id that is in flight, ``internal`` when too many are,
                ``worker_stopping`` when the engine ends.
        """

        def take() -> Command:
            attempt = self._register.add(plan, sink)
            return lambda: self._register.queue(attempt)

        self._inbox.post_unless_stopping(take)

    def cancel(self, attempt_id: str) -> bool:
        """Asks an attempt to stop at the next tick. False: there is none of that id."""
        attempt = self._register.find(attempt_id)
        if attempt is None:
            return False
        attempt.cancelled = True
        self._inbox.post(lambda: None)
        return True

    def set_previews(self, attempt_id: str, interval_ms: int) -> bool:
        """Sets the milliseconds between preview frames, 0 for none. False: there is no attempt of that id."""
        attempt = self._register.find(attempt_id)
        if attempt is None:
            return False
        attempt.preview_interval_ms = interval_ms
        return True

    def load(self, spec: ModelSpec) -> Future[LoadedRunner]:
        """Loads and warms up a model, once. The future fails with WorkerError, whatever went wrong."""
        future: Future[LoadedRunner] = Future()

        def carry_out() -> None:
            if not future.set_running_or_notify_cancel():
                # Whoever asked has gone.
                return
            try:
                self._inbox.refuse_when_stopping()
                self._phase = Phase.LOAD
                future.set_result(load(self._models, spec))
            except Exception as error:  # noqa: BLE001  whoever waits gets it
                future.set_exception(to_worker_error(error))

        self._inbox.post_unless_stopping(lambda: carry_out)
        return future

    @property
    def loop_age(self) -> float:
        """Seconds since the loop last went round."""
        return time.monotonic() - self._round_began

    @property
    def phase(self) -> Phase | None:
        """What the engine does now, or what the image pool does for it; None when idle."""
        return self._phase or self._register.latest_phase()

    @property
    def accepted_schedulers(self) -> dict[str, list[str]]:
        """Class names of the noise schedulers a plan may name, with the options it may set."""
        return accepted_options()

    @property
    def attempt_ids(self) -> list[str]:
        """Attempts in flight, oldest first."""
        return [attempt.id for attempt in self._register.all()]

    @property
    def model_ids(self) -> list[str]:
        """Models on the device."""
        return self._models.ids

    # ---------------------------------------------------------------- engine thread

    def _run(self) -> None:
        if self._threads > 0:
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                while not self._inbox.stopping:
                    self._go_round()
                self._give_back()
        except Exception:
            # A loop that ended would leave a worker that takes work and never does it.
            log.critical("the engine has a defect and cannot go on", exc_info=True)
            self._exit_process(_EXIT_DEFECT)

    def _go_round(self) -> None:
        self._beat()
        for command in self._inbox.take():
            command()
        self._drop_cancelled()
        busy = self._admit()
        busy |= self._tick()
        busy |= self._decode_one()
        if not busy:
            self._phase = None
            self._inbox.wait(_IDLE_SECONDS)

    def _beat(self, attempt: Attempt | None = None) -> None:
        """Tells that the loop lives; from inside a long tick also whether it should be broken off."""
        self.loop_count += 1
        self._round_began = time.monotonic()
        if attempt is not None and (attempt.is_over or self._inbox.stopping):
            raise Interrupted

    def _drop_cancelled(self) -> None:
        for attempt in [*self._register.waiting, *self._register.running]:
            if attempt.cancelled:
                self._endings.end(attempt, Cancelled())

    def _admit(self) -> bool:
        taken = self._register.take_up(_ADMITTED_PER_ROUND)
        for attempt in taken:
            try:
                admit(attempt, self._models, lambda phase, attempt=attempt: self._enter(attempt, phase))  # type: ignore[misc]
            except Interrupted:
                continue
            except Exception as error:  # noqa: BLE001  ends as data
                self._endings.fail(attempt, error)
        return bool(taken)

    def _enter(self, attempt: Attempt, phase: Phase) -> None:
        self._beat(attempt)
        self._phase = phase
        attempt.enter(phase)

    def _tick(self) -> bool:
        if any(image.is_denoising for attempt in self._register.running for image in attempt.images):
            self._phase = Phase.DENOISE
        return self._ticker.tick(self._register.running)

    def _decode_one(self) -> bool:
        """Decodes the image that has waited longest, so that running requests keep their pace."""
        for attempt in self._register.running:
            image = next((image for image in attempt.images if image.state is not None), None)
            if image is None or any(each.is_denoising for each in attempt.images):
                continue
            try:
                self._decode(attempt, image)
            except Interrupted:
                pass
            except Exception as error:  # noqa: BLE001  ends as data
                self._endings.fail(attempt, error)
            return True
        return False

    def _decode(self, attempt: Attempt, image: Image) -> None:
        self._enter(attempt, Phase.DECODE)
        picture = attempt.runner.finish(attempt.plan, image.state)
        image.state = None
        last = all(each.state is None for each in attempt.images)
        if last:
            self._enter(attempt, Phase.VALIDATE)
        self._delivery.deliver(attempt, image, picture, last)

    def _give_back(self) -> None:
        """What the image pool holds is finished; everything else goes back unharmed."""
        self._delivery.stop()
        for command in self._inbox.take():
            command()
        self._endings.give_back()

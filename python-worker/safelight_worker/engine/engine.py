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
from dataclasses import replace
from typing import TypeVar

import torch

from safelight_worker import log_context
from safelight_worker.engine.admission import Interrupted, encode, load, prepare
from safelight_worker.engine.attempt import Attempt
from safelight_worker.engine.delivery import Delivery
from safelight_worker.engine.endings import Endings
from safelight_worker.engine.events import Cancelled, Sink
from safelight_worker.engine.failures import to_worker_error
from safelight_worker.engine.inbox import Command, Inbox
from safelight_worker.engine.inputs import InputPictures
from safelight_worker.engine.models import LoadedRunner, ModelStore, NoRoomYet
from safelight_worker.engine.register import MAX_IN_FLIGHT, Register
from safelight_worker.engine.ticking import Ticker
from safelight_worker.engine.turns import Turns
from safelight_worker.memory.fault_injection import FaultInjector
from safelight_worker.memory.port import MemoryState
from safelight_worker.memory.pressure import Pressure, pressure
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.runners.loaded import accepted_options
from safelight_worker.types import FailureKind, Inputs, MemoryPlan, ModelSpec, Phase, Plan, WorkerError

__all__ = ["Engine", "MemoryState", "Pressure"]

log = logging.getLogger(__name__)

T = TypeVar("T")

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
        memory: MemoryProbe | None = None,
        faults: FaultInjector | None = None,
    ) -> None:
        self._models = models
        self._threads = threads
        self._exit_process = exit_process
        self.memory = memory or MemoryProbe(device)
        self._faults = faults or FaultInjector.parse("")
        self._inbox = Inbox()
        self._register = Register(self.memory, capacity)
        self._delivery = Delivery(
            lambda *told: self._inbox.post(lambda: self._hear(told[0], lambda: self._endings.delivered(*told))),
            lambda *told: self._inbox.post(lambda: self._hear(told[0], lambda: self._endings.marked(*told))),
        )
        self._inputs = InputPictures(lambda *told: self._inbox.post(lambda: self._opened(*told)))
        self._endings = Endings(self._register, self._delivery, self.memory, device, exit_process, self._note_end)
        self._ticker = Ticker(self._endings, self._delivery, self._beat, self._faults)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._ended = 0
        """Attempts that have ended."""
        self._without_room: tuple[Attempt, int] | None = None
        """The attempt whose model waits for others to end, and how many had when it was tried last."""
        self._turns = Turns()
        self._turn: dict[ModelSpec, Phase] = {}
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
            return lambda: self._begin(attempt)

        self._inbox.post_unless_stopping(take)

    def cancel(self, attempt_id: str) -> bool:
        """Asks an attempt to stop at the next tick. False: there is none of that id."""
        attempt = self._register.find(attempt_id)
        if attempt is None:
            return False
        attempt.cancelled = True
        self._inbox.post(lambda: None)
        return True

    def suspend(self, attempt_id: str) -> bool:
        """Asks an attempt to leave the device with a checkpoint at the next tick; one whose pictures are being decoded ends by
        itself within seconds and is left to. False: there is none of that id."""
        attempt = self._register.find(attempt_id)
        if attempt is None:
            return False
        attempt.suspending = True
        self._inbox.post(lambda: None)
        return True

    def set_previews(self, attempt_id: str, interval_ms: int) -> bool:
        """Sets the milliseconds between preview frames, 0 for none. False: there is no attempt of that id."""
        attempt = self._register.find(attempt_id)
        if attempt is None:
            return False
        attempt.preview_interval_ms = interval_ms
        return True

    def load(
        self,
        spec: ModelSpec,
        pinned: bool = False,
        keep_alive_seconds: float = 0.0,
        plan: MemoryPlan = MemoryPlan(),  # noqa: B008  frozen
        only_if_loaded: bool = False,
    ) -> Future[LoadedRunner]:
        """Loads and warms up a model, once, within a memory plan. ``pinned``: it never makes room for others; ``keep_alive_seconds``: idle for so long
        it is taken off, 0 for never. ``only_if_loaded``: one that is not on the device fails as ``model_unavailable``. The future fails with WorkerError,
        whatever went wrong."""

        def carry_out() -> LoadedRunner:
            if only_if_loaded and not self._models.holds(spec):
                raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"model {spec.id} is not on the device")
            if not only_if_loaded:
                self._phase = Phase.LOAD
                self._faults.at(Phase.LOAD, 0, 0)
            # Before the load: they hold for a later one, too, when this one fails.
            self._models.pin(spec.id, pinned)
            self._models.keep_alive(spec.id, keep_alive_seconds)
            return load(self._models, spec, self._models_in_use, plan)

        return self._ask(carry_out)

    def unload(self, model_id: str) -> Future[bool]:
        """Takes a model off the device; False: it was not there. The future fails with WorkerError(invalid_request) while
        attempts use it."""
        return self._ask(lambda: self._models.unload(model_id, self._models_in_use))

    def _ask(self, carry_out: Callable[[], T]) -> Future[T]:
        """Has the engine thread do something between two rounds."""
        future: Future[T] = Future()

        def command() -> None:
            if not future.set_running_or_notify_cancel():
                # Whoever asked has gone.
                return
            try:
                self._inbox.refuse_when_stopping()
                result = carry_out()
            except Exception as error:  # noqa: BLE001  whoever waits gets it
                # A round of its own: who is told of the end must not find the loop as old as what has ended.
                self._beat()
                future.set_exception(to_worker_error(error))
            else:
                self._beat()
                future.set_result(result)

        self._inbox.post_unless_stopping(lambda: command)
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

    def memory_state(self) -> tuple[MemoryState, Pressure]:
        """Memory of the device, and how tight it is."""
        state = self.memory.state()
        return state, pressure(state)

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
        self._drop_leaving()
        self._models.expire(self._models_in_use)
        self._turn = self._take_turns()
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
        if attempt is None:
            return
        leaves = attempt.is_over or (attempt.suspending and attempt.is_denoising)
        if leaves or self._inbox.stopping:
            raise Interrupted

    def _begin(self, attempt: Attempt) -> None:
        if not attempt.plan.inputs.any:
            return self._register.queue(attempt)
        self._register.opening.append(attempt)
        return self._inputs.open(attempt)

    def _opened(self, attempt: Attempt, inputs: Inputs | WorkerError) -> None:
        """What became of the pictures of an attempt, which waits its turn from here on."""
        if attempt.outcome is not None:
            return
        if isinstance(inputs, WorkerError):
            self._endings.fail(attempt, inputs, Phase.PREPARE)
        else:
            attempt.plan = replace(attempt.plan, inputs=inputs)
            self._register.queue(attempt)

    def _drop_leaving(self) -> None:
        for attempt in [*self._register.opening, *self._register.waiting, *self._register.running]:
            if attempt.cancelled:
                self._endings.end(attempt, Cancelled())
            elif attempt.suspending and (attempt.is_denoising or not attempt.images):
                self._endings.suspend(attempt)

    def _models_in_use(self) -> frozenset[ModelSpec]:
        """Models that attempts hold. What those in the queue will need may leave: the first of them goes first."""
        return frozenset(attempt.plan.model for attempt in self._register.all() if attempt.loaded is not None)

    def _place(self, spec: ModelSpec) -> None:
        """Has the runners of a model follow the memory plans of its attempts."""
        sharing = [each for each in self._register.running if each.loaded is not None and each.plan.model == spec]
        for runner in {id(each.runner): each.runner for each in sharing}.values():
            runner.place([each.plan.memory for each in sharing])

    def _take_turns(self) -> dict[ModelSpec, Phase]:
        """The phase each model works in this round, of those whose phases do not fit on the device together."""
        begun = [each for each in self._register.running if each.loaded is not None and each.images]
        swapping = {attempt.plan.model for attempt in begun if attempt.runner.swaps_phases}
        turns = {}
        for spec in swapping:
            attempts = [attempt for attempt in begun if attempt.plan.model == spec]
            work = {
                Phase.ENCODE: any(attempt.plan.model == spec for attempt in self._register.waiting),
                Phase.DENOISE: any(attempt.is_denoising for attempt in attempts),
                Phase.DECODE: any(attempt.is_decoding for attempt in attempts),
            }
            turns[spec] = self._turns.take(spec, work)
        return turns

    def _has_turn(self, attempt: Attempt, phase: Phase) -> bool:
        return self._turn.get(attempt.plan.model, phase) is phase

    def _admit(self) -> bool:
        taken = self._register.take_up(_ADMITTED_PER_ROUND, self._may_begin)
        # All of a burst are encoded before the first is prepared: where phases take turns, each is brought in once.
        encoded = []
        for attempt in taken:
            if not self._may_begin(attempt):
                # One taken up before it has turned out to have no room.
                self._register.put_back(attempt)
            elif self._get_through(attempt, self._encode):
                encoded.append(attempt)
        for attempt in encoded:
            self._get_through(attempt, lambda each: prepare(each, lambda phase: self._enter(each, phase)))
        return bool(taken)

    def _may_begin(self, attempt: Attempt) -> bool:
        """Whether a waiting attempt is taken up. Behind one whose model has no room yet nobody is, or the models in use would stay
        in use; it is tried again when an attempt has ended."""
        ahead = self._without_room
        if ahead is not None and not ahead[0].is_over:
            is_it, is_before = attempt is ahead[0], attempt.rank < ahead[0].rank
            if (is_it and self._ended == ahead[1]) or (not is_it and not is_before):
                return False
        return self._has_turn(attempt, Phase.ENCODE)

    def _note_end(self, spec: ModelSpec) -> None:
        self._ended += 1
        self._models.release(spec)

    def _get_through(self, attempt: Attempt, work: Callable[[Attempt], None]) -> bool:
        """Does something for one attempt, which alone bears what it raises. False: it came to nothing."""
        try:
            with log_context.concerning(attempt.id):
                work(attempt)
        except Interrupted:
            return False
        except NoRoomYet as error:
            log.info("waits for room on the device", extra={"attempt": attempt.id, "why": error.message})
            self._without_room = (attempt, self._ended)
            self._register.put_back(attempt)
            return False
        except Exception as error:  # noqa: BLE001  ends as data
            self._endings.fail(attempt, error)
            return False
        return True

    def _hear(self, attempt: Attempt, told: Callable[[], None]) -> None:
        """Takes in what became of a file; a defect in that ends one attempt, not the worker."""
        try:
            told()
        except Exception as error:  # noqa: BLE001  ends as data
            self._endings.fail(attempt, error)

    def _encode(self, attempt: Attempt) -> None:
        spec = attempt.plan.model
        encode(
            attempt,
            self._models,
            self._models_in_use,
            place=lambda: self._place(spec),
            enter=lambda phase: self._enter(attempt, phase),
        )

    def _enter(self, attempt: Attempt, phase: Phase) -> None:
        self._beat(attempt)
        self._phase = phase
        attempt.enter(phase)
        if phase is not Phase.DENOISE:
            self._faults.at(phase, attempt.step, len(attempt.images))

    def _tick(self) -> bool:
        if any(attempt.is_denoising for attempt in self._register.running):
            self._phase = Phase.DENOISE
        return self._ticker.tick([each for each in self._register.running if self._has_turn(each, Phase.DENOISE)])

    def _decode_one(self) -> bool:
        """Decodes the image that has waited longest, so that running requests keep their pace."""
        for attempt in self._register.running:
            if not attempt.is_decoding or not self._has_turn(attempt, Phase.DECODE):
                continue
            self._get_through(attempt, self._decode)
            return True
        return False

    def _decode(self, attempt: Attempt) -> None:
        image = next(image for image in attempt.images if not image.decoded)
        self._enter(attempt, Phase.DECODE)
        finished = attempt.runner.finish(attempt.plan, image.state)
        image.decoded = True
        attempt.decoded_in_float32 |= finished.decoded_in_float32
        last = all(each.decoded for each in attempt.images)
        if last:
            self._enter(attempt, Phase.VALIDATE)
        self._delivery.deliver(attempt, image, finished.output, last)

    def _give_back(self) -> None:
        """What the image pool holds is finished; everything else goes back unharmed, with a checkpoint of where it is."""
        self._endings.give_back([each for each in self._register.running if each.is_denoising])
        self._delivery.stop()
        self._inputs.stop()
        for command in self._inbox.take():
            command()
        self._endings.give_back(self._register.all())

"""The engine: one thread that owns the device and drives runners.

The loop goes round as long as the process lives: commands, admissions, one tick for the most deserving group, at most one
decode. Everything else - the RPCs, the encoding of files - happens on other threads and reaches it through the inbox.
State is committed only after a successful step, so whatever a tick raises, no image is worse off than before it.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from safelight_worker.engine.attempt import Attempt, Image
from safelight_worker.engine.events import Artifact, Cancelled, Effective, Failed, Preview, Sink, Succeeded
from safelight_worker.engine.models import LoadedRunner, ModelStore
from safelight_worker.engine.saving import encode_preview, save, validate
from safelight_worker.engine.selection import Candidate, next_batch
from safelight_worker.memory.out_of_memory import is_fatal, is_out_of_memory
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.runners.runner import Picture
from safelight_worker.types import FailureKind, ModelSpec, Phase, Plan, WorkerError

log = logging.getLogger(__name__)

#: The loop goes round at least this often when idle, in seconds, so that its age tells whether it lives.
_IDLE_SECONDS = 0.5

#: Attempts admitted per round: a burst joins within a few ticks without holding up those already running.
_ADMITTED_PER_ROUND = 4

#: sysexits' EX_SOFTWARE: the orchestrator takes it for a lost device.
EXIT_DEVICE_FATAL = 70


class _Stop(Exception):
    """Breaks off a long tick whose attempt is cancelled; never leaves the engine."""


class Engine:
    """Runs plans. ``submit``, ``cancel``, ``set_previews``, ``load`` and the properties may be used from any thread."""

    def __init__(self, device: torch.device, models: ModelStore, threads: int = 0) -> None:
        self._device = device
        self._models = models
        self._threads = threads
        self.memory = MemoryProbe(device)
        self._inbox: list[Callable[[], None]] = []
        self._wake = threading.Condition()
        self._waiting: list[Attempt] = []
        self._running: dict[str, Attempt] = {}
        self._attempts: dict[str, Attempt] = {}
        self._last_ticked: dict[Hashable, int] = {}
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="images")
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._stopping = False
        self._order = 0
        self.loop_count = 0
        self._round_began = time.monotonic()
        self.phase: Phase | None = None

    # ---------------------------------------------------------------- any thread

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Gives all attempts back as ``worker_stopping`` and ends the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout)
        self._pool.shutdown(wait=True)

    def submit(self, plan: Plan, sink: Sink) -> None:
        """Takes an attempt. ``sink`` is called on the engine thread and on the image pool; it must not block."""
        with self._wake:
            self._order += 1
            attempt = Attempt(plan, sink, self.memory, self._order, preview_interval_ms=plan.preview_interval_ms)
            self._attempts[plan.attempt_id] = attempt
            self._inbox.append(lambda: self._take(attempt))
            self._wake.notify()

    def cancel(self, attempt_id: str) -> bool:
        """Asks an attempt to stop at the next tick. False: there is none of that id."""
        with self._wake:
            attempt = self._attempts.get(attempt_id)
            if attempt is None:
                return False
            attempt.cancelled = True
            self._wake.notify()
            return True

    def set_previews(self, attempt_id: str, interval_ms: int) -> bool:
        """Sets the milliseconds between preview frames, 0 for none. False: there is no attempt of that id."""
        with self._wake:
            attempt = self._attempts.get(attempt_id)
            if attempt is None:
                return False
            attempt.preview_interval_ms = interval_ms
            return True

    def load(self, spec: ModelSpec) -> Future[LoadedRunner]:
        """Loads and warms up a model, once."""
        future: Future[LoadedRunner] = Future()

        def carry_out() -> None:
            try:
                future.set_result(self._load(spec))
            except Exception as error:
                future.set_exception(error)

        with self._wake:
            self._inbox.append(carry_out)
            self._wake.notify()
        return future

    @property
    def loop_age(self) -> float:
        """Seconds since the loop last went round."""
        return time.monotonic() - self._round_began

    @property
    def attempt_ids(self) -> list[str]:
        with self._wake:
            return list(self._attempts)

    @property
    def model_ids(self) -> list[str]:
        return self._models.ids

    # ---------------------------------------------------------------- engine thread

    def _run(self) -> None:
        torch.set_grad_enabled(False)
        if self._threads > 0:
            torch.set_num_threads(self._threads)
        while True:
            self.loop_count += 1
            self._round_began = time.monotonic()
            with self._wake:
                if not (self._inbox or self._waiting or self._running or self._stopping):
                    self.phase = None
                    self._wake.wait(_IDLE_SECONDS)
                commands, self._inbox = self._inbox, []
                stopping = self._stopping
            for command in commands:
                command()
            if stopping:
                self._give_back()
                return
            self._drop_cancelled()
            self._admit()
            self._tick()
            self._decode_one()

    def _take(self, attempt: Attempt) -> None:
        self._waiting.append(attempt)
        self._waiting.sort(key=lambda each: (each.plan.priority, each.order))

    def _give_back(self) -> None:
        for attempt in list(self._attempts.values()):
            self._end(attempt, Failed(FailureKind.WORKER_STOPPING, attempt.phase, attempt.step, "the worker stops"))

    def _drop_cancelled(self) -> None:
        for attempt in [each for each in (*self._waiting, *self._running.values()) if each.cancelled]:
            self._end(attempt, Cancelled())

    def _admit(self) -> None:
        for attempt in self._waiting[:_ADMITTED_PER_ROUND]:
            self._waiting.remove(attempt)
            self._running[attempt.plan.attempt_id] = attempt
            try:
                with torch.inference_mode():
                    self._prepare(attempt)
            except Exception as error:
                self._fail(attempt, error)

    def _prepare(self, attempt: Attempt) -> None:
        plan = attempt.plan
        if plan.model.id not in self._models.ids:
            self._enter(attempt, Phase.LOAD)
        runner = self._load(plan.model).runner
        runner.check(plan)
        attempt.runner = runner
        self._enter(attempt, Phase.ENCODE)
        attempt.conditions = runner.encode(plan)
        self._enter(attempt, Phase.PREPARE)
        attempt.images = [Image(i, seed, runner.prepare(plan, attempt.conditions, seed)) for i, seed in enumerate(plan.seeds)]
        self._enter(attempt, Phase.DENOISE)

    def _load(self, spec: ModelSpec) -> LoadedRunner:
        self.phase = Phase.LOAD
        return self._models.get(spec)

    def _enter(self, attempt: Attempt, phase: Phase) -> None:
        self.phase = phase
        attempt.enter(phase)

    def _tick(self) -> None:
        batch = next_batch(self._candidates(), self._last_ticked)
        if not batch:
            return
        self._last_ticked[batch[0].key] = self.loop_count
        self.phase = Phase.DENOISE
        self._step([candidate.item for candidate in batch])

    def _candidates(self) -> list[Candidate[tuple[Attempt, Image]]]:
        found = []
        for attempt in self._running.values():
            for image in attempt.images:
                state, runner, plan = image.state, attempt.runner, attempt.plan
                if state is None or runner is None or state.step >= state.steps:
                    continue
                cap = 1 if plan.solo else runner.row_cap(plan)
                key = (id(image),) if plan.solo else runner.key(plan, state)
                bounded = min(cap, plan.max_images) if plan.max_images else cap
                found.append(Candidate((attempt, image), key, plan.priority, attempt.order, bounded))
        return found

    def _step(self, members: list[tuple[Attempt, Image]]) -> None:
        """One step for these images. When it fails, halves: memory may suffice for fewer, and the guilty is found."""
        states = [image.state for _, image in members if image.state is not None]
        before = [state.step for state in states]
        runner = members[0][0].runner
        assert runner is not None
        error: BaseException | None = None
        try:
            with torch.inference_mode():
                runner.tick(states, lambda step, steps: self._on_progress(members, step, steps))
        except _Stop:
            return
        except Exception as raised:
            error = raised
        for attempt in {id(attempt): attempt for attempt, _ in members}.values():
            attempt.tell_step(len(members))
            self._preview(attempt)
        if error is None:
            return
        left = [member for member, was, state in zip(members, before, states, strict=True) if state.step == was]
        if len(left) == 1:
            self._fail(left[0][0], error)
            return
        log.warning("a tick failed and is taken apart", extra={"images": len(left), "why": str(error)})
        self._free(error)
        del error
        middle = (len(left) + 1) // 2
        for part in (left[:middle], left[middle:]):
            alive = [member for member in part if not member[0].ended]
            if alive:
                self._step(alive)

    def _on_progress(self, members: list[tuple[Attempt, Image]], step: int, steps: int) -> None:
        """From inside a long tick: keeps the loop's age young, tells steps, and breaks the call off on a cancel."""
        self.loop_count += 1
        self._round_began = time.monotonic()
        for attempt, image in members:
            if attempt.cancelled or self._stopping:
                raise _Stop
            if image.state is not None:
                attempt.tell_inner_step(step, steps)

    def _preview(self, attempt: Attempt) -> None:
        interval, now = attempt.preview_interval_ms, time.monotonic()
        if not interval or attempt.ended or (now - attempt.previewed_at) * 1000 < interval:
            return
        state = attempt.images[0].state if attempt.images else None
        picture = attempt.runner.preview(state) if attempt.runner and state is not None and state.step < state.steps else None
        if picture is not None:
            attempt.previewed_at = now
            step = attempt.step
            self._pool.submit(lambda: attempt.tell(Preview(step, encode_preview(picture))))

    def _decode_one(self) -> None:
        """Decodes the image that has waited longest, so that running requests keep their pace."""
        for attempt in self._running.values():
            if attempt.ended or not attempt.images:
                continue
            if any(image.state is not None and image.state.step < image.state.steps for image in attempt.images):
                continue
            image = next((image for image in attempt.images if image.state is not None), None)
            if image is not None:
                try:
                    self._decode(attempt, image)
                except Exception as error:
                    self._fail(attempt, error)
                return

    def _decode(self, attempt: Attempt, image: Image) -> None:
        assert attempt.runner is not None and image.state is not None
        self._enter(attempt, Phase.DECODE)
        with torch.inference_mode():
            picture = attempt.runner.finish(attempt.plan, image.state)
        image.state = None
        last = all(each.state is None for each in attempt.images)
        if last:
            attempt.enter(Phase.VALIDATE)
        self._pool.submit(self._save, attempt, image, picture, last)

    def _save(self, attempt: Attempt, image: Image, picture: Picture, last: bool) -> None:
        """On the image pool."""
        plan = attempt.plan
        try:
            if attempt.cancelled:
                return
            validate(picture)
            if last:
                attempt.enter(Phase.SAVE)
            outcome: Artifact | BaseException = save(
                picture,
                index=image.index,
                seed=image.seed,
                folder=plan.staging_dir,
                output_format=plan.output_format,
                quality=plan.quality,
                metadata={**plan.metadata, "safelight": self._provenance(plan, image.seed)},
            )
        except Exception as error:
            outcome = error
        with self._wake:
            self._inbox.append(lambda: self._saved(attempt, image, outcome))
            self._wake.notify()

    def _provenance(self, plan: Plan, seed: int) -> str:
        """What made a picture, for the file itself."""
        loaded = self._models.get(plan.model)
        facts = {"model": plan.model.id, "weights_sha256": loaded.model.weights_sha256, "seed": seed}
        facts |= {"num_inference_steps": plan.num_inference_steps, "guidance_scale": plan.guidance_scale}
        return json.dumps(facts | {"scheduler": plan.scheduler})

    def _saved(self, attempt: Attempt, image: Image, outcome: Artifact | BaseException) -> None:
        """Back on the engine thread with what became of a picture."""
        if attempt.ended:
            return
        if isinstance(outcome, BaseException):
            self._fail(attempt, outcome)
            return
        image.artifact = outcome
        artifacts = [each.artifact for each in attempt.images]
        if all(artifact is not None for artifact in artifacts):
            effective = self._effective(attempt)
            attempt.close_phase()
            self._end(attempt, Succeeded(tuple(a for a in artifacts if a), tuple(attempt.timings), effective))

    def _effective(self, attempt: Attempt) -> Effective:
        plan = attempt.plan
        loaded = self._models.get(plan.model)
        choice = loaded.scheduler_choice(plan)
        return Effective(
            num_inference_steps=plan.num_inference_steps,
            guidance_scale=plan.guidance_scale,
            width=plan.width,
            height=plan.height,
            scheduler=choice.class_name if choice else "",
            scheduler_options=choice.options if choice else {},
            dtype=loaded.model.dtype_name,
            device=str(self._device),
            max_batch_images=attempt.max_batch_images,
            weights_sha256=loaded.model.weights_sha256,
            pipeline_class=loaded.model.pipeline_class,
            runner=loaded.runner.kind,
        )

    def _end(self, attempt: Attempt, event: Succeeded | Failed | Cancelled) -> None:
        """The one way out: nothing of the attempt stays here."""
        attempt.tell(event)
        if attempt in self._waiting:
            self._waiting.remove(attempt)
        self._running.pop(attempt.plan.attempt_id, None)
        with self._wake:
            if self._attempts.get(attempt.plan.attempt_id) is attempt:
                del self._attempts[attempt.plan.attempt_id]

    def _fail(self, attempt: Attempt, error: BaseException) -> None:
        """Ends an attempt with what an exception says, as data."""
        phase, step = attempt.phase, attempt.step
        detail = "".join(traceback.format_exception(error))[-8000:]
        if isinstance(error, WorkerError):
            failed = Failed(error.kind, phase, step, error.message, "", error.field)
        elif is_out_of_memory(error):
            free = self.memory.state().free
            failed = Failed(FailureKind.DEVICE_OUT_OF_MEMORY, phase, step, str(error).splitlines()[0], detail, free_bytes=free)
        elif is_fatal(error):
            failed = Failed(FailureKind.DEVICE_FATAL, phase, step, str(error).splitlines()[0], detail)
        else:
            failed = Failed(FailureKind.INTERNAL, phase, step, f"{type(error).__name__}: {error}", detail)
            log.error("attempt failed", extra={"attempt": attempt.plan.attempt_id, "traceback": detail})
        self._end(attempt, failed)
        self._free(error)
        if failed.kind is FailureKind.DEVICE_FATAL:
            self._die(attempt)

    def _free(self, error: BaseException) -> None:
        """Frames of an exception hold the tensors that did not fit (PyTorch FAQ, "out of memory")."""
        traceback.clear_frames(error.__traceback__)
        if is_out_of_memory(error):
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _die(self, attempt: Attempt) -> None:
        """The context is gone for every attempt; only a new process helps. The event gets a moment to leave."""
        log.critical("the device is lost; the worker ends", extra={"attempt": attempt.plan.attempt_id})
        time.sleep(0.2)
        os._exit(EXIT_DEVICE_FATAL)

"""From outputs and checkpoints to files: the image pool, off the engine thread."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from weakref import WeakKeyDictionary

from safelight_worker.engine.attempt import Attempt, Image
from safelight_worker.engine.events import Artifact, Checkpointed, Preview
from safelight_worker.engine.saving import encode_preview, save, validate
from safelight_worker.log_context import concerned
from safelight_worker.runners.attempt_record import AttemptRecord
from safelight_worker.runners.outputs import Output, Picture
from safelight_worker.types import Phase, Plan

log = logging.getLogger(__name__)

#: Name of an attempt's checkpoint in its staging folder.
CHECKPOINT_FILE = "checkpoint.safetensors"


class DeliveryFailed(Exception):  # noqa: N818  carries the error
    """What an output failed of, and in which phase of its own; the attempt's may be another when it has several images."""

    def __init__(self, phase: Phase, cause: Exception) -> None:
        super().__init__(str(cause))
        self.phase = phase
        self.cause = cause


class Delivery:
    """``done(attempt, image, outcome)`` is called once for every output, on a thread of the pool, when nothing will be written
    for it any more; the outcome is None when the attempt was over before the file was begun. ``marked(attempt, checkpoint)``
    is the same for checkpoints; None: it could not be written."""

    def __init__(
        self,
        done: Callable[[Attempt, Image, tuple[Artifact, ...] | DeliveryFailed | None], None],
        marked: Callable[[Attempt, Checkpointed | None], None],
        workers: int = 2,
    ) -> None:
        self._done = done
        self._marked = marked
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="images")
        self._writing: WeakKeyDictionary[Attempt, Future[None]] = WeakKeyDictionary()

    def deliver(self, attempt: Attempt, image: Image, output: Output, last: bool) -> None:
        """Validates and saves an output. ``last`` moves the attempt on to its SAVE phase."""
        attempt.saving += 1
        weights = attempt.loaded.model.weights_sha256 if attempt.loaded else ""
        metadata = {**attempt.plan.metadata, "safelight": _provenance(attempt.plan, image.seed, weights)}
        self._pool.submit(concerned(attempt.id, self._deliver), attempt, image, output, last, metadata)

    def checkpoint(self, attempt: Attempt, record: AttemptRecord) -> None:
        """Writes a checkpoint once the one before it is written: they are one file, and the last must stay.

        Raises:
            RuntimeError: the pool has stopped.
        """
        write = concerned(attempt.id, self._checkpoint)
        self._writing[attempt] = self._pool.submit(write, attempt, record, self._writing.get(attempt))
        attempt.saving += 1
        attempt.checkpointing = True

    def preview(self, attempt: Attempt) -> None:
        """Sends a frame of the first image when one is due."""
        interval, now = attempt.preview_interval_ms, time.monotonic()
        if not interval or attempt.is_over or (now - attempt.previewed_at) * 1000 < interval:
            return
        if not attempt.images[0].is_denoising:
            return
        try:
            picture = attempt.runner.preview(attempt.images[0].state)
        except Exception:
            # A throw-away frame is not worth a picture.
            log.exception("previews fail and are turned off", extra={"attempt": attempt.id})
            attempt.preview_interval_ms = 0
            return
        if picture is not None:
            attempt.previewed_at = now
            self._pool.submit(_send_preview, attempt, max(attempt.step, attempt.reported_step), picture)

    def stop(self) -> None:
        """Waits for what the pool holds; takes nothing more."""
        self._pool.shutdown(wait=True)

    def _checkpoint(self, attempt: Attempt, record: AttemptRecord, before: Future[None] | None) -> None:
        if before is not None:
            # Bounded: the pool begins its work in order, so the one before is going on or done.
            wait([before])
        written: Checkpointed | None = None
        try:
            size = record.write(attempt.plan.staging_dir / CHECKPOINT_FILE)
            written = Checkpointed(CHECKPOINT_FILE, record.step, size)
        except OSError as error:
            # A mark is a saving of work, never worth the work itself.
            log.warning("a checkpoint cannot be written", extra={"attempt": attempt.id, "why": str(error)})
        except Exception:
            log.exception("a checkpoint cannot be written", extra={"attempt": attempt.id})
        self._marked(attempt, written)

    def _deliver(self, attempt: Attempt, image: Image, output: Output, last: bool, metadata: dict[str, str]) -> None:
        plan, phase = attempt.plan, Phase.VALIDATE
        outcome: tuple[Artifact, ...] | DeliveryFailed | None = None
        try:
            if not attempt.is_over:
                validate(output)
            if not attempt.is_over:
                phase = Phase.SAVE
                if last:
                    attempt.enter(phase)
                outcome = save(
                    output,
                    index=image.index,
                    seed=image.seed,
                    folder=plan.staging_dir,
                    output_format=plan.output_format,
                    quality=plan.quality,
                    metadata=metadata,
                )
        except Exception as error:  # noqa: BLE001  ends as data
            outcome = DeliveryFailed(phase, error)
        self._done(attempt, image, outcome)


def remove_files(attempt: Attempt) -> None:
    """Takes back what was written for an attempt that did not succeed."""
    for index in range(len(attempt.plan.seeds)):
        for file in attempt.plan.staging_dir.glob(f"{index}.*"):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                log.warning("a file stays", extra={"attempt": attempt.id, "file": str(file), "why": str(error)})


def remove_checkpoint(attempt: Attempt) -> None:
    """Takes back the checkpoint of an attempt that nobody will go on with."""
    file = attempt.plan.staging_dir / CHECKPOINT_FILE
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("a checkpoint stays", extra={"attempt": attempt.id, "file": str(file), "why": str(error)})


def _send_preview(attempt: Attempt, step: int, picture: Picture) -> None:
    try:
        attempt.tell(Preview(step, encode_preview(picture)))
    except (OSError, ValueError):
        log.exception("a preview cannot be encoded", extra={"attempt": attempt.id})


def _provenance(plan: Plan, seed: int, weights_sha256: str) -> str:
    """What made a picture, for the file itself."""
    return json.dumps(
        {
            "model": plan.model.id,
            "weights_sha256": weights_sha256,
            "seed": seed,
            "num_inference_steps": plan.num_inference_steps,
            "guidance_scale": plan.guidance_scale,
            "scheduler": plan.scheduler,
        }
    )

"""From the pictures a plan names to pixels, before the engine thread takes the attempt up: it opens no file that a client sent."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from safelight_worker.engine.attempt import Attempt
from safelight_worker.engine.failures import to_worker_error
from safelight_worker.engine.input_process import InputProcess, MaskTransparency
from safelight_worker.types import Inputs, Pixels, Plan, WorkerError


class InputPictures:
    """One thread, one process behind it: pictures are decoded one after the other, so that all of them together take no more than
    the bounds of one. ``open`` and ``stop`` belong to the engine thread; ``opened(attempt, inputs)`` is called on that of the
    pictures, once for each attempt that is not over by then."""

    def __init__(self, opened: Callable[[Attempt, Inputs | WorkerError], None]) -> None:
        self._opened = opened
        self._process = InputProcess()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inputs")
        self._stopped = False

    def open(self, attempt: Attempt) -> None:
        """Decodes the pictures of an attempt, in time; after ``stop`` not at all."""
        if not self._stopped:
            self._pool.submit(self._open, attempt)

    def stop(self) -> None:
        """Ends what is going on. Safe to call twice."""
        self._stopped = True
        self._process.stop()
        self._pool.shutdown(cancel_futures=True)

    def _open(self, attempt: Attempt) -> None:
        if attempt.is_over:
            return
        try:
            self._opened(attempt, self._pixels(attempt.plan))
        except Exception as error:  # noqa: BLE001  ends as data
            self._opened(attempt, to_worker_error(error))

    def _pixels(self, plan: Plan) -> Inputs:
        inputs, size = plan.inputs, (plan.width, plan.height)
        adapter = inputs.ip_adapter
        transparency: MaskTransparency = "painted" if inputs.mask_transparency_painted else "kept"
        return replace(
            inputs,
            init_image=inputs.init_image and self._decoded(inputs.init_image, "init_image", *size),
            mask_image=inputs.mask_image and self._decoded(inputs.mask_image, "mask_image", *size, mask=transparency),
            controls=tuple(
                replace(control, image=self._decoded(control.image, f"controls[{number}].image", *size))
                for number, control in enumerate(inputs.controls)
            ),
            # Its encoder looks at all of it, in a size of its own.
            ip_adapter=adapter and replace(adapter, image=self._decoded(adapter.image, "ip_adapter.image", 0, 0)),
        )

    def _decoded(
        self, source: Path | Pixels, field: str, width: int, height: int, *, mask: MaskTransparency | None = None
    ) -> Pixels:
        if isinstance(source, Pixels):
            return source
        return self._process.decode(source, field, width, height, mask=mask)

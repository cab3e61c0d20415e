"""Owns the process that decodes the pictures requests bring, and tells how it ended when it did."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from safelight_worker.types import FailureKind, Pixels, WorkerError

log = logging.getLogger(__name__)

#: Address space of the process. The largest picture there may be, 64 megapixels with transparency, takes half of it.
_MEMORY_BYTES = 2 << 30

#: Seconds of computing for one picture; the largest take four. A JPEG of a few megabytes can ask for hours: each of its scans
#: goes over all of the picture again.
_CPU_SECONDS = 20

#: Seconds a picture may take by the clock, for a machine that has no computing to give and a file system that does not answer.
_PATIENCE_SECONDS = 120.0

#: Seconds the end of a process that is ending may take.
_FAREWELL_SECONDS = 5.0

#: What the transparency of a mask means.
MaskTransparency = Literal["kept", "painted"]

_MODULE = "safelight_worker.pipelines.input_decoder"

#: What the process is told of its surroundings: no tokens, no addresses.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT", "TMPDIR")

#: Who ends a process with these means the process, not its picture.
_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class InputProcess:
    """Started with the first picture, kept for the next, replaced when it has ended. ``decode`` belongs to one thread; ``stop`` may
    be called from any, and ends a picture that is being decoded."""

    def __init__(self, memory_bytes: int = _MEMORY_BYTES, cpu_seconds: int = _CPU_SECONDS) -> None:
        self._bounds = (str(memory_bytes), str(cpu_seconds))
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def decode(
        self, path: Path, field: str, width: int, height: int, *, mask: MaskTransparency | None = None
    ) -> Pixels:
        """The picture in ``path`` in RGB, or the mask in L, of this size; 0 and 0: of its own, or smaller.

        Raises:
            WorkerError: ``invalid_request`` naming ``field`` for what is no picture, damaged, or more than the bounds of the
                process allow; ``internal`` when there is no file or no process; ``worker_stopping``.
        """
        asked = {"path": str(path), "field": field, "width": width, "height": height, "mask": mask}
        process = self._running()
        watch = threading.Timer(_PATIENCE_SECONDS, process.kill)
        watch.daemon = True
        watch.start()
        try:
            told = _ask(process, asked)
        finally:
            watch.cancel()
        if isinstance(told, Pixels):
            return told
        if told is None:
            raise self._ended(process, field)
        raise WorkerError(FailureKind(told["kind"]), told["message"], field)

    def stop(self) -> None:
        """Ends the process. Safe to call twice."""
        with self._lock:
            self._stopped = True
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            _end(process)

    def _running(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise WorkerError(FailureKind.WORKER_STOPPING, "the worker stops")
            if self._process is not None and self._process.poll() is None:
                return self._process
            if self._process is not None:
                _end(self._process)
            self._process = _start(self._bounds)
            return self._process

    def _ended(self, process: subprocess.Popen[bytes], field: str) -> WorkerError:
        code = _end(process)
        if self._stopped:
            return WorkerError(FailureKind.WORKER_STOPPING, "the worker stops")
        log.warning("the decoder of input pictures has ended", extra={"code": code, "field": field})
        if code == -signal.SIGXCPU:
            message = f"{field}: the picture takes too long to decode"
            return WorkerError(FailureKind.INVALID_REQUEST, message, field)
        if code < 0 and -code not in _BY_OTHERS:
            message = f"{field}: the picture brings its decoder down ({signal.Signals(-code).name})"
            return WorkerError(FailureKind.INVALID_REQUEST, message, field)
        return WorkerError(FailureKind.INTERNAL, f"the decoder of pictures ended with {code}", field)


def _start(bounds: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # Libraries reserve address space for each thread they might use; it needs none.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    try:
        return subprocess.Popen(  # noqa: S603  nothing of a request is among the arguments
            [sys.executable, "-W", "ignore", "-m", _MODULE, *bounds],
            cwd=Path(__file__).parents[2],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    except OSError as error:
        message = f"the decoder of pictures cannot be started: {error.strerror}"
        raise WorkerError(FailureKind.INTERNAL, message) from error


def _ask(process: subprocess.Popen[bytes], asked: dict[str, Any]) -> Pixels | dict[str, Any] | None:
    """The picture, or the failure as it was told; None: the process has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line.endswith(b"\n"):
            return None
        told: dict[str, Any] = json.loads(line)
        if "bytes" not in told:
            return told
        data = process.stdout.read(told["bytes"])
    except (OSError, ValueError):
        # Its end of a pipe is closed, or ours, by whoever stops it.
        return None
    if len(data) < told["bytes"]:
        return None
    return Pixels(told["mode"], told["width"], told["height"], data)


def _end(process: subprocess.Popen[bytes]) -> int:
    """Its exit code, negative for a signal. One that has ended by itself keeps its own."""
    try:
        # An end of which only its pipes tell so far.
        return process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(_FAREWELL_SECONDS)
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                # What was still to be written has nobody to read it.
                with suppress(OSError):
                    pipe.close()

"""What an exception says, as data; and the memory it holds, given back."""

from __future__ import annotations

import gc
import re
import traceback

import torch

from safelight_worker.engine.events import Failed
from safelight_worker.memory.out_of_memory import is_fatal, is_out_of_memory
from safelight_worker.types import FailureKind, Phase, WorkerError

#: sysexits' EX_SOFTWARE: the orchestrator takes it for a lost device.
EXIT_DEVICE_FATAL = 70

#: Characters of a traceback that are kept: the end, where the cause is.
_DETAIL = 8000

_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_REQUESTED = re.compile(r"[Tt]ried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)")


def to_failed(error: BaseException, phase: Phase | None, step: int, free_bytes: int) -> Failed:
    """The terminal event for an exception."""
    message = next(iter(str(error).splitlines()), "") or type(error).__name__
    detail = "".join(traceback.format_exception(type(error), error, error.__traceback__))[-_DETAIL:]
    if isinstance(error, WorkerError):
        return Failed(error.kind, phase, step, error.message, "", error.field)
    if is_out_of_memory(error):
        requested = requested_bytes(str(error))
        kind = FailureKind.DEVICE_OUT_OF_MEMORY
        return Failed(kind, phase, step, message, detail, requested_bytes=requested, free_bytes=free_bytes)
    if is_fatal(error):
        return Failed(FailureKind.DEVICE_FATAL, phase, step, message, detail)
    return Failed(FailureKind.INTERNAL, phase, step, f"{type(error).__name__}: {message}", detail)


def to_worker_error(error: Exception) -> WorkerError:
    """The same, for whoever waits for a call rather than for events."""
    failed = to_failed(error, None, 0, 0)
    return WorkerError(failed.kind, failed.message, failed.field)


def requested_bytes(message: str) -> int:
    """Bytes that an out-of-memory message says were asked for; 0 when it does not say."""
    found = _REQUESTED.search(message)
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0


def release_memory(error: BaseException) -> None:
    """Frames of an exception hold the tensors that did not fit (PyTorch FAQ, "out of memory")."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    if is_out_of_memory(error):
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

"""Telling failures of memory from failures of the device from defects."""

from __future__ import annotations

import torch

_OUT_OF_MEMORY = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "can't allocate memory")
_FATAL = (
    "illegal memory access",
    "device-side assert",
    "unspecified launch failure",
    "ECC error",
    "CUDA error: misaligned",
)


def _chain(error: BaseException) -> list[BaseException]:
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        current = current.__cause__ or current.__context__
    return seen


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had no room. The process is healthy."""
    return any(
        isinstance(link, (torch.OutOfMemoryError, MemoryError))
        or (isinstance(link, RuntimeError) and any(text in str(link) for text in _OUT_OF_MEMORY))
        for link in _chain(error)
    )


def is_fatal(error: BaseException) -> bool:
    """Whether the device's context is lost, so that only a new process helps (CUDA errors 700, 710, 719, …)."""
    return any(isinstance(link, RuntimeError) and any(text in str(link) for text in _FATAL) for link in _chain(error))

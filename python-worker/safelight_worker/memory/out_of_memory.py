"""Telling failures of memory from failures of the device from defects.

Codes are those of the CUDA runtime (``cudaError_t``), which PyTorch puts into ``AcceleratorError.error_code``; older
versions and other libraries tell by words only. CUDA asks for a new process after the fatal ones, as every later call
fails, too.
"""

from __future__ import annotations

import logging

import torch

log = logging.getLogger(__name__)

_OUT_OF_MEMORY_CODE = 2

#: ECC 214; illegal address 700; launch timeout 702; assert 710; hardware stack, illegal instruction, misaligned address,
#: address space and program counter 714 … 718; launch failure 719.
_FATAL_CODES = frozenset({214, 700, 702, 710, 714, 715, 716, 717, 718, 719})

_OUT_OF_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUSPARSE_STATUS_ALLOC_FAILED",
    "can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)
_FATAL = (
    "illegal memory access",
    "device-side assert",
    "unspecified launch failure",
    "ECC error",
    "CUDA error: misaligned",
    "hardware stack error",
    "illegal instruction was encountered",
    "operation not supported on global/shared address space",
    "invalid program counter",
    "the launch timed out and was terminated",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the host for it, had no room. The process is healthy: an error that also tells of a lost
    device is not of this kind."""
    links = _chain(error)
    return any(_lacks_memory(link) for link in links) and not any(_lost_device(link) for link in links)


def is_fatal(error: BaseException) -> bool:
    """Whether the device's context is lost, so that only a new process helps."""
    return any(_lost_device(link) for link in _chain(error))


def probe_device(device: torch.device) -> bool:
    """Whether the device still computes: a tiny kernel, and its result read back, which also brings up what failed
    before and was not told yet. A device that is merely full is healthy. Waits for everything queued on the device."""
    if device.type == "cpu":
        return True
    try:
        return float(torch.ones(1, device=device).add_(1).item()) == 2.0
    except Exception as error:
        if is_out_of_memory(error):
            return True
        log.exception("the device does not compute", extra={"device": str(device)})
        return False


def _lacks_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return _code(error) == _OUT_OF_MEMORY_CODE or any(text in str(error) for text in _OUT_OF_MEMORY)


def _lost_device(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError):
        return False
    return _code(error) in _FATAL_CODES or any(text in str(error) for text in _FATAL)


def _code(error: RuntimeError) -> int | None:
    """The runtime's number; None for what is no error of an accelerator."""
    if not isinstance(error, torch.AcceleratorError):
        return None
    code = getattr(error, "error_code", None)
    return code if isinstance(code, int) else None


def _chain(error: BaseException) -> list[BaseException]:
    """The error, its cause, the cause's cause, …"""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        current = current.__cause__ or current.__context__
    return seen

"""What is known of memory, and which exceptions speak of it."""

from __future__ import annotations

import pytest
import torch

from safelight_worker.engine.failures import requested_bytes, to_failed
from safelight_worker.memory.out_of_memory import is_fatal, is_out_of_memory
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.types import FailureKind, Phase, WorkerError
from tests.support.engines import CPU


def caused_by(cause: BaseException) -> BaseException:
    try:
        try:
            raise cause
        except BaseException as error:
            raise ValueError("while decoding") from error
    except ValueError as error:
        return error


def test_the_state_of_the_cpu_is_plausible() -> None:
    state = MemoryProbe(CPU).state()
    assert 0 < state.free <= state.total
    assert 0 < state.allocated <= state.total
    assert state.peak >= state.allocated // 2


def test_a_watch_tells_the_highest_use_and_ends() -> None:
    probe = MemoryProbe(CPU)
    one, other = probe.watch(), probe.watch()
    assert probe.unwatch(one) > 0
    assert probe.unwatch(other) > 0
    with pytest.raises(ValueError, match="not in list"):
        probe.unwatch(one)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        MemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
        caused_by(torch.OutOfMemoryError("CUDA out of memory")),
    ],
    ids=repr,
)
def test_lack_of_memory_is_told(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert not is_fatal(error)
    assert to_failed(error, Phase.DECODE, 4, 77).kind is FailureKind.DEVICE_OUT_OF_MEMORY


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        caused_by(RuntimeError("CUDA error: uncorrectable ECC error encountered")),
    ],
    ids=repr,
)
def test_a_lost_device_is_told(error: BaseException) -> None:
    assert is_fatal(error)
    assert not is_out_of_memory(error)
    assert to_failed(error, None, 0, 0).kind is FailureKind.DEVICE_FATAL


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory"), KeyError("x")], ids=repr)
def test_a_defect_is_neither(error: BaseException) -> None:
    assert not is_fatal(error)
    assert not is_out_of_memory(error)
    assert to_failed(error, None, 0, 0).kind is FailureKind.INTERNAL


def test_a_known_failure_keeps_its_kind_field_and_words() -> None:
    failed = to_failed(WorkerError(FailureKind.INVALID_REQUEST, "too wide", "width"), Phase.PREPARE, 0, 0)
    assert (failed.kind, failed.message, failed.field, failed.detail) == (
        FailureKind.INVALID_REQUEST,
        "too wide",
        "width",
        "",
    )


@pytest.mark.parametrize(
    ("message", "size"),
    [
        ("Tried to allocate 2.50 GiB. GPU 0", int(2.5 * (1 << 30))),
        ("DefaultCPUAllocator: you tried to allocate 99 bytes", 99),
        ("no number", 0),
    ],
)
def test_the_bytes_asked_for_are_read_from_the_message(message: str, size: int) -> None:
    assert requested_bytes(message) == size


def test_an_exception_without_words_is_named() -> None:
    assert to_failed(MemoryError(), None, 0, 0).message == "MemoryError"


def test_a_tensor_beyond_all_memory_is_a_lack_of_memory_in_truth() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)

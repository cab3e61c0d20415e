"""Which exceptions speak of memory, which of a lost device, which of neither."""

from __future__ import annotations

import pytest
import torch

from safelight_worker.memory.out_of_memory import is_fatal, is_out_of_memory, probe_device


def accelerator_error(code: int, message: str = "CUDA error") -> torch.AcceleratorError:
    error = torch.AcceleratorError(message)
    error.error_code = code
    return error


def raised_from(error: BaseException, *links: BaseException) -> BaseException:
    """The error, caused by the first link, which is caused by the next, …"""
    current = error
    for link in links:
        current.__cause__ = link
        current = link
    return error


@pytest.mark.parametrize(
    "error",
    [
        accelerator_error(2),
        accelerator_error(999, "CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        raised_from(ValueError("decode"), KeyError("tile"), torch.OutOfMemoryError("CUDA out of memory")),
    ],
    ids=repr,
)
def test_an_allocation_that_failed_is_a_lack_of_memory(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert not is_fatal(error)


@pytest.mark.parametrize("code", [214, 700, 702, 710, 714, 715, 716, 717, 718, 719])
def test_a_fatal_code_is_a_lost_device(code: int) -> None:
    assert is_fatal(accelerator_error(code))
    assert not is_out_of_memory(accelerator_error(code))


@pytest.mark.parametrize("code", [1, 98, 209, 701, 713, 720])
def test_another_code_is_neither(code: int) -> None:
    assert not is_fatal(accelerator_error(code))
    assert not is_out_of_memory(accelerator_error(code))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: an illegal instruction was encountered",
        "CUDA error: misaligned address",
        "CUDA error: hardware stack error",
        "CUDA error: invalid program counter",
        "CUDA error: operation not supported on global/shared address space",
        "CUDA error: the launch timed out and was terminated",
        "CUDA error: uncorrectable ECC error encountered",
    ],
)
def test_a_lost_device_is_told_by_words_where_there_is_no_code(text: str) -> None:
    assert is_fatal(RuntimeError(text))
    assert not is_fatal(ValueError(text))


def test_a_device_lost_while_memory_ran_out_is_lost() -> None:
    error = raised_from(torch.OutOfMemoryError("CUDA out of memory"), accelerator_error(700))
    assert is_fatal(error)
    assert not is_out_of_memory(error)


def test_causes_that_go_in_a_circle_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert not is_fatal(one)
    assert not is_out_of_memory(one)


def test_the_processor_is_always_healthy() -> None:
    assert probe_device(torch.device("cpu"))


def test_a_device_that_gives_no_result_is_not_healthy() -> None:
    assert not probe_device(torch.device("meta"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_full_device_is_healthy() -> None:
    device = torch.device("cuda:0")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8, device=device)
    assert is_out_of_memory(caught.value)
    assert probe_device(device)

"""Floating-point operations: how many the work takes, and how many the device can do. FLOP = 2 × multiply-adds."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

#: Rows of the matrices whose product is timed: large enough to fill the device, small enough to take under a second.
_SIDE = {"cpu": 1536, "cuda": 8192}

_REPEATS = 5


def count(work: Callable[[], object]) -> int:
    """Operations of matrix products, convolutions and attention in ``work``, which is carried out once."""
    # The counter knows no fused attention of the CPU; as two matrix products it counts the same.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large product of random matrices: the most any network can reach. Zeros would run faster."""
    side = _SIDE.get(device.type, _SIDE["cpu"])
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(side, side, device=device, dtype=dtype, generator=generator) for _ in range(2))
    fastest = min(_seconds(left, right) for _ in range(1 + _REPEATS))
    return 2.0 * side**3 / fastest


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    began = time.perf_counter()
    torch.mm(left, right)
    if left.device.type == "cuda":
        torch.cuda.synchronize(left.device)
    return time.perf_counter() - began

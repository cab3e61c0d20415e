"""A device's memory, as it is and as a limit lets it seem."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from safelight_worker.memory.adapters import port_for
from safelight_worker.memory.cpu import CpuMemory
from safelight_worker.memory.port import MemoryState
from safelight_worker.memory.pressure import Pressure, Thresholds, pressure
from safelight_worker.memory.probe import MemoryProbe

CPU = torch.device("cpu")
MIB = 1 << 20

needs_resettable_peak = pytest.mark.skipif(
    sys.platform != "linux" or not Path("/proc/self/clear_refs").exists(), reason="needs a peak that can be reset"
)


def touch(size: int) -> None:
    """Allocates so many bytes, writes to each page, and lets go of them."""
    torch.ones(size, dtype=torch.uint8)


def test_the_processor_s_memory_adds_up() -> None:
    state = port_for(CPU).state()
    assert 0 < state.free <= state.total
    assert 0 < state.allocated <= state.peak
    assert state.reserved == state.allocated
    assert state.available <= state.free


@needs_resettable_peak
def test_a_peak_is_seen_and_forgotten_after_a_reset() -> None:
    port = port_for(CPU)
    port.empty_cache()
    port.reset_peak()
    before = port.peak()
    touch(64 * MIB)
    assert 60 * MIB < port.peak() - before < 80 * MIB
    port.reset_peak()
    assert port.peak() - before < 16 * MIB


@needs_resettable_peak
def test_each_phase_has_its_own_peak() -> None:
    probe = MemoryProbe(CPU)
    outer = probe.watch()
    large = probe.watch()
    touch(96 * MIB)
    of_large = probe.unwatch(large)
    small = probe.watch()
    of_small = probe.unwatch(small)
    assert of_large - of_small > 80 * MIB
    assert probe.unwatch(outer) == of_large
    assert probe.state().peak >= of_large


def test_where_the_system_keeps_no_peak_it_is_that_of_the_whole_process(tmp_path: Path) -> None:
    port = CpuMemory(proc=tmp_path)
    port.reset_peak()
    touch(32 * MIB)
    high = port.peak()
    port.reset_peak()
    assert port.peak() >= high > 32 * MIB


def test_a_container_s_limit_is_the_total_and_page_cache_is_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{512 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{500 * MIB}\n")
    assert CpuMemory(cgroup=tmp_path).state().free == 12 * MIB
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {400 * MIB}\nactive_file 9\n")
    state = CpuMemory(cgroup=tmp_path).state()
    assert (state.total, state.free) == (512 * MIB, 412 * MIB)


def test_no_limit_of_a_container_is_no_limit(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert CpuMemory(cgroup=tmp_path).state().total == CpuMemory(cgroup=tmp_path / "none").state().total


def test_a_limit_caps_total_and_free() -> None:
    allocated = port_for(CPU).state().allocated
    limit = allocated + 200 * MIB
    state = port_for(CPU, limit).state()
    assert state.total == limit
    assert 0 < state.free <= limit - state.allocated
    assert state.available == state.free
    assert MemoryProbe(CPU, limit).state().total == limit
    assert MemoryProbe(CPU, limit).room()[1] <= limit


def test_a_limit_below_what_is_held_leaves_nothing_and_never_less() -> None:
    state = port_for(CPU, 1).state()
    assert (state.total, state.free, state.available) == (1, 0, 0)


def test_a_limit_above_the_machine_changes_nothing() -> None:
    assert port_for(CPU, 1 << 60).state().total == port_for(CPU).state().total


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="limit_bytes: -1"):
        port_for(CPU, -1)


def test_a_device_nobody_can_read_is_refused() -> None:
    with pytest.raises(ValueError, match="meta"):
        MemoryProbe(torch.device("meta"))


def test_the_allocator_s_cache_is_available_but_not_free() -> None:
    state = MemoryState(total=1000, free=100, allocated=600, reserved=850, peak=700)
    assert state.available == 350
    assert state.limited_to(800).free == 100
    assert state.limited_to(800).available == 200
    assert state.limited_to(650).free == 50


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (1000, Pressure.SAFE),
        (150, Pressure.SAFE),
        (149, Pressure.WARNING),
        (50, Pressure.WARNING),
        (49, Pressure.CRITICAL),
        (0, Pressure.CRITICAL),
    ],
)
def test_pressure_begins_below_its_threshold(available: int, expected: Pressure) -> None:
    used = 1000 - available
    assert pressure(MemoryState(1000, available, used, used, used)) is expected


def test_freed_blocks_in_the_cache_are_no_pressure() -> None:
    assert pressure(MemoryState(total=1000, free=0, allocated=500, reserved=1000, peak=1000)) is Pressure.SAFE


def test_a_device_without_memory_is_full() -> None:
    assert pressure(MemoryState(0, 0, 0, 0, 0)) is Pressure.CRITICAL


def test_thresholds_are_the_caller_s() -> None:
    state = MemoryState(1000, 400, 600, 600, 600)
    assert pressure(state, Thresholds(0.5, 0.3)) is Pressure.WARNING
    assert pressure(state, Thresholds(0.5, 0.45)) is Pressure.CRITICAL


@pytest.mark.parametrize(("warning", "critical"), [(0.05, 0.15), (1.2, 0.1), (0.1, -0.1)])
def test_thresholds_out_of_order_are_refused(warning: float, critical: float) -> None:
    with pytest.raises(ValueError, match="critical"):
        Thresholds(warning, critical)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_limit_is_kept_by_the_allocator() -> None:
    device = torch.device("cuda:0")
    port = port_for(device, 256 * MIB)
    try:
        assert port.state().total == 256 * MIB
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(512 * MIB, dtype=torch.uint8, device=device)
        port.reset_peak()
        torch.empty(64 * MIB, dtype=torch.uint8, device=device)
        assert port.peak() >= 64 * MIB
        assert port.state().available > port.state().free or port.state().reserved == port.state().allocated
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)

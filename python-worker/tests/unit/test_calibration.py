"""Footprints are measured, fitted, and kept for the next start."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
import torch

from safelight_worker.memory.adapters import port_for
from safelight_worker.memory.calibration import CalibrationFile, Sample, fit, measure_phase
from safelight_worker.memory.footprint import PhaseFootprint, predicted_bytes
from safelight_worker.memory.port import MemoryState
from safelight_worker.types import Phase

MIB = 1 << 20
SIZES = [(1, 256, 256), (1, 512, 512), (2, 512, 512)]


class Device:
    """Memory and time as a formula says. ``resets`` is whether its peak can be reset."""

    def __init__(self, fixed: int = 0, per_pixel: int = 1, resets: bool = True, full_beyond: int = 1 << 60) -> None:
        self.fixed, self.per_pixel, self.resets, self.full_beyond = fixed, per_pixel, resets, full_beyond
        self.held = 1000
        self.highest = self.held
        self.now = 0.0
        self.seconds_per_pixel = 1e-6
        self.ran: list[tuple[int, int, int]] = []

    def run(self, rows: int, width: int, height: int) -> None:
        pixels = rows * width * height
        if pixels > self.full_beyond:
            raise torch.OutOfMemoryError("out of memory")
        self.ran.append((rows, width, height))
        if len(self.ran) == 1:
            # A workspace of a library: taken at the first call, and kept.
            self.held += 5000
        self.highest = max(self.highest, self.held + self.fixed + self.per_pixel * pixels)
        self.now += self.seconds_per_pixel * pixels

    def clock(self) -> float:
        return self.now

    def state(self) -> MemoryState:
        return MemoryState(1 << 40, 1 << 39, self.held, self.held, self.highest)

    def peak(self) -> int:
        return self.highest

    def reset_peak(self) -> None:
        if self.resets:
            self.highest = self.held

    def empty_cache(self) -> None:
        pass

    def synchronize(self) -> None:
        pass


def samples_of(fixed: float, per_pixel: float, sizes: list[tuple[int, int, int]] = SIZES) -> list[Sample]:
    return [Sample(*size, int(fixed + per_pixel * size[0] * size[1] * size[2])) for size in sizes]


@pytest.mark.parametrize(("fixed", "per_pixel"), [(0, 16), (7 * MIB, 0), (3 * MIB, 260), (100, 2)])
def test_a_fit_recovers_the_coefficients(fixed: int, per_pixel: int) -> None:
    found = fit(Phase.DENOISE, samples_of(fixed, per_pixel))
    assert found.fixed_bytes == pytest.approx(fixed, abs=2)
    assert found.bytes_per_pixel == pytest.approx(per_pixel, rel=1e-6, abs=1e-6)
    assert found.measured
    assert predicted_bytes(found, 4, 512, 512) == pytest.approx(fixed + per_pixel * 4 * 512 * 512, abs=8)


def test_neither_coefficient_is_ever_negative() -> None:
    below_zero = fit(Phase.DECODE, samples_of(-MIB, 100))
    assert below_zero.fixed_bytes == 0
    assert 0 < below_zero.bytes_per_pixel < 100
    falling = [Sample(1, 10, 10, 900), Sample(1, 20, 20, 300)]
    assert fit(Phase.DECODE, falling) == PhaseFootprint(Phase.DECODE, 600, 0.0, measured=True)


def test_noise_is_averaged() -> None:
    noisy = [
        Sample(1, 100, 100, 21_000),
        Sample(1, 100, 100, 19_000),
        Sample(1, 200, 200, 81_000),
        Sample(1, 200, 200, 79_000),
    ]
    assert fit(Phase.ENCODE, noisy).bytes_per_pixel == pytest.approx(2)


def test_one_size_alone_is_put_to_the_pixels() -> None:
    assert fit(Phase.DECODE, [Sample(1, 10, 10, 500)]) == PhaseFootprint(Phase.DECODE, 0, 5.0, measured=True)


@pytest.mark.parametrize("samples", [[], [Sample(0, 8, 8, 5)]], ids=["none", "no pixels"])
def test_a_fit_of_nothing_is_refused(samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match="decode"):
        fit(Phase.DECODE, samples)


def test_a_phase_is_measured_over_what_was_held_before() -> None:
    device = Device(fixed=300, per_pixel=7)
    samples = measure_phase(device, device.run, SIZES[::-1], 60, device.clock)
    assert samples == samples_of(300, 7)
    assert device.ran == [SIZES[0], *SIZES]


def test_time_bounds_a_measurement() -> None:
    device = Device()
    samples = measure_phase(device, device.run, SIZES, 0.5, device.clock)
    assert device.now <= 0.5
    assert [sample.width for sample in samples] == [256, 512]


def test_a_size_without_room_ends_the_measurement_and_keeps_the_rest() -> None:
    device = Device(full_beyond=300 * 300)
    assert measure_phase(device, device.run, SIZES, 60, device.clock) == samples_of(0, 1, SIZES[:1])


def test_another_failure_is_the_caller_s() -> None:
    def broken(rows: int, width: int, height: int) -> None:
        raise ValueError("a defect")

    device = Device()
    with pytest.raises(ValueError, match="a defect"):
        measure_phase(device, broken, SIZES, 60, device.clock)


def test_a_run_below_a_peak_that_stays_tells_nothing() -> None:
    device = Device(resets=False)
    device.highest = 400_000
    samples = measure_phase(device, device.run, SIZES, 60, device.clock)
    assert samples == samples_of(0, 1, SIZES[2:])


@pytest.mark.skipif(
    sys.platform != "linux" or not Path("/proc/self/clear_refs").exists(), reason="needs a peak that can be reset"
)
def test_the_real_processor_is_measured() -> None:
    def run(rows: int, width: int, height: int) -> None:
        torch.ones(rows, width, height, 64, dtype=torch.uint8)

    found = fit(Phase.DECODE, measure_phase(port_for(torch.device("cpu")), run, [(1, 512, 512), (3, 512, 512)], 20))
    assert found.bytes_per_pixel == pytest.approx(64, rel=0.15)


# ------------------------------------------------------------------------------------------------ file

MEASURED = PhaseFootprint(Phase.DENOISE, 1234, 56.5, measured=True)


def test_footprints_outlive_the_process(tmp_path: Path) -> None:
    kept = CalibrationFile("weights float16 cuda/0", tmp_path / "deep")
    assert kept.known(Phase.DENOISE) is None
    kept.keep(MEASURED)
    kept.keep(PhaseFootprint(Phase.DECODE, 1, 2.0, measured=True))
    kept.keep(PhaseFootprint(Phase.DECODE, 3, 4.0, measured=True))
    again = CalibrationFile("weights float16 cuda/0", tmp_path / "deep")
    assert again.known(Phase.DENOISE) == MEASURED
    assert again.all() == (MEASURED, PhaseFootprint(Phase.DECODE, 3, 4.0, measured=True))
    assert [file.suffix for file in (tmp_path / "deep").iterdir()] == [".json"]


def test_another_identity_has_its_own_file(tmp_path: Path) -> None:
    CalibrationFile("a/b", tmp_path).keep(MEASURED)
    assert CalibrationFile("a_b", tmp_path).all() == ()
    assert CalibrationFile("../a", tmp_path).all() == ()


def test_without_a_directory_they_are_kept_in_memory() -> None:
    kept = CalibrationFile("x", None)
    kept.keep(MEASURED)
    assert kept.known(Phase.DENOISE) == MEASURED


def test_an_estimate_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="estimate"):
        CalibrationFile("x", tmp_path).keep(PhaseFootprint(Phase.ENCODE, 1, 1.0, measured=False))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        '{"denoise": 5}',
        '{"denoise": {"fixed_bytes": 1}}',
        '{"dance": {"fixed_bytes": 1, "bytes_per_pixel": 1}}',
        '{"denoise": {"fixed_bytes": -1, "bytes_per_pixel": 1}}',
        '{"denoise": {"fixed_bytes": 1, "bytes_per_pixel": NaN}}',
        '{"denoise": {"fixed_bytes": Infinity, "bytes_per_pixel": 1}}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_told_ignored_and_replaced(
    tmp_path: Path, content: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "footprints-x.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with caplog.at_level(logging.WARNING):
        kept = CalibrationFile("x", tmp_path)
    assert kept.all() == ()
    assert "damaged" in caplog.text
    kept.keep(MEASURED)
    assert json.loads(file.read_text()) == {"denoise": {"fixed_bytes": 1234, "bytes_per_pixel": 56.5}}


def test_a_directory_that_cannot_be_written_is_told_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = CalibrationFile("x", tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        kept.keep(MEASURED)
    assert "cannot be kept" in caplog.text
    assert kept.known(Phase.DENOISE) == MEASURED

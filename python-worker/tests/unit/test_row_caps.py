"""The row cap is the number of images that costs least each, measured once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.runners.row_caps import BUDGET_IN_FLIGHT, RowCaps, measure_cap
from tests.support.engines import CPU, Workbench


class Device:
    """Time passes only in its forwards, which cost what a table says."""

    def __init__(self, milliseconds_each: dict[int, float]) -> None:
        self.cost = milliseconds_each
        self.now = 0.0
        self.tried: list[int] = []

    def forward(self, images: int) -> None:
        self.tried.append(images)
        self.now += self.cost[images] * images / 1000

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("table", "cap"),
    [
        ({1: 13.1, 2: 8.1, 4: 5.4, 8: 8.2, 16: 7.1}, 4),
        ({1: 13.1, 2: 8.1, 4: 7.0, 8: 8.2, 16: 5.3}, 16),
        ({1: 10, 2: 5, 4: 3, 8: 2, 16: 1}, 16),
        ({1: 10, 2: 11, 4: 12, 8: 1, 16: 1}, 1),
        ({1: 10, 2: 9.9, 4: 9.8, 8: 9.75, 16: 9.7}, 1),
    ],
    ids=["valley", "second valley", "the more the better", "no gain in two doublings", "gain within the noise"],
)
def test_the_cheapest_wins_and_not_the_largest(table: dict[int, float], cap: int) -> None:
    device = Device(table)
    found = measure_cap(device.forward, 100, device.clock)
    assert found.cap == cap
    assert not found.cut_short


def test_time_bounds_the_measurement() -> None:
    device = Device({1: 100, 2: 90, 4: 80, 8: 70, 16: 60})
    found = measure_cap(device.forward, BUDGET_IN_FLIGHT, device.clock)
    assert device.now <= BUDGET_IN_FLIGHT
    assert found.cut_short
    assert found.cap in (1, 2)


def test_one_forward_longer_than_the_budget_is_the_only_one() -> None:
    device = Device({1: 5000})
    assert measure_cap(device.forward, 1.0, device.clock).cap == 1
    assert device.tried == [1]


def test_what_memory_would_not_hold_is_not_tried() -> None:
    device = Device({1: 10, 2: 5, 4: 3, 8: 2, 16: 1})
    used = [0]

    def forward(images: int) -> None:
        device.forward(images)
        used[0] = max(used[0], images * 100)

    found = measure_cap(forward, 100, device.clock, room=lambda: (used[0], 500))
    assert max(device.tried) == 2
    assert (found.cap, found.cut_short) == (2, True)


def test_memory_that_runs_out_ends_the_measurement() -> None:
    device = Device({1: 10, 2: 5, 4: 3})

    def forward(images: int) -> None:
        if images == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        device.forward(images)

    assert measure_cap(forward, 100, device.clock).cap == 2


def test_a_defect_is_no_lack_of_memory() -> None:
    def forward(_images: int) -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        measure_cap(forward, 100)


@pytest.fixture
def caps(tmp_path: Path) -> Callable[[], RowCaps]:
    return lambda: RowCaps("here", tmp_path / "deep", MemoryProbe(CPU))


def test_a_cap_is_kept_for_the_next_start(caps: Callable[[], RowCaps], tmp_path: Path) -> None:
    first = caps()
    assert first.known("64x64") is None
    first.measure("64x64", lambda _images: None, 4.0)
    assert caps().known("64x64") == first.known("64x64")
    assert caps().as_dict() == first.as_dict()
    assert [file.suffix for file in (tmp_path / "deep").iterdir()] == [".json"]


def test_what_was_cut_short_is_not_kept(caps: Callable[[], RowCaps]) -> None:
    device = Device({1: 1})
    first = caps()

    def out(images: int) -> None:
        if images > 1:
            raise MemoryError
        device.forward(images)

    assert first.measure("64x64", out, 4.0) == 1
    assert first.known("64x64") == 1
    assert caps().known("64x64") is None


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"64x64": "many"}', '{"64x64": 0}', '{"64x64": null}', "{"])
def test_a_damaged_file_is_measured_again(caps: Callable[[], RowCaps], tmp_path: Path, content: str) -> None:
    file = tmp_path / "deep" / "row-caps-here.json"
    file.parent.mkdir()
    file.write_text(content)
    again = caps()
    assert again.known("64x64") is None
    again.measure("64x64", lambda _images: None, 4.0)
    assert list(json.loads(file.read_text())) == ["64x64"]


def test_a_folder_that_cannot_be_written_costs_only_the_memory_of_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    caps = RowCaps("here", tmp_path / "file", MemoryProbe(CPU))
    caps.measure("64x64", lambda _images: None, 4.0)
    assert caps.known("64x64") is not None


def test_the_own_size_is_known_after_loading_and_a_new_one_after_its_first_plan(
    fresh_bench: Workbench, sd_folder: Path
) -> None:
    watcher = fresh_bench.submit(fresh_bench.plan(sd_folder, width=40, height=24))
    watcher.succeeded()
    caps = fresh_bench.load(sd_folder).runner.row_caps
    assert {"64x64", "40x24"} <= caps.keys()
    assert all(1 <= cap <= 16 for cap in caps.values())


def test_one_that_runs_alone_is_not_measured_for(fresh_bench: Workbench, sd_folder: Path) -> None:
    fresh_bench.submit(fresh_bench.plan(sd_folder, width=48, height=24, solo=True)).succeeded()
    assert "48x24" not in fresh_bench.load(sd_folder).runner.row_caps

"""The row cap is the number of images that costs least each, measured once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.runners.row_caps import BUDGET_IN_FLIGHT, EXACT_AT_MOST, RowCaps, measure_cap
from tests.support.engines import CPU, PATIENCE, Workbench, same, spec, store


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


DAMAGED = [
    "",
    "{",
    "[1, 2]",
    "null",
    '{"64x64": 4}',
    '{"caps": {"64x64": 4}}',
    '{"caps": [], "exact": {}}',
    '{"caps": {"64x64": "many"}, "exact": {}}',
    '{"caps": {"64x64": 0}, "exact": {}}',
    '{"caps": {"64x64": null}, "exact": {}}',
    '{"caps": {"64x64": 4}, "exact": {"64x64": -4}}',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_measured_again(caps: Callable[[], RowCaps], tmp_path: Path, content: str) -> None:
    file = tmp_path / "deep" / "row-caps-here.json"
    file.parent.mkdir()
    file.write_text(content)
    again = caps()
    assert again.known("64x64") is None
    assert again.exact("64x64") is None
    cap = again.measure("64x64", lambda _images: None, 4.0)
    assert json.loads(file.read_text()) == {"caps": {"64x64": cap}, "exact": {}}


# -------------------------------------------------------------------- exact forwards


CHEAPEST_AT_2 = {1: 2.0, 2: 0.5, 4: 2.0, 8: 2.0, 16: 2.0}
CHEAPEST_AT_4 = {1: 2.0, 2: 1.5, 4: 0.5, 8: 2.0, 16: 2.0}


def measured(caps: RowCaps, shape: str, table: dict[int, float]) -> int:
    """The cap that a device with these costs gets."""
    device = Device(table)
    caps._clock = device.clock
    return caps.measure(shape, device.forward, 4.0)


def test_exact_forwards_have_the_images_of_the_first_cap_for_good(caps: Callable[[], RowCaps]) -> None:
    first = caps()
    assert first.exact("64x64") is None
    assert measured(first, "64x64", CHEAPEST_AT_2) == 2
    assert first.fix_exact("64x64") == 2
    assert measured(first, "64x64", CHEAPEST_AT_4) == 4
    assert first.known("64x64") == 4
    assert first.fix_exact("64x64") == first.exact("64x64") == 2


def test_they_are_kept_across_a_restart_and_when_the_cap_is_measured_anew_after_it(
    caps: Callable[[], RowCaps], tmp_path: Path
) -> None:
    first = caps()
    measured(first, "64x64", CHEAPEST_AT_2)
    first.fix_exact("64x64")
    second = caps()
    assert (second.known("64x64"), second.exact("64x64")) == (2, 2)
    assert second.exact_images() == {"64x64": 2}
    measured(second, "64x64", CHEAPEST_AT_4)
    third = caps()
    assert (third.known("64x64"), third.exact("64x64"), third.fix_exact("64x64")) == (4, 2, 2)
    file = tmp_path / "deep" / "row-caps-here.json"
    assert json.loads(file.read_text()) == {"caps": {"64x64": 4}, "exact": {"64x64": 2}}


def test_a_cap_that_was_cut_short_is_forgotten_and_the_images_of_exact_forwards_are_not(
    caps: Callable[[], RowCaps],
) -> None:
    def out(images: int) -> None:
        if images > 1:
            raise MemoryError

    first = caps()
    first.measure("64x64", out, 4.0)
    assert first.fix_exact("64x64") == 1
    second = caps()
    assert (second.known("64x64"), second.exact("64x64")) == (None, 1)
    measured(second, "64x64", CHEAPEST_AT_4)
    assert (second.known("64x64"), second.fix_exact("64x64")) == (4, 1)


def test_of_two_workers_the_first_to_fix_them_counts_for_both(caps: Callable[[], RowCaps]) -> None:
    one, other = caps(), caps()
    measured(one, "64x64", CHEAPEST_AT_2)
    measured(other, "64x64", CHEAPEST_AT_4)
    assert one.fix_exact("64x64") == 2
    assert other.fix_exact("64x64") == 2
    measured(other, "32x32", CHEAPEST_AT_4)
    measured(one, "16x16", CHEAPEST_AT_2)
    after = caps()
    assert after.exact_images() == {"64x64": 2}
    # Either cap is as good; both are right for this machine.
    assert after.as_dict().pop("64x64") in (2, 4)
    assert after.as_dict().keys() == {"64x64", "32x32", "16x16"}


def test_they_hold_in_this_process_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    caps = RowCaps("here", tmp_path / "file", MemoryProbe(CPU))
    measured(caps, "64x64", CHEAPEST_AT_2)
    assert caps.fix_exact("64x64") == 2
    measured(caps, "64x64", CHEAPEST_AT_4)
    assert caps.fix_exact("64x64") == 2


def test_exact_pictures_are_the_same_bits_after_a_restart_with_another_cap(tmp_path: Path, sd_folder: Path) -> None:
    def drawn(name: str, cap: int) -> tuple[Any, int]:
        bench = Workbench(tmp_path / name, store(tmp_path / "caps"))
        try:
            runner: Any = bench.engine.load(spec(sd_folder)).result(PATIENCE).runner
            runner._caps._caps["64x64"] = cap
            kept: list[Any] = []
            finish = runner.finish

            def keeping(plan: Any, state: Any) -> Any:
                kept.append(finish(plan, state))
                return kept[-1]

            runner.finish = keeping
            effective = bench.submit(bench.plan(sd_folder, exact=True)).succeeded().effective
            return kept[0].output, effective.exact_rows
        finally:
            bench.stop()

    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    (first, rows), (second, rows_again) = drawn("first", 3), drawn("second", 8)
    assert rows == rows_again == 6
    assert same(first, second)


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


def test_exact_forwards_have_few_images_however_many_are_cheapest(caps: Callable[[], RowCaps]) -> None:
    many = caps()
    assert measured(many, "64x64", {1: 2.0, 2: 1.5, 4: 1.0, 8: 0.7, 16: 0.4}) == 16
    assert many.fix_exact("64x64") == EXACT_AT_MOST == 4

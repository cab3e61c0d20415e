"""How the engine shares out ticks, and what it tells meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from safelight_worker.engine.engine import Engine
from safelight_worker.engine.events import Preview, StepFinished, Succeeded
from safelight_worker.engine.models import ModelStore
from safelight_worker.types import FailureKind, ModelSpec, Phase, WorkerError
from tests.support.engines import CPU, PATIENCE, Watcher, Workbench, make_plan, spec
from tests.support.gates import held, replaced


@contextmanager
def recorded_ticks(runner: Any) -> Iterator[list[list[Any]]]:
    """The states of every tick."""
    ticks: list[list[Any]] = []

    def recording(tick: Any) -> Any:
        def record(states: Any, on_progress: Any, rows: int) -> None:
            ticks.append(list(states))
            tick(states, on_progress, rows)

        return record

    with replaced(runner, "tick", recording):
        yield ticks


def seeds(states: list[Any]) -> list[int]:
    return [state.generator.initial_seed() for state in states]


def test_attempts_join_and_leave_at_ticks(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    with recorded_ticks(runner) as ticks, held(runner, "tick") as gate:
        first = fresh_bench.submit(fresh_bench.plan(sd_folder, num_inference_steps=6))
        gate.wait_reached()
        others = [fresh_bench.submit(fresh_bench.plan(sd_folder, num_inference_steps=3)) for _ in range(2)]
        gate.open()
        for watcher in (first, *others):
            watcher.succeeded()
    assert [len(states) for states in ticks] == [1, 3, 3, 3, 1, 1]


def test_the_urgent_overtake_those_that_run(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    fresh_bench.cap = 1
    with recorded_ticks(runner) as ticks, held(runner, "tick") as gate:
        low = fresh_bench.submit(fresh_bench.plan(sd_folder, priority=3, seeds=(3,)))
        gate.wait_reached()
        urgent = fresh_bench.submit(fresh_bench.plan(sd_folder, priority=0, seeds=(1,)))
        gate.open()
        low.succeeded()
        urgent.succeeded()
    assert [seeds(states) for states in ticks] == [[3]] + [[1]] * 4 + [[3]] * 3


def test_groups_of_one_class_alternate(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    with recorded_ticks(runner) as ticks, held(runner, "tick") as gate:
        watchers = [fresh_bench.submit(fresh_bench.plan(sd_folder, seeds=(1,)))]
        gate.wait_reached()
        watchers.append(fresh_bench.submit(fresh_bench.plan(sd_folder, width=32, seeds=(2,))))
        gate.open()
        for watcher in watchers:
            watcher.succeeded()
    assert [seeds(states) for states in ticks] == [[1], [2], [1], [2], [1], [2], [1], [2]]


@pytest.mark.parametrize(("cap", "max_images", "largest"), [(2, 0, 2), (8, 3, 3), (8, 1, 1), (8, 0, 5)])
def test_no_forward_holds_more_than_cap_and_plan_admit(
    fresh_bench: Workbench, sd_folder: Path, cap: int, max_images: int, largest: int
) -> None:
    runner = fresh_bench.load(sd_folder).runner
    fresh_bench.cap = cap
    with recorded_ticks(runner) as ticks:
        plan = fresh_bench.plan(sd_folder, seeds=(1, 2, 3, 4, 5), max_images=max_images)
        effective = fresh_bench.submit(plan).succeeded().effective
    assert max(len(states) for states in ticks) == largest
    assert effective.max_batch_images == largest


def test_one_that_wants_no_company_does_not_cut_that_of_others(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    with recorded_ticks(runner) as ticks, held(runner, "tick") as gate:
        watchers = [fresh_bench.submit(fresh_bench.plan(sd_folder, seeds=(1, 2)))]
        gate.wait_reached()
        watchers.append(fresh_bench.submit(fresh_bench.plan(sd_folder, seeds=(3,), max_images=1)))
        gate.open()
        for watcher in watchers:
            watcher.succeeded()
    assert {tuple(seeds(states)) for states in ticks} == {(1, 2), (3,)}


def test_phases_come_in_order_then_steps_then_one_end(fresh_bench: Workbench, sd_folder: Path) -> None:
    watcher = fresh_bench.submit(fresh_bench.plan(sd_folder, seeds=(1, 2)))
    result = watcher.succeeded()
    assert watcher.phases == list(Phase)
    assert [(each.step, each.steps) for each in watcher.of(StepFinished)] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [timing.phase for timing in result.phases] == list(Phase)
    assert all(0 < each.started_at_ms <= each.finished_at_ms for each in result.phases)
    assert all(each.peak_memory_bytes > 0 for each in result.phases)
    assert isinstance(watcher.events[-1], Succeeded)
    assert [artifact.seed for artifact in result.artifacts] == [1, 2]


def test_a_loaded_model_is_not_loaded_again(fresh_bench: Workbench, sd_folder: Path) -> None:
    fresh_bench.load(sd_folder)
    watcher = fresh_bench.submit(fresh_bench.plan(sd_folder))
    watcher.succeeded()
    assert Phase.LOAD not in watcher.phases


def test_second_order_schedulers_tell_the_steps_they_take(fresh_bench: Workbench, sd_folder: Path) -> None:
    watcher = fresh_bench.submit(fresh_bench.plan(sd_folder, scheduler="HeunDiscreteScheduler"))
    watcher.succeeded()
    assert [(each.step, each.steps) for each in watcher.of(StepFinished)] == [(n, 7) for n in range(1, 8)]


def test_steps_of_whole_calls_are_counted_through(fresh_bench: Workbench, pixart_folder: Path) -> None:
    watcher = fresh_bench.submit(fresh_bench.plan(pixart_folder, seeds=(1, 2), num_inference_steps=2))
    watcher.succeeded()
    assert [(each.step, each.steps) for each in watcher.of(StepFinished)] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_previews_flow_when_asked_for_and_end_with_the_denoising(fresh_bench: Workbench, sd_folder: Path) -> None:
    watcher = fresh_bench.submit(fresh_bench.plan(sd_folder, preview_interval_ms=1))
    watcher.succeeded()
    frames = watcher.of(Preview)
    assert frames
    assert all(frame.data.startswith(b"\xff\xd8") and len(frame.data) <= 64 << 10 for frame in frames)
    assert all(1 <= frame.step < 4 for frame in frames)


def test_no_preview_flows_unasked(fresh_bench: Workbench, sd_folder: Path) -> None:
    watcher = fresh_bench.submit(fresh_bench.plan(sd_folder))
    watcher.succeeded()
    assert watcher.of(Preview) == []


def test_previews_can_be_turned_on_meanwhile(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder, num_inference_steps=6)
    with held(runner, "tick") as gate:
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        assert fresh_bench.engine.set_previews(plan.attempt_id, 1)
        gate.open()
        watcher.succeeded()
    assert watcher.of(Preview)
    assert not fresh_bench.engine.set_previews(plan.attempt_id, 1)


def test_the_loop_goes_round_when_idle(fresh_bench: Workbench) -> None:
    engine = fresh_bench.engine
    with held(engine, "_beat") as gate:
        gate.wait_reached()
        before = engine.loop_count
    with held(engine, "_beat", when=lambda *_: engine.loop_count > before) as gate:
        gate.wait_reached()
    assert engine.phase is None


def test_an_id_in_flight_is_refused_and_afterwards_taken(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder)
    with held(runner, "tick") as gate:
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        with pytest.raises(WorkerError, match="in flight") as caught:
            fresh_bench.submit(plan)
        gate.open()
        watcher.succeeded()
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "attempt_id")
    fresh_bench.submit(plan).succeeded()


def test_no_more_attempts_are_held_than_agreed(tmp_path: Path, sd_folder: Path, caps_folder: Path) -> None:
    bench = Workbench(tmp_path, ModelStore(CPU, caps_folder), capacity=1)
    try:
        runner = bench.load(sd_folder).runner
        with held(runner, "tick") as gate:
            watcher = bench.submit(bench.plan(sd_folder))
            gate.wait_reached()
            with pytest.raises(WorkerError, match="no more are taken"):
                bench.submit(bench.plan(sd_folder))
            gate.open()
            watcher.succeeded()
    finally:
        bench.stop()


def test_health_tells_the_load_and_how_long_it_takes(fresh_bench: Workbench, sd_folder: Path) -> None:
    engine = fresh_bench.engine
    with held(fresh_bench.models, "get") as gate:
        watcher = fresh_bench.submit(fresh_bench.plan(sd_folder))
        gate.wait_reached()
        age = engine.loop_age
        assert engine.phase is Phase.LOAD
        assert engine.loop_age > age
        assert engine.model_ids == []
        gate.open()
        watcher.succeeded()
    assert engine.model_ids == ["sd"]


def test_who_is_told_that_a_load_ended_finds_a_loop_that_is_younger_than_it(
    fresh_bench: Workbench, sd_folder: Path
) -> None:
    engine = fresh_bench.engine
    began: list[float] = []
    with held(fresh_bench.models, "get") as gate:
        loading = engine.load(ModelSpec("sd", str(sd_folder)))
        loading.add_done_callback(lambda _: began.append(time.monotonic() - engine.loop_age))
        gate.wait_reached()
        still_loading = time.monotonic()
        gate.open()
        loading.result(PATIENCE)
    assert began[0] > still_loading


def test_stop_is_safe_before_the_start_and_twice(tmp_path: Path, sd_folder: Path) -> None:
    engine = Engine(CPU, ModelStore(CPU, None))
    engine.stop()
    engine.stop()
    with pytest.raises(WorkerError, match="stops"):
        engine.submit(make_plan(sd_folder, tmp_path), Watcher())


def test_stop_gives_running_and_waiting_attempts_back(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    with held(runner, "tick") as gate:
        running = fresh_bench.submit(fresh_bench.plan(sd_folder))
        gate.wait_reached()
        waiting = fresh_bench.submit(fresh_bench.plan(sd_folder))
        fresh_bench.engine.stop(0)
        gate.open()
        assert running.failed().kind is FailureKind.WORKER_STOPPING
        assert waiting.failed().kind is FailureKind.WORKER_STOPPING
    with pytest.raises(WorkerError, match="stops"):
        fresh_bench.engine.load(spec(sd_folder))
    fresh_bench.engine.stop(PATIENCE)

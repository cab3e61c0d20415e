"""A model that has no room beside a busy one waits for it; one that never fits is refused; plans decide what fits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from safelight_worker.engine.models import ModelStore, NoRoomYet
from safelight_worker.pipelines.loading import load
from safelight_worker.runners.loaded import weigh
from safelight_worker.runners.model_placement import bytes_held
from safelight_worker.types import FailureKind, MemoryPlan, ModelSpec, Phase, Quantization, Residency, WorkerError
from tests.support.engines import CPU, Watcher, Workbench, spec, store
from tests.support.gates import held

EVERYTHING = ("text_encoder", "text_encoder_2", "unet", "vae")


def all_in_turns(names: tuple[str, ...] = EVERYTHING) -> MemoryPlan:
    return MemoryPlan(dict.fromkeys(names, Residency.PHASE))


def test_a_plan_in_turns_needs_its_largest_phase_and_loads_where_the_whole_does_not_fit(
    sdxl_folder: Path, caps_folder: Path
) -> None:
    whole, turns = weigh(spec(sdxl_folder), CPU), weigh(spec(sdxl_folder), CPU, all_in_turns())
    assert whole == load(spec(sdxl_folder), CPU).weights_bytes
    assert turns < whole
    tight = store(caps_folder, budget_bytes=turns)
    with pytest.raises(WorkerError) as refused:
        tight.get(spec(sdxl_folder))
    assert (refused.value.kind, type(refused.value)) == (FailureKind.DEVICE_OUT_OF_MEMORY, WorkerError)
    loaded = tight.get(spec(sdxl_folder), plan=all_in_turns())
    assert loaded.bytes_held == turns == tight.held_bytes


def test_quantized_components_are_expected_to_take_less(sdxl_folder: Path) -> None:
    plain = ModelSpec("m", str(sdxl_folder), dtype="float16")
    quantized = ModelSpec("m", str(sdxl_folder), dtype="float16", quantization=Quantization("bitsandbytes_4bit"))
    assert weigh(quantized, CPU) < 0.6 * weigh(plain, CPU)


@pytest.mark.parametrize(
    ("residency", "held_then"),
    [
        ({}, 100 + 50 + 200 + 30),
        ({"unet": Residency.PHASE, "vae": Residency.PHASE}, 100 + 50 + 200),
        ({"text_encoder": Residency.PHASE, "text_encoder_2": Residency.PHASE, "unet": Residency.PHASE}, 200 + 30),
        ({"unet": Residency.GROUP_OFFLOAD}, 100 + 50 + 30 + 40),
    ],
)
def test_what_lies_on_the_device_is_what_is_resident_the_largest_phase_and_a_group(
    residency: dict[str, Residency], held_then: int
) -> None:
    sizes = {"text_encoder": 100, "text_encoder_2": 50, "unet": 200, "vae": 30}
    assert bytes_held(sizes, residency) == held_then


@pytest.fixture
def for_one(tmp_path: Path, caps_folder: Path, sd_folder: Path, sdxl_folder: Path) -> Iterator[Workbench]:
    """An engine with room for either model and not for both."""
    room = max(weigh(spec(sd_folder), CPU), weigh(spec(sdxl_folder), CPU))
    bench = Workbench(tmp_path, ModelStore(CPU, caps_folder, budget_bytes=room))
    yield bench
    bench.stop()


def test_a_model_waits_for_a_busy_one_and_nobody_behind_it_keeps_that_one_busy(
    for_one: Workbench, sd_folder: Path, sdxl_folder: Path
) -> None:
    runner = for_one.load(sd_folder).runner
    with held(runner, "tick") as gate:
        busy = for_one.submit(for_one.plan(sd_folder))
        gate.wait_reached()
        other = for_one.submit(for_one.plan(sdxl_folder))
        behind = for_one.submit(for_one.plan(sd_folder))
        urgent = for_one.submit(for_one.plan(sd_folder, priority=0))
        gate.open()
        began = [began_to_denoise(each) for each in (busy, other, behind, urgent)]
    assert began[0] <= began[1]
    assert began[3] <= began[1] <= began[2]


def began_to_denoise(watcher: Watcher) -> int:
    """Epoch milliseconds."""
    return next(each.started_at_ms for each in watcher.succeeded().phases if each.phase is Phase.DENOISE)


def test_one_that_never_fits_is_refused_at_once(tmp_path: Path, caps_folder: Path, sd_folder: Path) -> None:
    bench = Workbench(tmp_path, ModelStore(CPU, caps_folder, budget_bytes=1000))
    try:
        failed = bench.submit(bench.plan(sd_folder)).failed()
    finally:
        bench.stop()
    assert failed.kind is FailureKind.DEVICE_OUT_OF_MEMORY
    assert "budget" in failed.message


def test_pinned_models_are_not_waited_for(caps_folder: Path, sd_folder: Path, sdxl_folder: Path) -> None:
    room = max(weigh(spec(sd_folder), CPU), weigh(spec(sdxl_folder), CPU))
    models = ModelStore(CPU, caps_folder, budget_bytes=room)
    models.get(spec(sd_folder))
    with pytest.raises(NoRoomYet):
        models.get(spec(sdxl_folder), lambda: frozenset({spec(sd_folder)}))
    models.pin(sd_folder.name)
    with pytest.raises(WorkerError) as refused:
        models.get(spec(sdxl_folder), lambda: frozenset({spec(sd_folder)}))
    assert not isinstance(refused.value, NoRoomYet)

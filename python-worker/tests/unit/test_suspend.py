"""An attempt that leaves the device and goes on elsewhere draws the picture it would have drawn, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from safelight_worker.engine.events import TERMINAL, Cancelled, StepFinished, Suspended
from safelight_worker.runners.attempt_record import AttemptRecord
from safelight_worker.types import ControlInput, FailureKind, Inputs, LoraUse, MemoryPlan, Phase, Plan, Residency
from tests.support import tiny, tiny_other
from tests.support.calling import frames
from tests.support.engines import PATIENCE, Workbench, reference, same, store
from tests.support.exactness import FOR_SD, TOLERANCE
from tests.support.gates import held
from tests.support.leftovers import come_since, tensors, watch_states
from tests.support.resuming import again, file_of, gone_on, kept_at, resumed, suspended
from tests.support.tiny_controls import write_controlnet, write_lora, write_mask, write_picture

FAMILIES = ("sd", "sdxl", "sd3", "flux")
FLOW = ("sd3", "flux")
SCHEDULERS = [(family, name) for family in ("sd", "sdxl") for name in FOR_SD]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory, caps_folder: Path) -> Iterator[Workbench]:
    """A second engine, with models of its own."""
    bench = Workbench(tmp_path_factory.mktemp("elsewhere"), store(caps_folder))
    yield bench
    bench.stop()


@pytest.fixture(scope="module")
def wan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_other.write("wan", tmp_path_factory.mktemp("models") / "wan")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A picture, a mask, and a ControlNet and a LoRA of each family that takes them."""
    folder = tmp_path_factory.mktemp("parts")
    made = {"init": write_picture(folder / "init.png"), "mask": write_mask(folder / "mask.png")}
    for family in FAMILIES:
        pipe = tiny.BUILDERS[family]()
        made[f"lora/{family}"] = write_lora(pipe, folder / f"{family}.safetensors")
        if family not in FLOW:
            made[f"control/{family}"] = write_controlnet(pipe, folder / f"control-{family}")
    return made


def assert_goes_on(here: Workbench, elsewhere: Workbench, plan: Plan) -> None:
    """From a checkpoint of the first, a middle and the last steps, on other modules of the same weights."""
    folder = Path(plan.model.source)
    loaded, other = here.load(folder), elsewhere.load(folder)
    pictures, files = kept_at(loaded, plan)
    last = max(files)
    for step in (1, last // 2, last - 1, last):
        for one, later in zip(pictures, gone_on(other, plan, files[step]), strict=True):
            assert same(one, later), f"resumed at step {step} of {last}"


@pytest.mark.parametrize(("family", "scheduler"), SCHEDULERS)
def test_every_scheduler_goes_on_from_a_file_at_any_step(
    bench: Workbench, elsewhere: Workbench, folders: dict[str, Path], family: str, scheduler: str
) -> None:
    plan = bench.plan(folders[family], scheduler=scheduler, num_inference_steps=5, seeds=(7, 8))
    assert_goes_on(bench, elsewhere, plan)


@pytest.mark.parametrize("family", FLOW)
def test_flow_matching_goes_on_from_a_file_at_any_step(
    bench: Workbench, elsewhere: Workbench, folders: dict[str, Path], family: str
) -> None:
    named = {"scheduler": "FlowMatchEulerDiscreteScheduler", "num_inference_steps": 5, "seeds": (7, 8)}
    assert_goes_on(bench, elsewhere, bench.plan(folders[family], **named, true_cfg_scale=3.0, negative_prompt="blue"))


@pytest.mark.parametrize("mask", [False, True], ids=["image to image", "inpaint"])
@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_to_start_from_are_in_the_file(
    bench: Workbench,
    elsewhere: Workbench,
    folders: dict[str, Path],
    parts: dict[str, Path],
    family: str,
    mask: bool,
    tmp_path: Path,
) -> None:
    init = write_picture(tmp_path / "init.png", seed=3)
    inputs = Inputs(init, parts["mask"] if mask else None, 0.8)
    ancestral = "" if family in FLOW else "EulerAncestralDiscreteScheduler"
    plan = bench.plan(folders[family], num_inference_steps=6, inputs=inputs, scheduler=ancestral)
    loaded, other = bench.load(folders[family]), elsewhere.load(folders[family])
    pictures, files = kept_at(loaded, plan)
    init.unlink()
    for step, file in files.items():
        assert same(pictures[0], gone_on(other, plan, file)[0]), f"resumed at step {step} of {max(files)}"


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_picture_to_follow_is_in_the_file(
    bench: Workbench, elsewhere: Workbench, folders: dict[str, Path], parts: dict[str, Path], family: str
) -> None:
    # It stops between two of the steps at which is resumed.
    control = ControlInput("edges", parts[f"control/{family}"], parts["init"], 0.8, 0.0, 0.7)
    plan = bench.plan(folders[family], num_inference_steps=5, inputs=Inputs(controls=(control,)))
    assert_goes_on(bench, elsewhere, plan)
    followed, _ = kept_at(bench.load(folders[family]), plan)
    (free,) = bench.run(again(plan, bench.folder, inputs=Inputs(), solo=True))
    assert not same(followed[0], free), "the ControlNet left no mark"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lora_is_found_again_where_the_plan_has_it(
    bench: Workbench,
    elsewhere: Workbench,
    folders: dict[str, Path],
    parts: dict[str, Path],
    family: str,
    tmp_path: Path,
) -> None:
    lora = LoraUse("ink", parts[f"lora/{family}"], 0.7)
    plan = bench.plan(folders[family], num_inference_steps=4, loras=(lora,))
    (picture,), files = kept_at(bench.load(folders[family]), plan)
    moved = Path(shutil.copy(lora.source, tmp_path / "elsewhere.safetensors"))
    there = replace(plan, loras=(replace(lora, source=moved),))
    for file in files.values():
        assert same(picture, gone_on(elsewhere.load(folders[family]), there, file)[0])
    (plain,) = bench.run(again(plan, bench.folder, loras=()))
    assert not same(picture, plain), "the LoRA left no mark"


# ---------------------------------------------------------------- through the engine


@pytest.mark.parametrize("step", [1, 3, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_suspended_attempt_goes_on_in_another_engine(
    bench: Workbench, elsewhere: Workbench, folders: dict[str, Path], family: str, step: int
) -> None:
    plan = bench.plan(folders[family], num_inference_steps=6, solo=True)
    (whole,) = bench.run(again(plan, bench.folder))
    ended = suspended(bench, plan, step)
    assert ended.checkpoint is not None
    assert ended.checkpoint.step == step
    assert [file.name for file in plan.staging_dir.iterdir()] == [ended.checkpoint.file_name]
    elsewhere.load(folders[family])
    second = again(plan, elsewhere.folder, resume_from=file_of(plan, ended.checkpoint))
    watcher = elsewhere.submit(second)
    told = watcher.succeeded()
    assert same(whole, elsewhere.pictures.pop(second.attempt_id)[0])
    assert told.effective.resumed_at_step == step
    assert watcher.phases[0] is Phase.PREPARE
    assert [event.step for event in watcher.of(StepFinished)] == list(range(step + 1, 7))
    assert [file.name for file in second.staging_dir.iterdir()] == ["0.png"]


def test_all_images_of_an_attempt_go_on(bench: Workbench, elsewhere: Workbench, sd_folder: Path) -> None:
    plan = bench.plan(sd_folder, seeds=(3, 1, 2), scheduler="EulerAncestralDiscreteScheduler", solo=True)
    whole = bench.run(again(plan, bench.folder))
    ended = suspended(bench, plan, 2)
    assert len(whole) == 3
    for one, later in zip(whole, resumed(elsewhere, plan, file_of(plan, ended.checkpoint)), strict=True):
        assert same(one, later)


def test_an_attempt_goes_on_with_less_memory_than_it_began_with(
    bench: Workbench, elsewhere: Workbench, sd_folder: Path
) -> None:
    plan = bench.plan(sd_folder, solo=True)
    (whole,) = bench.run(again(plan, bench.folder))
    checkpoint = file_of(plan, suspended(bench, plan, 2).checkpoint)
    for sparing in (
        MemoryPlan(residency=dict.fromkeys(("text_encoder", "unet", "vae"), Residency.PHASE)),
        MemoryPlan(residency={"unet": Residency.GROUP_OFFLOAD}, vae_slicing=True),
    ):
        assert same(whole, resumed(elsewhere, replace(plan, memory=sparing), checkpoint)[0])


def test_a_stopping_engine_gives_back_with_a_checkpoint(
    tmp_path: Path, caps_folder: Path, bench: Workbench, sd_folder: Path
) -> None:
    plan = bench.plan(sd_folder, seeds=(1, 2), solo=True)
    whole = bench.run(again(plan, bench.folder))
    stopping = Workbench(tmp_path, store(caps_folder))
    with held(stopping.load(sd_folder).runner, "tick", lambda states, *_: states[0].step == 1) as gate:
        watcher = stopping.submit(plan)
        gate.wait_reached()
        waiting = stopping.submit(stopping.plan(sd_folder))
        assert not stopping.engine.stop(0), "it is in the middle of a step"
    assert stopping.engine.stop(PATIENCE)
    failed = watcher.failed()
    assert failed.kind is FailureKind.WORKER_STOPPING
    assert failed.checkpoint is not None
    assert failed.checkpoint.step == failed.step
    for one, later in zip(whole, resumed(bench, plan, file_of(plan, failed.checkpoint)), strict=True):
        assert same(one, later)
    assert (waiting.failed().kind, waiting.failed().checkpoint) == (FailureKind.WORKER_STOPPING, None)


def test_an_attempt_may_be_suspended_again_and_again(bench: Workbench, elsewhere: Workbench, sd_folder: Path) -> None:
    plan = bench.plan(sd_folder, num_inference_steps=5, solo=True)
    (whole,) = bench.run(again(plan, bench.folder))
    checkpoint = file_of(plan, suspended(bench, plan, 1).checkpoint)
    for step, there in ((2, elsewhere), (3, bench), (4, elsewhere)):
        plan = again(plan, there.folder, resume_from=checkpoint)
        checkpoint = file_of(plan, suspended(there, plan, step).checkpoint)
    assert same(whole, resumed(bench, plan, checkpoint)[0])


def test_those_in_the_same_forward_go_on(fresh_bench: Workbench, sd_folder: Path) -> None:
    loaded = fresh_bench.load(sd_folder)
    plans = [fresh_bench.plan(sd_folder, seeds=(seed,)) for seed in (1, 2, 3)]
    with held(loaded.runner, "tick", lambda states, *_: len(states) == 3) as gate:
        watchers = [fresh_bench.submit(plan) for plan in plans]
        gate.wait_reached()
        fresh_bench.engine.suspend(plans[1].attempt_id)
    assert isinstance(watchers[1].end(), Suspended)
    for plan, watcher in ((plans[0], watchers[0]), (plans[2], watchers[2])):
        watcher.succeeded()
        picture = fresh_bench.pictures[plan.attempt_id][0]
        assert np.abs(picture - reference(loaded.model.pipe, plan)).max() <= TOLERANCE


def test_an_attempt_that_waits_leaves_without_a_checkpoint(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder)
    with held(runner, "tick") as gate:
        running = fresh_bench.submit(fresh_bench.plan(sd_folder))
        gate.wait_reached()
        waiting = fresh_bench.submit(plan)
        assert fresh_bench.engine.suspend(plan.attempt_id)
        gate.open()
        assert waiting.end() == Suspended()
        running.succeeded()
    assert waiting.phases == []
    assert list(plan.staging_dir.iterdir()) == []


@pytest.mark.parametrize("method", ["encode", "prepare"])
def test_an_attempt_that_has_not_begun_to_denoise_leaves_without_a_checkpoint(
    fresh_bench: Workbench, sd_folder: Path, method: str
) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder, seeds=(1, 2))
    with held(runner, method) as gate:
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        assert fresh_bench.engine.suspend(plan.attempt_id)
        gate.open()
        assert watcher.end() == Suspended()
    assert list(plan.staging_dir.iterdir()) == []
    fresh_bench.submit(fresh_bench.plan(sd_folder)).succeeded()


@pytest.mark.parametrize("seeds", [(1,), (1, 2)], ids=["one image", "two images"])
def test_an_attempt_whose_pictures_are_decoded_is_left_to_end(
    fresh_bench: Workbench, sd_folder: Path, seeds: tuple[int, ...]
) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder, seeds=seeds)
    with held(runner, "finish") as gate:
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        assert fresh_bench.engine.suspend(plan.attempt_id)
        gate.open()
        assert len(watcher.succeeded().artifacts) == len(seeds)


def test_a_suspension_during_the_last_step_is_too_late(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder)
    with held(runner, "tick", lambda states, *_: states[0].step == 3) as gate:
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        assert fresh_bench.engine.suspend(plan.attempt_id)
        gate.open()
        assert len(watcher.succeeded().artifacts) == 1


def test_a_cancel_while_the_checkpoint_is_written_leaves_nothing(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder)
    with held(runner, "tick") as step, held(AttemptRecord, "write") as writing:
        watcher = fresh_bench.submit(plan)
        step.wait_reached()
        assert fresh_bench.engine.suspend(plan.attempt_id)
        step.open()
        writing.wait_reached()
        assert fresh_bench.engine.attempt_ids == [plan.attempt_id]
        assert fresh_bench.engine.suspend(plan.attempt_id), "it is in flight until its file is whole"
        assert fresh_bench.engine.cancel(plan.attempt_id)
        writing.open()
        assert watcher.end() == Cancelled()
    assert list(plan.staging_dir.iterdir()) == []
    assert not fresh_bench.engine.suspend(plan.attempt_id)


def test_it_ends_once_however_often_it_is_asked_for(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    plan = fresh_bench.plan(sd_folder)
    with held(runner, "tick") as gate:
        watcher = fresh_bench.submit(plan)
        gate.wait_reached()
        assert fresh_bench.engine.suspend(plan.attempt_id)
        assert fresh_bench.engine.suspend(plan.attempt_id)
    assert isinstance(watcher.end(), Suspended)
    assert not fresh_bench.engine.suspend(plan.attempt_id)
    assert not fresh_bench.engine.suspend("never heard of")
    fresh_bench.submit(fresh_bench.plan(sd_folder)).succeeded()
    assert [event for event in watcher.events if isinstance(event, TERMINAL)] == [watcher.events[-1]]


def test_a_suspended_attempt_leaves_no_tensor(fresh_bench: Workbench, sd_folder: Path) -> None:
    runner = fresh_bench.load(sd_folder).runner
    fresh_bench.run(fresh_bench.plan(sd_folder))
    before = tensors(fresh_bench)
    kept = watch_states(runner)
    for _ in range(2):
        assert suspended(fresh_bench, fresh_bench.plan(sd_folder, seeds=(1, 2)), 2).checkpoint is not None
    assert come_since(fresh_bench, before) == []
    assert len(kept) == 12
    assert [each() for each in kept if each() is not None] == []


# ---------------------------------------------------------------- whole calls


def test_a_call_that_is_broken_off_is_made_anew(bench: Workbench, elsewhere: Workbench, wan_folder: Path) -> None:
    plan = bench.plan(wan_folder, num_frames=5, num_inference_steps=6)
    (whole,) = bench.run(again(plan, bench.folder))
    transformer = bench.load(wan_folder).model.pipe.transformer
    with held(transformer, "forward") as gate:
        watcher = bench.submit(plan)
        gate.wait_reached()
        assert bench.engine.suspend(plan.attempt_id)
    ended = watcher.end()
    assert isinstance(ended, Suspended)
    assert ended.checkpoint is not None
    assert ended.checkpoint.step == 0
    (later,) = resumed(elsewhere, plan, file_of(plan, ended.checkpoint))
    assert same(frames(whole), frames(later))


def test_a_call_that_was_made_is_not_made_again(bench: Workbench, elsewhere: Workbench, wan_folder: Path) -> None:
    plan = bench.plan(wan_folder, num_frames=5, num_inference_steps=3, seeds=(1, 2))
    whole = bench.run(again(plan, bench.folder))
    runner = bench.load(wan_folder).runner
    with held(runner, "tick", lambda states, *_: states[0].seed == 2) as gate:
        watcher = bench.submit(plan)
        gate.wait_reached()
        assert bench.engine.suspend(plan.attempt_id)
    ended = watcher.end()
    assert isinstance(ended, Suspended)
    elsewhere.load(wan_folder)
    second = again(plan, elsewhere.folder, resume_from=file_of(plan, ended.checkpoint))
    there = elsewhere.submit(second)
    there.succeeded()
    assert len(there.of(StepFinished)) == len(watcher.of(StepFinished)) == 3
    for one, later in zip(whole, elsewhere.pictures.pop(second.attempt_id), strict=True):
        assert same(frames(one), frames(later))

"""Whole calls inside the engine: videos become files, a cancel reaches into a call, a model serves both ways side by side."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from safelight_worker.engine.events import Cancelled, StepFinished
from safelight_worker.types import FailureKind, Inputs, IpAdapterInput, OutputFormat
from tests.support import tiny, tiny_other
from tests.support.calling import gradient
from tests.support.engines import Workbench, same
from tests.support.gates import held


@pytest.fixture(scope="module")
def wan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_other.write("wan", tmp_path_factory.mktemp("models") / "wan")


def test_a_video_of_each_seed_is_a_file(bench: Workbench, wan_folder: Path) -> None:
    plan = bench.plan(wan_folder, num_frames=5, output_format=OutputFormat.MP4, seeds=(1, 2))
    watcher = bench.submit(plan)
    succeeded = watcher.succeeded()
    assert [(each.index, each.file_name, each.seed) for each in succeeded.artifacts] == [
        (0, "0.mp4", 1),
        (1, "1.mp4", 2),
    ]
    assert succeeded.effective.runner == "exclusive"
    for artifact in succeeded.artifacts:
        with av.open(plan.staging_dir / artifact.file_name) as container:
            assert len(list(container.decode(video=0))) == 5
    assert [(event.step, event.steps) for event in watcher.of(StepFinished)] == [(step, 8) for step in range(1, 9)]


def test_a_video_is_numbered_pictures_on_request(bench: Workbench, wan_folder: Path) -> None:
    plan = bench.plan(wan_folder, num_frames=5, seeds=(1, 2))
    artifacts = bench.submit(plan).succeeded().artifacts
    assert [each.file_name for each in artifacts] == [
        f"{seed}.{frame:05d}.png" for seed in (0, 1) for frame in range(5)
    ]
    assert [each.index for each in artifacts] == list(range(10))


def test_a_cancel_breaks_a_call_off_between_two_steps(bench: Workbench, wan_folder: Path) -> None:
    pipe = bench.load(wan_folder).model.pipe
    plan = bench.plan(wan_folder, num_frames=5, num_inference_steps=500)
    with held(pipe.transformer, "forward") as gate:
        watcher = bench.submit(plan)
        gate.wait_reached()
        assert bench.engine.cancel(plan.attempt_id)
    assert isinstance(watcher.end(), Cancelled)
    assert len(watcher.of(StepFinished)) <= 1
    assert list(plan.staging_dir.iterdir()) == []


def test_a_picture_asked_for_as_mp4_is_refused_before_any_work(bench: Workbench, sd_folder: Path) -> None:
    watcher = bench.submit(bench.plan(sd_folder, output_format=OutputFormat.MP4))
    failed = watcher.failed()
    assert (failed.kind, failed.field) == (FailureKind.INVALID_REQUEST, "output_format")
    assert not watcher.of(StepFinished)


def test_a_stepped_model_takes_an_ip_adapter_beside_its_other_work(
    bench: Workbench, sd_folder: Path, tmp_path: Path
) -> None:
    source = tiny_other.write_ip_adapter(tiny.sd().unet, tmp_path / "ip")
    likeness = gradient(tmp_path / "likeness.png", 40, 40)
    (before,) = bench.run(bench.plan(sd_folder))
    plans = [bench.plan(sd_folder, num_inference_steps=20, solo=True) for _ in range(2)]
    with_one = bench.plan(sd_folder, inputs=Inputs(ip_adapter=IpAdapterInput("ip", source, likeness)))
    watchers = [bench.submit(plan) for plan in (plans[0], with_one, plans[1])]
    ends = [watcher.succeeded() for watcher in watchers]
    assert [end.effective.runner for end in ends] == ["stepped", "exclusive", "stepped"]
    # They drew steps before and after the adapter was on the UNet, and are still alike bit for bit.
    first, second = (bench.pictures.pop(plan.attempt_id)[0] for plan in plans)
    assert same(first, second)
    (after,) = bench.run(bench.plan(sd_folder))
    assert np.array_equal(before, after)

"""A wrong plan is refused by the name of its field, before anything is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from safelight_worker.engine.events import Cancelled, Failed, PhaseStarted, Preview, StepFinished
from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.service import mapping
from safelight_worker.types import FailureKind, OutputFormat, Phase, WorkerError

Change = Callable[[pb.ExecutionPlan], None]


def make(folder: Path, change: Change = lambda _: None) -> pb.ExecutionPlan:
    wire = pb.ExecutionPlan(
        attempt_id="job/1",
        priority=1,
        model=pb.ModelSpec(id="shapes", source="/models/shapes"),
        prompt=pb.Prompt(text="a red circle", negative_text="blue"),
        sampling=pb.Sampling(num_inference_steps=4, guidance_scale=5, seeds=[1, 2], width=64, height=72),
        output=pb.Output(staging_dir=str(folder), format=pb.OUTPUT_FORMAT_WEBP, quality=80, metadata={"a": "b"}),
        batching=pb.Batching(solo=True, max_images=3),
        preview_interval_ms=500,
    )
    wire.sampling.scheduler_options.update({"solver_order": 2, "use_karras_sigmas": True, "shift": 1.5})
    change(wire)
    return wire


def test_every_field_arrives(tmp_path: Path) -> None:
    plan = mapping.plan(make(tmp_path))
    assert (plan.attempt_id, plan.priority, plan.model.id) == ("job/1", 1, "shapes")
    assert (plan.prompt, plan.negative_prompt) == ("a red circle", "blue")
    assert (plan.num_inference_steps, plan.guidance_scale, plan.seeds) == (4, 5.0, (1, 2))
    assert (plan.width, plan.height) == (64, 72)
    assert (plan.output_format, plan.quality, plan.metadata) == (OutputFormat.WEBP, 80, {"a": "b"})
    assert (plan.solo, plan.max_images, plan.preview_interval_ms) == (True, 3, 500)
    assert plan.staging_dir == tmp_path


def test_whole_numbers_in_options_are_integers_again(tmp_path: Path) -> None:
    options = mapping.plan(make(tmp_path)).scheduler_options
    assert options == {"solver_order": 2, "use_karras_sigmas": True, "shift": 1.5}
    assert type(options["solver_order"]) is int
    assert type(options["use_karras_sigmas"]) is bool


def _set(path: str, value: object) -> Change:
    *groups, name = path.split(".")

    def change(wire: pb.ExecutionPlan) -> None:
        target: object = wire
        for group in groups:
            target = getattr(target, group)
        setattr(target, name, value)

    return change


def _seeds(*seeds: int) -> Change:
    def change(wire: pb.ExecutionPlan) -> None:
        del wire.sampling.seeds[:]
        wire.sampling.seeds.extend(seeds)

    return change


def _null_option(wire: pb.ExecutionPlan) -> None:
    wire.sampling.scheduler_options.update({"solver_order": None})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_set("attempt_id", ""), "attempt_id"),
        (_set("sampling.width", 0), "width"),
        (_set("sampling.width", 63), "width"),
        (_set("sampling.height", 12), "height"),
        (_set("sampling.num_inference_steps", 0), "num_inference_steps"),
        (_set("sampling.guidance_scale", float("nan")), "guidance_scale"),
        (_set("sampling.guidance_scale", float("inf")), "guidance_scale"),
        (_seeds(), "seed"),
        (_seeds(1, -1), "seed"),
        (_set("prompt.text", ""), "prompt"),
        (_set("output.staging_dir", "/nowhere/at/all"), "output.staging_dir"),
        (_set("output.quality", 101), "output.quality"),
        (_set("model.id", ""), "model"),
        (_set("model.source", "relative/path"), "model.source"),
        (_set("model.dtype", "float8"), "model.dtype"),
        (_null_option, "scheduler_options.solver_order"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_wrong_field_is_named(tmp_path: Path, change: Change, field: str) -> None:
    with pytest.raises(WorkerError) as caught:
        mapping.plan(make(tmp_path, change))
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, field)
    assert field in caught.value.message


def test_events_become_messages() -> None:
    assert mapping.response(PhaseStarted(Phase.DECODE), {}).phase_started.phase == pb.PHASE_DECODE
    step = mapping.response(StepFinished(3, 7, 2), {}).step_finished
    assert (step.step, step.steps, step.batch_images) == (3, 7, 2)
    preview = mapping.response(Preview(3, b"x"), {}).preview
    assert (preview.step, preview.media_type, preview.data) == (3, "image/jpeg", b"x")
    assert mapping.response(Cancelled(), {}).WhichOneof("event") == "cancelled"


@pytest.mark.parametrize("kind", list(FailureKind))
def test_failures_keep_kind_phase_and_figures(kind: FailureKind) -> None:
    wire = mapping.response(Failed(kind, Phase.SAVE, 4, "why", "how", "field", 5, 6), {}).failure
    assert pb.FailureKind.Name(wire.kind) == f"FAILURE_KIND_{kind.name}"
    assert (wire.phase, wire.step, wire.message, wire.detail) == (pb.PHASE_SAVE, 4, "why", "how")
    assert (wire.field, wire.requested_bytes, wire.free_bytes) == ("field", 5, 6)


def test_no_phase_is_unspecified() -> None:
    assert mapping.phase(None) == pb.PHASE_UNSPECIFIED
    assert [pb.Phase.Name(mapping.phase(phase)) for phase in Phase] == [f"PHASE_{phase.name}" for phase in Phase]

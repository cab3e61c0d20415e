"""A wrong plan is refused by the name of its field, before anything is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from safelight_worker.engine.events import (
    Artifact,
    Cancelled,
    Checkpointed,
    Effective,
    Failed,
    PhaseStarted,
    Preview,
    StepFinished,
    Succeeded,
    Suspended,
)
from safelight_worker.memory.port import MemoryState
from safelight_worker.memory.pressure import Pressure
from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.service import mapping
from safelight_worker.types import (
    ControlInput,
    FailureKind,
    Inputs,
    IpAdapterInput,
    LoraUse,
    MemoryPlan,
    OptionValue,
    OutputFormat,
    Phase,
    Quantization,
    Residency,
    Tiling,
    WorkerError,
)

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


def extended(wire: pb.ExecutionPlan) -> None:
    """Fills what a plan may leave out."""
    wire.sampling.true_cfg_scale = 2.5
    wire.sampling.num_frames = 9
    wire.batching.exact = True
    wire.inputs.init_image = "/in/init.png"
    wire.inputs.mask_image = "/in/mask.png"
    wire.inputs.mask_transparency_painted = True
    wire.inputs.strength = 0.6
    wire.inputs.controls.add(id="edges", source="/c/edges", image="/in/edges.png", scale=0.5, start=0.1, end=0.9)
    wire.inputs.controls.add(id="depth", source="/c/depth", image="/in/depth.png")
    wire.inputs.ip_adapter.CopyFrom(pb.IpAdapter(id="ip", source="/i/ip.bin", image="/in/ip.png", scale=0.7))
    wire.loras.add(id="ink", source="/l/ink.safetensors", weight=-0.5)
    wire.memory.residency["unet"] = pb.RESIDENCY_GROUP_OFFLOAD
    wire.memory.residency["vae"] = pb.RESIDENCY_PHASE
    wire.memory.vae_slicing = True
    wire.memory.vae_tiling = pb.TILING_AGGRESSIVE
    wire.memory.attention_slicing = True
    wire.checkpointing.resume_from = "/s/checkpoint.safetensors"
    wire.checkpointing.interval_ms = 5000


def test_what_a_plan_may_leave_out_arrives(tmp_path: Path) -> None:
    plan = mapping.plan(make(tmp_path, extended))
    assert (plan.true_cfg_scale, plan.num_frames, plan.exact) == (2.5, 9, True)
    assert plan.inputs == Inputs(
        Path("/in/init.png"),
        Path("/in/mask.png"),
        0.6,
        (
            ControlInput("edges", Path("/c/edges"), Path("/in/edges.png"), 0.5, 0.1, 0.9),
            ControlInput("depth", Path("/c/depth"), Path("/in/depth.png"), 1.0, 0.0, 1.0),
        ),
        IpAdapterInput("ip", Path("/i/ip.bin"), Path("/in/ip.png"), 0.7),
        mask_transparency_painted=True,
    )
    assert plan.loras == (LoraUse("ink", Path("/l/ink.safetensors"), -0.5),)
    residency = {"unet": Residency.GROUP_OFFLOAD, "vae": Residency.PHASE}
    assert plan.memory == MemoryPlan(residency, True, Tiling.AGGRESSIVE, True)
    assert (plan.resume_from, plan.checkpoint_interval_ms) == (Path("/s/checkpoint.safetensors"), 5000)


def test_what_a_plan_leaves_out_is_as_if_it_were_not(tmp_path: Path) -> None:
    plan = mapping.plan(make(tmp_path))
    assert (plan.true_cfg_scale, plan.num_frames, plan.exact) == (0.0, 0, False)
    assert (plan.inputs, plan.loras, plan.memory) == (Inputs(), (), MemoryPlan())
    assert (plan.resume_from, plan.checkpoint_interval_ms) == (None, 0)


def test_every_field_of_a_model_arrives() -> None:
    quantization = pb.Quantization(backend="bitsandbytes_4bit", components=["transformer"])
    quantization.options.update({"bnb_4bit_quant_type": "nf4", "block": 64})
    wire = pb.ModelSpec(
        id="big",
        source="owner/name@main",
        dtype="bfloat16",
        variant="fp16",
        config="/configs/big",
        quantization=quantization,
        compile=True,
        channels_last=True,
        fuse_projections=True,
    )
    spec = mapping.model_spec(wire)
    assert (spec.id, spec.source, spec.dtype, spec.variant) == ("big", "owner/name@main", "bfloat16", "fp16")
    assert (spec.config, spec.compile, spec.channels_last, spec.fuse_projections) == ("/configs/big", True, True, True)
    options: dict[str, OptionValue] = {"bnb_4bit_quant_type": "nf4", "block": 64}
    assert spec.quantization == Quantization("bitsandbytes_4bit", options, ("transformer",))


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


def _with(**inputs: object) -> Change:
    return lambda wire: wire.inputs.MergeFrom(pb.Inputs(**inputs))  # type: ignore[arg-type]


def _control(**changes: object) -> Change:
    given = {"id": "edges", "source": "/c/edges", "image": "/in/edges.png", **changes}
    return lambda wire: wire.inputs.controls.append(pb.Control(**given))  # type: ignore[arg-type]


def _lora(**changes: object) -> Change:
    given = {"id": "ink", "source": "/l/ink.safetensors", "weight": 1.0, **changes}
    return lambda wire: wire.loras.append(pb.Lora(**given))  # type: ignore[arg-type]


def _residency(value: int) -> Change:
    def change(wire: pb.ExecutionPlan) -> None:
        wire.memory.residency["unet"] = value  # type: ignore[assignment]

    return change


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
        (_set("model.source", "relative"), "model.source"),
        (_set("model.source", "relative/path/of/it"), "model.source"),
        (_set("model.dtype", "float8"), "model.dtype"),
        (_null_option, "scheduler_options.solver_order"),
        (_set("model.config", "relative"), "model.config"),
        (_set("inputs.init_image", "relative.png"), "init_image"),
        (_set("inputs.mask_image", "/in/mask.png"), "mask_image"),
        (_with(init_image="/in/init.png"), "strength"),
        (_with(init_image="/in/init.png", strength=1.1), "strength"),
        (_control(source="relative"), "controls.source"),
        (_control(image="relative"), "controls.image"),
        (_control(scale=float("nan")), "controls.scale"),
        (_control(start=0.8, end=0.3), "controls.start"),
        (_control(end=1.5), "controls.start"),
        (_lora(source="relative"), "loras.source"),
        (_lora(weight=float("inf")), "loras.weight"),
        (_set("inputs.ip_adapter.source", "relative"), "ip_adapter.source"),
        (_residency(pb.RESIDENCY_UNSPECIFIED), "memory.residency.unet"),
        (_residency(99), "memory.residency.unet"),
        (_set("memory.vae_tiling", 99), "memory.vae_tiling"),
        (_set("checkpointing.resume_from", "relative"), "checkpoint"),
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


def test_checkpoints_go_with_whatever_carries_them() -> None:
    mark = Checkpointed("checkpoint.safetensors", 3, 1000)
    wanted = pb.Checkpoint(file_name="checkpoint.safetensors", step=3, size_bytes=1000)
    assert mapping.response(mark, {}).checkpoint == wanted
    assert mapping.response(Suspended(mark), {}).suspended.checkpoint == wanted
    failed = Failed(FailureKind.DEVICE_OUT_OF_MEMORY, Phase.DENOISE, 3, "why", checkpoint=mark)
    assert mapping.response(failed, {}).failure.checkpoint == wanted


def test_no_checkpoint_is_absent() -> None:
    bare = mapping.response(Suspended(), {})
    assert bare.WhichOneof("event") == "suspended"
    assert not bare.suspended.HasField("checkpoint")
    assert not mapping.response(Failed(FailureKind.INTERNAL, None, 0, "why"), {}).failure.HasField("checkpoint")


def test_what_was_really_run_arrives() -> None:
    memory = MemoryPlan({"unet": Residency.PHASE}, vae_tiling=Tiling.TILED)
    effective = Effective(
        num_inference_steps=4,
        guidance_scale=5.0,
        width=64,
        height=72,
        scheduler="DDIMScheduler",
        scheduler_options={"timestep_spacing": "trailing"},
        dtype="float32",
        device="cpu",
        max_batch_images=3,
        weights_sha256="ab",
        pipeline_class="StableDiffusionPipeline",
        runner="stepped",
        exact_rows=8,
        memory=memory,
        resumed_at_step=2,
        decoded_in_float32=True,
    )
    artifact = Artifact(0, "0.png", "image/png", 64, 72, 10, "cd", 7)
    wire = mapping.response(Succeeded((artifact,), (), effective), {"torch": "2"}).result
    assert (wire.artifacts[0].file_name, wire.artifacts[0].seed) == ("0.png", 7)
    told = wire.effective
    assert (told.exact_rows, told.resumed_at_step, told.decoded_in_float32) == (8, 2, True)
    assert dict(told.memory.residency) == {"unet": pb.RESIDENCY_PHASE}
    assert (told.memory.vae_tiling, told.memory.vae_slicing) == (pb.TILING_TILED, False)
    assert (told.runner, told.max_batch_images, dict(told.versions)) == ("stepped", 3, {"torch": "2"})
    assert mapping.memory_plan(told.memory) == memory


@pytest.mark.parametrize("pressure", list(Pressure))
def test_memory_arrives_with_its_pressure(pressure: Pressure) -> None:
    wire = mapping.memory_state(MemoryState(total=5, free=4, allocated=1, reserved=2, peak=3), pressure)
    assert (wire.total_bytes, wire.free_bytes, wire.allocated_bytes) == (5, 4, 1)
    assert (wire.reserved_bytes, wire.peak_bytes) == (2, 3)
    assert pb.MemoryPressure.Name(wire.pressure) == f"MEMORY_PRESSURE_{pressure.name}"


def test_no_phase_is_unspecified() -> None:
    assert mapping.phase(None) == pb.PHASE_UNSPECIFIED
    assert [pb.Phase.Name(mapping.phase(phase)) for phase in Phase] == [f"PHASE_{phase.name}" for phase in Phase]

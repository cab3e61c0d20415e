"""Between the wire's words and ours; the only file that knows both."""

from __future__ import annotations

import math
import re
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from safelight_worker.engine import events
from safelight_worker.engine.engine import MemoryState, Pressure
from safelight_worker.engine.models import LoadedRunner
from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.types import (
    ControlInput,
    FailureKind,
    Inputs,
    IpAdapterInput,
    LoraUse,
    MemoryPlan,
    ModelSpec,
    OptionValue,
    OutputFormat,
    Phase,
    Plan,
    Quantization,
    Residency,
    Tiling,
    WorkerError,
)

_PHASES = {phase: getattr(pb, f"PHASE_{phase.name}") for phase in Phase}
_KINDS = {kind: getattr(pb, f"FAILURE_KIND_{kind.name}") for kind in FailureKind}
_FORMATS = {getattr(pb, f"OUTPUT_FORMAT_{each.name}"): each for each in OutputFormat}
_RESIDENCIES = {getattr(pb, f"RESIDENCY_{each.name}"): each for each in Residency}
_TILINGS = {pb.TILING_UNSPECIFIED: Tiling.OFF, pb.TILING_TILED: Tiling.TILED, pb.TILING_AGGRESSIVE: Tiling.AGGRESSIVE}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")


def model_spec(wire: pb.ModelSpec) -> ModelSpec:
    """Raises WorkerError(invalid_request) naming the field."""
    if not wire.id:
        raise _invalid("model", wire.id, "the id of a model")
    if not Path(wire.source).is_absolute() and not _HUB_ID.fullmatch(wire.source):
        raise _invalid("model.source", wire.source, "an absolute path or a hub id such as owner/name")
    if wire.config:
        _absolute("model.config", wire.config)
    if wire.dtype not in ("", "float32", "float16", "bfloat16"):
        raise _invalid("model.dtype", wire.dtype, "float32, float16 or bfloat16")
    quantization = None
    if wire.HasField("quantization"):
        told = wire.quantization
        options = _plain(told.options, "model.quantization.options")
        quantization = Quantization(told.backend, options, tuple(told.components))
    return ModelSpec(
        id=wire.id,
        source=wire.source,
        dtype=wire.dtype,
        variant=wire.variant,
        config=wire.config,
        quantization=quantization,
        compile=wire.compile,
        channels_last=wire.channels_last,
        fuse_projections=wire.fuse_projections,
    )


def plan(wire: pb.ExecutionPlan) -> Plan:
    """Raises WorkerError(invalid_request) naming the field, the value and what would be accepted."""
    sampling = wire.sampling
    if not wire.attempt_id:
        raise _invalid("attempt_id", "", "an id")
    for name, value in (("width", sampling.width), ("height", sampling.height)):
        if value < 8 or value % 8:
            raise _invalid(name, value, "a multiple of 8")
    if sampling.num_inference_steps < 1:
        raise _invalid("num_inference_steps", sampling.num_inference_steps, "at least 1")
    if not sampling.seeds or min(sampling.seeds) < 0:
        raise _invalid("seed", list(sampling.seeds), "one seed per image, from 0 to 2^63-1")
    if not wire.prompt.text:
        raise _invalid("prompt", "", "a text")
    if not math.isfinite(sampling.guidance_scale):
        raise _invalid("guidance_scale", sampling.guidance_scale, "a finite number")
    if wire.output.quality > 100:
        raise _invalid("output.quality", wire.output.quality, "1 to 100")
    if not Path(wire.output.staging_dir).is_dir():
        raise _invalid("output.staging_dir", wire.output.staging_dir, "an existing folder")
    return Plan(
        attempt_id=wire.attempt_id,
        priority=wire.priority,
        model=model_spec(wire.model),
        prompt=wire.prompt.text,
        negative_prompt=wire.prompt.negative_text,
        num_inference_steps=sampling.num_inference_steps,
        guidance_scale=sampling.guidance_scale,
        seeds=tuple(sampling.seeds),
        width=sampling.width,
        height=sampling.height,
        scheduler=sampling.scheduler,
        scheduler_options=_plain(sampling.scheduler_options, "scheduler_options"),
        staging_dir=Path(wire.output.staging_dir),
        output_format=_FORMATS.get(wire.output.format, OutputFormat.PNG),
        quality=wire.output.quality,
        metadata=dict(wire.output.metadata),
        solo=wire.batching.solo,
        max_images=wire.batching.max_images,
        preview_interval_ms=wire.preview_interval_ms,
        exact=wire.batching.exact,
        true_cfg_scale=sampling.true_cfg_scale,
        num_frames=sampling.num_frames,
        inputs=_inputs(wire.inputs),
        loras=tuple(
            LoraUse(each.id, _absolute("loras.source", each.source), _finite("loras.weight", each.weight))
            for each in wire.loras
        ),
        memory=memory_plan(wire.memory),
        resume_from=_optional_path("checkpoint", wire.checkpointing.resume_from),
        checkpoint_interval_ms=wire.checkpointing.interval_ms,
    )


def _inputs(wire: pb.Inputs) -> Inputs:
    init_image = _optional_path("init_image", wire.init_image)
    mask_image = _optional_path("mask_image", wire.mask_image)
    if mask_image is not None and init_image is None:
        raise _invalid("mask_image", wire.mask_image, "none without an init_image")
    if init_image is not None and not 0 < wire.strength <= 1:
        raise _invalid("strength", wire.strength, "above 0 and at most 1")
    adapter = None
    if wire.HasField("ip_adapter"):
        told = wire.ip_adapter
        adapter = IpAdapterInput(
            told.id,
            _absolute("ip_adapter.source", told.source),
            _absolute("ip_adapter.image", told.image),
            _finite("ip_adapter.scale", told.scale),
        )
    controls = tuple(_control(each) for each in wire.controls)
    return Inputs(
        init_image,
        mask_image,
        wire.strength if init_image else 1.0,
        controls,
        adapter,
        wire.mask_transparency_painted,
    )


def _control(wire: pb.Control) -> ControlInput:
    end = wire.end or 1.0
    if not 0 <= wire.start < end <= 1:
        raise _invalid("controls.start", (wire.start, end), "a start from 0 and an end above it, up to 1")
    return ControlInput(
        wire.id,
        _absolute("controls.source", wire.source),
        _absolute("controls.image", wire.image),
        _finite("controls.scale", wire.scale) or 1.0,
        wire.start,
        end,
    )


def memory_plan(wire: pb.MemoryPlan) -> MemoryPlan:
    """Raises WorkerError(invalid_request) naming the field."""
    residency = {}
    for name, value in sorted(wire.residency.items()):
        if value not in _RESIDENCIES:
            raise _invalid(f"memory.residency.{name}", value, ", ".join(each.value for each in Residency))
        residency[name] = _RESIDENCIES[value]
    if wire.vae_tiling not in _TILINGS:
        raise _invalid("memory.vae_tiling", wire.vae_tiling, ", ".join(each.value for each in Tiling))
    return MemoryPlan(residency, wire.vae_slicing, _TILINGS[wire.vae_tiling], wire.attention_slicing)


def _absolute(field: str, value: str) -> Path:
    if not Path(value).is_absolute():
        raise _invalid(field, value, "an absolute path")
    return Path(value)


def _optional_path(field: str, value: str) -> Path | None:
    return _absolute(field, value) if value else None


def _finite(field: str, value: float) -> float:
    if not math.isfinite(value):
        raise _invalid(field, value, "a finite number")
    return value


def _plain(wire: Struct, field: str) -> dict[str, OptionValue]:
    """A Struct holds doubles only; whole ones are integers again, as the options of schedulers are."""
    found = MessageToDict(wire)
    for name, value in found.items():
        if not isinstance(value, (bool, float, str)):
            raise _invalid(f"{field}.{name}", value, "a boolean, a number or a word")
    whole = {name: int(value) for name, value in found.items() if isinstance(value, float) and value.is_integer()}
    return found | whole


def _invalid(field: str, value: object, limit: str) -> WorkerError:
    return WorkerError(FailureKind.INVALID_REQUEST, f"{field} is {value!r}; expected {limit}", field)


def phase(value: Phase | None) -> pb.Phase:
    """The wire's word for a phase."""
    return pb.PHASE_UNSPECIFIED if value is None else _PHASES[value]


def response(event: events.Event, versions: dict[str, str]) -> pb.RunResponse:
    """The message for an event."""
    match event:
        case events.PhaseStarted():
            return pb.RunResponse(phase_started=pb.PhaseStarted(phase=phase(event.phase)))
        case events.StepFinished():
            return pb.RunResponse(
                step_finished=pb.StepFinished(step=event.step, steps=event.steps, batch_images=event.batch_images)
            )
        case events.Preview():
            return pb.RunResponse(preview=pb.Preview(step=event.step, media_type="image/jpeg", data=event.data))
        case events.Checkpointed():
            return pb.RunResponse(checkpoint=_checkpoint(event))
        case events.Cancelled():
            return pb.RunResponse(cancelled=pb.Cancelled())
        case events.Suspended():
            return pb.RunResponse(suspended=pb.Suspended(checkpoint=_checkpoint(event.checkpoint)))
        case events.Failed():
            return pb.RunResponse(failure=failure(event))
        case events.Succeeded():
            return pb.RunResponse(result=_result(event, versions))


def failure(event: events.Failed) -> pb.Failure:
    """The message for a failure."""
    return pb.Failure(
        kind=_KINDS[event.kind],
        phase=phase(event.phase),
        step=event.step,
        message=event.message,
        detail=event.detail,
        requested_bytes=event.requested_bytes,
        free_bytes=event.free_bytes,
        field=event.field,
        checkpoint=_checkpoint(event.checkpoint),
    )


def _checkpoint(event: events.Checkpointed | None) -> pb.Checkpoint | None:
    if event is None:
        return None
    return pb.Checkpoint(file_name=event.file_name, step=event.step, size_bytes=event.size_bytes)


def _memory_to_wire(plan: MemoryPlan) -> pb.MemoryPlan:
    residencies = {each: number for number, each in _RESIDENCIES.items()}
    tilings = {each: number for number, each in _TILINGS.items()}
    return pb.MemoryPlan(
        residency={name: residencies[each] for name, each in plan.residency.items()},
        vae_slicing=plan.vae_slicing,
        vae_tiling=tilings[plan.vae_tiling],
        attention_slicing=plan.attention_slicing,
    )


def memory_state(state: MemoryState, pressure: Pressure) -> pb.MemoryState:
    """The message for the memory of the device."""
    return pb.MemoryState(
        total_bytes=state.total,
        free_bytes=state.free,
        allocated_bytes=state.allocated,
        reserved_bytes=state.reserved,
        peak_bytes=state.peak,
        pressure=getattr(pb, f"MEMORY_PRESSURE_{pressure.name}"),
    )


def _result(event: events.Succeeded, versions: dict[str, str]) -> pb.Result:
    effective = event.effective
    wire = pb.Effective(
        num_inference_steps=effective.num_inference_steps,
        guidance_scale=effective.guidance_scale,
        width=effective.width,
        height=effective.height,
        scheduler=effective.scheduler,
        dtype=effective.dtype,
        device=effective.device,
        max_batch_images=effective.max_batch_images,
        weights_sha256=effective.weights_sha256,
        pipeline_class=effective.pipeline_class,
        versions=versions,
        runner=effective.runner,
        exact_rows=effective.exact_rows,
        memory=_memory_to_wire(effective.memory),
        resumed_at_step=effective.resumed_at_step,
        decoded_in_float32=effective.decoded_in_float32,
    )
    wire.scheduler_options.update(dict(effective.scheduler_options))
    artifacts = [
        pb.Artifact(
            index=each.index,
            file_name=each.file_name,
            media_type=each.media_type,
            width=each.width,
            height=each.height,
            size_bytes=each.size_bytes,
            sha256=each.sha256,
            seed=each.seed,
        )
        for each in event.artifacts
    ]
    timings = [
        pb.PhaseTiming(
            phase=phase(each.phase),
            started_at_ms=each.started_at_ms,
            finished_at_ms=each.finished_at_ms,
            peak_memory_bytes=each.peak_memory_bytes,
        )
        for each in event.phases
    ]
    return pb.Result(artifacts=artifacts, phases=timings, effective=wire)


def model_facts(loaded: LoadedRunner) -> pb.ModelFacts:
    """What was learned by loading a model."""
    model = loaded.model
    facts = pb.ModelFacts(
        id=model.spec.id,
        pipeline_class=model.pipeline_class,
        runner=loaded.runner.kind,
        dtype=model.dtype_name,
        weights_sha256=model.weights_sha256,
        weights_bytes=model.weights_bytes,
    )
    for shape, images in loaded.runner.row_caps.items():
        width, height = shape.split("x")
        rows = loaded.runner.exact_rows.get(shape, 0)
        facts.row_caps.add(width=int(width), height=int(height), images=images, exact_rows=rows)
    for footprint in loaded.runner.footprints:
        facts.footprints.add(
            phase=phase(footprint.phase),
            fixed_bytes=footprint.fixed_bytes,
            bytes_per_pixel=footprint.bytes_per_pixel,
            measured=footprint.measured,
        )
    for name, size in model.component_bytes.items():
        facts.components.add(name=name, weights_bytes=size)
    facts.load_time.FromNanoseconds(int(loaded.load_seconds * 1e9))
    return facts

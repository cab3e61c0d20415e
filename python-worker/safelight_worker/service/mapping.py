"""Between the wire's words and ours; the only file that knows both."""

from __future__ import annotations

import math
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from safelight_worker.engine import events
from safelight_worker.engine.models import LoadedRunner
from safelight_worker.pb import worker_pb2 as pb
from safelight_worker.types import FailureKind, ModelSpec, OptionValue, OutputFormat, Phase, Plan, WorkerError

_PHASES = {phase: getattr(pb, f"PHASE_{phase.name}") for phase in Phase}
_KINDS = {kind: getattr(pb, f"FAILURE_KIND_{kind.name}") for kind in FailureKind}
_FORMATS = {getattr(pb, f"OUTPUT_FORMAT_{each.name}"): each for each in OutputFormat}


def model_spec(wire: pb.ModelSpec) -> ModelSpec:
    """Raises WorkerError(invalid_request) naming the field."""
    if not wire.id:
        raise _invalid("model", wire.id, "the id of a model")
    if not Path(wire.source).is_absolute():
        raise _invalid("model.source", wire.source, "an absolute path")
    if wire.dtype not in ("", "float32", "float16", "bfloat16"):
        raise _invalid("model.dtype", wire.dtype, "float32, float16 or bfloat16")
    return ModelSpec(wire.id, Path(wire.source), wire.dtype, wire.variant)


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
        scheduler_options=_options(sampling),
        staging_dir=Path(wire.output.staging_dir),
        output_format=_FORMATS.get(wire.output.format, OutputFormat.PNG),
        quality=wire.output.quality,
        metadata=dict(wire.output.metadata),
        solo=wire.batching.solo,
        max_images=wire.batching.max_images,
        preview_interval_ms=wire.preview_interval_ms,
    )


def _options(sampling: pb.Sampling) -> dict[str, OptionValue]:
    """A Struct holds doubles only; whole ones are integers again, as the schedulers' options are."""
    found = MessageToDict(sampling.scheduler_options)
    for name, value in found.items():
        if not isinstance(value, (bool, float, str)):
            raise _invalid(f"scheduler_options.{name}", value, "a boolean, a number or a word")
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
        case events.Cancelled():
            return pb.RunResponse(cancelled=pb.Cancelled())
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
        facts.row_caps.add(width=int(width), height=int(height), images=images)
    facts.load_time.FromNanoseconds(int(loaded.load_seconds * 1e9))
    return facts

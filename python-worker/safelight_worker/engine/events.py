"""What the engine tells about an attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from safelight_worker.types import FailureKind, MemoryPlan, OptionValue, Phase


@dataclass(frozen=True)
class PhaseStarted:
    phase: Phase


@dataclass(frozen=True)
class StepFinished:
    step: int
    steps: int
    batch_images: int


@dataclass(frozen=True)
class Preview:
    """``data`` is a JPEG."""

    step: int
    data: bytes


@dataclass(frozen=True)
class Checkpointed:
    """A file in the staging folder from which the attempt can go on. It replaces the one before."""

    file_name: str
    step: int
    size_bytes: int


@dataclass(frozen=True)
class Artifact:
    index: int
    file_name: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    seed: int


@dataclass(frozen=True)
class PhaseTiming:
    """Epoch milliseconds and bytes."""

    phase: Phase
    started_at_ms: int
    finished_at_ms: int
    peak_memory_bytes: int


@dataclass(frozen=True)
class Effective:
    """What was really run."""

    num_inference_steps: int
    guidance_scale: float
    width: int
    height: int
    scheduler: str
    scheduler_options: Mapping[str, OptionValue]
    dtype: str
    device: str
    max_batch_images: int
    weights_sha256: str
    pipeline_class: str
    runner: str
    exact_rows: int
    memory: MemoryPlan
    resumed_at_step: int
    decoded_in_float32: bool


@dataclass(frozen=True)
class Succeeded:
    artifacts: tuple[Artifact, ...]
    phases: tuple[PhaseTiming, ...]
    effective: Effective


@dataclass(frozen=True)
class Failed:
    kind: FailureKind
    phase: Phase | None
    step: int
    message: str
    detail: str = ""
    field: str = ""
    requested_bytes: int = 0
    free_bytes: int = 0
    checkpoint: Checkpointed | None = None


@dataclass(frozen=True)
class Cancelled:
    pass


@dataclass(frozen=True)
class Suspended:
    """Taken off the device on request. Without a checkpoint it had not begun to denoise."""

    checkpoint: Checkpointed | None = None


Event = PhaseStarted | StepFinished | Preview | Checkpointed | Succeeded | Failed | Cancelled | Suspended
Outcome = Succeeded | Failed | Cancelled | Suspended
Sink = Callable[[Event], None]
TERMINAL = (Succeeded, Failed, Cancelled, Suspended)

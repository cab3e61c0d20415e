"""Words the worker's layers share: plans, phases, events, failures. Imports nothing of the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

OptionValue = bool | int | float | str


class Phase(str, Enum):
    """Where an attempt is: diffusers' own stages, in their order."""

    LOAD = "load"
    ENCODE = "encode"
    PREPARE = "prepare"
    DENOISE = "denoise"
    DECODE = "decode"
    VALIDATE = "validate"
    SAVE = "save"


class FailureKind(str, Enum):
    """What went wrong, in the words of the contract."""

    DEVICE_OUT_OF_MEMORY = "device_out_of_memory"
    DEVICE_FATAL = "device_fatal"
    MODEL_UNAVAILABLE = "model_unavailable"
    INVALID_REQUEST = "invalid_request"
    REJECTED_OUTPUT = "rejected_output"
    INTERNAL = "internal"
    WORKER_STOPPING = "worker_stopping"


class OutputFormat(str, Enum):
    """File format of a picture."""

    PNG = "png"
    WEBP = "webp"
    JPEG = "jpeg"


@dataclass(frozen=True)
class ModelSpec:
    """Which weights, in which form. ``dtype`` and ``variant`` empty: the worker's choice, plain file names."""

    id: str
    source: Path
    dtype: str = ""
    variant: str = ""


@dataclass(frozen=True)
class Plan:
    """One attempt with everything decided. Sizes in pixels; one picture per seed."""

    attempt_id: str
    priority: int
    model: ModelSpec
    prompt: str
    negative_prompt: str
    num_inference_steps: int
    guidance_scale: float
    seeds: tuple[int, ...]
    width: int
    height: int
    scheduler: str
    scheduler_options: Mapping[str, OptionValue]
    staging_dir: Path
    output_format: OutputFormat
    quality: int
    metadata: Mapping[str, str]
    solo: bool
    max_images: int
    preview_interval_ms: int


class WorkerError(Exception):
    """A failure of one attempt whose kind is known. ``field`` names the request's field at fault, if one is."""

    def __init__(self, kind: FailureKind, message: str, field_name: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.field = field_name

"""Words the worker's layers share: plans, phases, events, failures. Imports nothing of the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    MP4 = "mp4"
    """One file for all frames of a video; the formats above give one file a frame."""


class Task(str, Enum):
    """What is made from what; the inputs of a plan tell which."""

    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_TO_IMAGE = "image_to_image"
    INPAINT = "inpaint"


class Residency(str, Enum):
    """Where a component's weights lie while its model is loaded."""

    RESIDENT = "resident"
    """On the device at all times."""
    PHASE = "phase"
    """On the device while its phase runs, else on the host."""
    GROUP_OFFLOAD = "group_offload"
    """Block by block, each on the device only while it computes."""


class Tiling(str, Enum):
    """How the VAE cuts a picture that is too large for it."""

    OFF = "off"
    TILED = "tiled"
    """The VAE's own tile size."""
    AGGRESSIVE = "aggressive"
    """Tiles of half that side: a quarter of the memory, and more seams to blend."""


@dataclass(frozen=True)
class Quantization:
    """A quantization backend of diffusers (``bitsandbytes_4bit``, ``bitsandbytes_8bit``, ``torchao``, ``gguf``, ``quanto``),
    its options, and the components it is applied to; none: the denoiser."""

    backend: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    components: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.backend, tuple(sorted(self.options.items())), self.components))


@dataclass(frozen=True)
class ModelSpec:
    """Which weights, in which form. ``dtype`` and ``variant`` empty: the worker's choice, plain file names.

    ``source`` is a folder in the diffusers layout, a single checkpoint file (then ``config`` is the folder that describes
    it) or the id of a hub repository that lies in the local cache, ``owner/name``, with an optional ``@revision``.
    """

    id: str
    source: str
    dtype: str = ""
    variant: str = ""
    config: str = ""
    quantization: Quantization | None = None
    compile: bool = False
    """Compile the denoiser's repeated blocks; rows are then padded to powers of two."""
    channels_last: bool = False
    """Convolutions in NHWC, which tensor cores prefer."""
    fuse_projections: bool = False
    """Query, key and value in one matrix product."""


@dataclass(frozen=True)
class Pixels:
    """A picture that is decoded: one byte a value, the top row first."""

    mode: str
    """``RGB``, or ``L`` for a mask."""
    width: int
    height: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class ControlInput:
    """A ControlNet and the picture it follows. ``start`` and ``end`` are shares of the steps, 0 … 1."""

    id: str
    source: Path
    image: Path | Pixels
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class IpAdapterInput:
    """An IP-Adapter and the picture it takes its likeness from. ``source`` is the weight file."""

    id: str
    source: Path
    image: Path | Pixels
    scale: float = 1.0


@dataclass(frozen=True)
class Inputs:
    """Pictures a plan starts from: files as they came, pixels once the engine has had them decoded. In a mask white is painted
    anew."""

    init_image: Path | Pixels | None = None
    mask_image: Path | Pixels | None = None
    strength: float = 1.0
    """Share of the noise that is added to ``init_image``: 1 forgets it."""
    controls: tuple[ControlInput, ...] = ()
    ip_adapter: IpAdapterInput | None = None
    mask_transparency_painted: bool = False
    """Whether the mask tells by its transparency, where it has any: what is transparent is painted anew."""

    @property
    def any(self) -> bool:
        """Whether there is a picture among them."""
        own = (self.init_image, self.mask_image, self.ip_adapter)
        return bool(self.controls) or any(each is not None for each in own)

    @property
    def task(self) -> Task:
        if self.init_image is None:
            return Task.TEXT_TO_IMAGE
        return Task.IMAGE_TO_IMAGE if self.mask_image is None else Task.INPAINT


@dataclass(frozen=True)
class LoraUse:
    """A LoRA and how much of it. ``source`` is a safetensors file."""

    id: str
    source: Path
    weight: float = 1.0


@dataclass(frozen=True)
class MemoryPlan:
    """What the orchestrator decided about memory. Components that are not named are resident."""

    residency: Mapping[str, Residency] = field(default_factory=dict)
    vae_slicing: bool = False
    vae_tiling: Tiling = Tiling.OFF
    attention_slicing: bool = False


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
    """Nobody else's rows in its forwards."""
    max_images: int
    preview_interval_ms: int
    exact: bool = False
    """Forwards of the fixed number of rows of its model and shape, so that its bits depend on nothing else."""
    true_cfg_scale: float = 0.0
    """Classifier-free guidance of models distilled on guidance; 1: none, 0: the pipeline's own."""
    num_frames: int = 0
    """Frames of a video; 0: the pipeline's own number."""
    inputs: Inputs = field(default_factory=Inputs)
    loras: tuple[LoraUse, ...] = ()
    memory: MemoryPlan = field(default_factory=MemoryPlan)
    resume_from: Path | None = None
    """A checkpoint to go on from."""
    checkpoint_interval_ms: int = 0
    """Milliseconds between checkpoints; 0: only when suspended or out of memory."""


class WorkerError(Exception):
    """A failure of one attempt whose kind is known. ``field`` names the request's field at fault, if one is."""

    def __init__(self, kind: FailureKind, message: str, field_name: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.field = field_name

"""What a family adds to stepped running, and what all families share of a step.

A step adapter mirrors its pipeline's ``__call__`` operation by operation, so that one image alone is bit-identical to it. The
order of a step is the same everywhere - gather rows, one forward, guidance, the scheduler's step, inpainting's blend - and
stands here once; a family's file says how its conditions, latents, forward and decode are made.
"""

# ruff: noqa: ARG002  a hook takes what its overrides need

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from PIL import Image
from torch import Tensor

from safelight_worker.pipelines.input_images import open_mask, open_rgb
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.schedulers import SchedulerChoice, set_timesteps, step_arguments
from safelight_worker.pipelines.siblings import Siblings
from safelight_worker.pipelines.state import NEGATIVE, POSITIVE, Conditions, ControlUse, Rows, Start, StepState
from safelight_worker.pipelines.state_record import recorded, restored
from safelight_worker.types import ControlInput, FailureKind, LoraUse, Phase, Plan, Task, WorkerError


@dataclass(frozen=True)
class ForwardBatch:
    """Rows of one forward. ``sample`` is (rows, …), ``timestep`` (rows,) on the device, every entry of ``rows`` (rows, …).

    ``spans`` tells which rows are whose; rows beyond the last span are padding.
    """

    sample: Tensor
    timestep: Tensor
    rows: Rows
    shared: Mapping[str, Tensor]
    states: Sequence[StepState]
    spans: Sequence[slice]


class StepAdapter(ABC):
    """A loaded model of one family. Methods are pure of threads and queues; all belong to the engine thread.

    A ``view`` is a request view of :meth:`pipe` for the plan's task: the ``self`` of the pipeline's own methods.
    """

    #: diffusers classes by task; they share their components.
    classes: ClassVar[Mapping[Task, type[DiffusionPipeline]]]

    #: Name of the denoiser among the components.
    denoiser: ClassVar[str]

    #: Whether ``pipe()`` runs both branches of classifier-free guidance in one forward.
    branches_together: ClassVar[bool] = True

    #: Whether a ControlNet can be attached.
    takes_controls: ClassVar[bool] = False

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self._siblings = Siblings(model.pipe)

    # ---------------------------------------------------------------- what a family says

    @abstractmethod
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels that the denoiser was trained on."""

    @abstractmethod
    def encode(self, view: Any, plan: Plan) -> Conditions:
        """The text conditions, as ``pipe()`` makes them. They may depend on what :meth:`text_key` names and on nothing else."""

    @abstractmethod
    def from_noise(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        """Text to image. The view has its scheduler, with its schedule, from here on."""

    @abstractmethod
    def from_image(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        """Image to image."""

    @abstractmethod
    def from_masked_image(self, view: Any, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Start:
        """Inpainting."""

    @abstractmethod
    def forward(self, batch: ForwardBatch) -> Tensor:
        """The denoiser's prediction for all rows, (rows, …)."""

    @abstractmethod
    def decodable(self, view: Any, state: StepState) -> Tensor:
        """The latents as the VAE's decoder takes them: unpacked, scaled and shifted."""

    @abstractmethod
    def preview_latents(self, state: StepState) -> Tensor:
        """(1, channels, height/f, width/f): latents whose pixels lie where the picture's do."""

    @property
    def simplest_task(self) -> Task:
        """The task that asks least of a request."""
        return Task.TEXT_TO_IMAGE

    def check_plan(self, plan: Plan, scheduler: SchedulerMixin) -> None:  # noqa: B027  most families begin with anything
        """Raises WorkerError(invalid_request) for what the family cannot begin with."""

    def schedule(self, scheduler: SchedulerMixin, plan: Plan) -> dict[str, Any]:
        """Arguments of ``set_timesteps`` beside the count and the device."""
        return {}

    def rows_of_image(self, view: Any, plan: Plan, conditions: Conditions, start: Start) -> Mapping[str, Rows]:
        """Rows by branch that the prompt alone does not determine: sizes, a guidance scale that is an input."""
        return {}

    def guidance(self, plan: Plan) -> float:
        """The scale of classifier-free guidance."""
        return plan.guidance_scale

    def controls(self, plan: Plan) -> tuple[ControlUse, ...]:
        """The pictures its ControlNets follow."""
        return ()

    def timestep(self, state: StepState, t: Tensor, rows: int) -> Tensor:
        """The timestep input of a state's rows, (rows,)."""
        return t.reshape(1).expand(rows)

    def model_input(self, state: StepState, rows: Tensor, t: Tensor) -> Tensor:
        """The latents' rows as the denoiser takes them."""
        scaled = rows
        if hasattr(state.scheduler, "scale_model_input"):
            scaled = state.scheduler.scale_model_input(rows, t)
        return (
            scaled if state.channels is None else torch.cat([scaled, state.channels.expand(len(rows), -1, -1, -1)], 1)
        )

    def noised(self, state: StepState, image_latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Image latents with the noise of a timestep, for inpainting."""
        noised: Tensor = state.scheduler.add_noise(image_latents, noise, t.reshape(1))
        return noised

    def step_arguments(self, state: StepState) -> dict[str, Any]:
        """What ``pipe()`` passes to the scheduler's ``step`` beside the sample."""
        return step_arguments(state.scheduler, state.generator)

    def objects(self, view: Any, decoded: Tensor) -> bool:
        """Whether the model's own safety checker, where it has one, objects to a decoded picture."""
        return False

    def phases(self) -> Mapping[Phase, frozenset[str]]:
        """Components each phase needs on the device. PREPARE encodes the pictures a plan starts from."""
        names = {name for name, each in self.model.pipe.components.items() if isinstance(each, torch.nn.Module)}
        text = frozenset(name for name in names if name.startswith("text_encoder"))
        return {
            Phase.ENCODE: text,
            Phase.PREPARE: frozenset({"vae"}),
            Phase.DENOISE: frozenset({self.denoiser}),
            Phase.DECODE: frozenset(names - text - {self.denoiser}),
        }

    # ---------------------------------------------------------------- what all families share

    def prepare(self, view: Any, choice: SchedulerChoice, conditions: Conditions, plan: Plan, seed: int) -> StepState:
        """A state at step 0, with a scheduler and a generator of its own. Noise is drawn on the CPU on every device."""
        scheduler = choice.build(self.model.pipe.scheduler)
        self.check_plan(plan, scheduler)
        # Before the latents, which some families multiply by the schedule's first noise level.
        arguments = self.schedule(scheduler, plan)
        set_timesteps(scheduler, plan.num_inference_steps, self.model.device, **arguments)
        view.scheduler = scheduler
        view._guidance_scale = plan.guidance_scale
        generator = torch.Generator().manual_seed(seed)
        dtype = conditions.branches[POSITIVE]["encoder_hidden_states"].dtype
        begin = {
            Task.TEXT_TO_IMAGE: self.from_noise,
            Task.IMAGE_TO_IMAGE: self.from_image,
            Task.INPAINT: self.from_masked_image,
        }[plan.inputs.task]
        start = begin(view, plan, dtype, generator)
        more = self.rows_of_image(view, plan, conditions, start)
        state = StepState(
            latents=start.latents,
            timesteps=start.timesteps,
            scheduler=scheduler,
            generator=generator,
            branches={name: {**rows, **more.get(name, {})} for name, rows in conditions.branches.items()},
            guidance_scale=self.guidance(plan),
            width=plan.width,
            height=plan.height,
            shared={**conditions.shared, **start.shared},
            channels=start.channels,
            blend=start.blend,
            controls=self.controls(plan),
            loras=plan.loras,
        )
        state.kind = self.fingerprint(state)
        return state

    def timesteps_left(self, view: Any, plan: Plan) -> Tensor:
        """Timesteps that ``strength`` leaves. Raises WorkerError(invalid_request) when it leaves none."""
        steps, strength = plan.num_inference_steps, plan.inputs.strength
        timesteps: Tensor
        timesteps, left = view.get_timesteps(steps, strength, self.model.device)
        if left < 1:
            message = f"strength is {strength:g}; of {steps} steps that leaves none"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, "strength")
        return timesteps

    def init_image(self, plan: Plan) -> Image.Image:
        """The picture to begin with, in the size of the plan."""
        assert plan.inputs.init_image is not None
        return open_rgb(plan.inputs.init_image, "init_image", plan.width, plan.height)

    def mask_image(self, plan: Plan) -> Image.Image:
        """White is painted anew."""
        assert plan.inputs.mask_image is not None
        painted = plan.inputs.mask_transparency_painted
        mask = plan.inputs.mask_image
        return open_mask(mask, "mask_image", plan.width, plan.height, transparency_painted=painted)

    def pipe(self, task: Task) -> DiffusionPipeline:
        """The pipeline of a task, made from the loaded one's components once. Nobody calls it; views are made of it.

        Raises:
            WorkerError: ``invalid_request`` when the family has no such task.
        """
        cls = self.classes.get(task)
        if cls is None:
            field = "mask_image" if task is Task.INPAINT else "init_image"
            message = f"{self.model.pipeline_class} has no {task.value.replace('_', ' ')}"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, field)
        return self._siblings.pipe(cls)

    @property
    def module(self) -> Any:
        """The denoiser."""
        return getattr(self.model.pipe, self.denoiser)

    def text_key(self, plan: Plan) -> Hashable:
        """What the conditions depend on."""
        return (plan.prompt, plan.negative_prompt, self.is_guided(plan), plan.loras)

    def is_guided(self, plan: Plan) -> bool:
        """Whether classifier-free guidance takes a second row."""
        return plan.guidance_scale > 1

    @cached_property
    def call_defaults(self) -> Mapping[str, Any]:
        """Defaults of the text-to-image ``__call__``, by argument."""
        parameters = inspect.signature(self.classes[Task.TEXT_TO_IMAGE].__call__).parameters
        return {name: each.default for name, each in parameters.items()}

    def fingerprint(self, state: StepState) -> str:
        """What images must have in common to share a forward: shapes, dtypes, shared tensors, adapters."""
        digest = hashlib.sha256()
        # With and without guidance may mix: all rows of a state are alike.
        facts = (
            state.latents.shape[1:],
            state.latents.dtype,
            sorted((name, row.shape[1:]) for name, row in state.branches[POSITIVE].items()),
            None if state.channels is None else state.channels.shape[1:],
            [(use.id, use.source) for use in state.controls],
            [(use.id, str(use.source), use.weight) for use in state.loras],
        )
        digest.update(repr(facts).encode())
        for name, tensor in sorted(state.shared.items()):
            digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()[:16]

    def predict(self, states: Sequence[StepState], pad_to: int = 0) -> list[Tensor]:
        """Noise (or velocity) predicted for each state, guidance applied; shapes as their latents. Forwards are padded to
        ``pad_to`` rows with copies of the first."""
        if self.branches_together:
            return [
                self.guide(state, dict(zip(state.branches, rows.chunk(len(state.branches)), strict=True)))
                for state, rows in zip(states, self._run(states, None, pad_to), strict=True)
            ]
        predicted: list[dict[str, Tensor]] = [{} for _ in states]
        for branch in (POSITIVE, NEGATIVE):
            having = [index for index, state in enumerate(states) if branch in state.branches]
            if having:
                found = self._run([states[index] for index in having], branch, pad_to)
                for index, rows in zip(having, found, strict=True):
                    predicted[index][branch] = rows
        return [self.guide(state, each) for state, each in zip(states, predicted, strict=True)]

    def _run(self, states: Sequence[StepState], only: str | None, pad_to: int) -> list[Tensor]:
        """One forward of all branches, or of one; each state's rows of the result."""
        samples, times, spans, taken = [], [], [], []
        at = 0
        for state in states:
            t = state.timesteps[state.step]
            rows = list(state.branches.values()) if only is None else [state.branches[only]]
            samples.append(self.model_input(state, torch.cat([state.latents] * len(rows)), t))
            times.append(self.timestep(state, t, len(rows)))
            taken.extend(rows)
            spans.append(slice(at, at + len(rows)))
            at += len(rows)
        dtype = times[0].dtype if all(each.dtype == times[0].dtype for each in times) else torch.float32
        device = self.model.device
        batch = ForwardBatch(
            sample=_padded(torch.cat(samples), pad_to),
            timestep=_padded(torch.cat([each.to(device=device, dtype=dtype) for each in times]), pad_to),
            rows={name: _padded(torch.cat([rows[name] for rows in taken]), pad_to) for name in taken[0]},
            shared=states[0].shared,
            states=states,
            spans=spans,
        )
        predicted = self.forward(batch)
        return [predicted[span] for span in spans]

    def guide(self, state: StepState, predicted: Mapping[str, Tensor]) -> Tensor:
        """Classifier-free guidance (Ho and Salimans, 2022): ``negative + scale * (positive - negative)``."""
        positive = predicted[POSITIVE]
        if NEGATIVE not in predicted:
            # A view would keep the rows of all others alive in a scheduler's history.
            return positive.clone()
        negative = predicted[NEGATIVE]
        return negative + state.guidance_scale * (positive - negative)

    def apply(self, state: StepState, predicted: Tensor) -> Tensor:
        """The latents after this step. Moves the scheduler and the generator on."""
        t = state.timesteps[state.step]
        latents: Tensor = state.scheduler.step(
            predicted, t, state.latents, **self.step_arguments(state), return_dict=False
        )[0]
        if state.blend is None:
            return latents
        kept = state.blend.image_latents
        if state.step < state.steps - 1:
            kept = self.noised(state, kept, state.blend.noise, state.timesteps[state.step + 1])
        return (1 - state.blend.mask) * kept + state.blend.mask * latents

    def decode(self, view: Any, state: StepState) -> Tensor:
        """(1, 3, height, width) in -1 … 1, in the VAE's dtype."""
        latents = self.decodable(view, state).to(view.vae.dtype)
        decoded: Tensor = view.vae.decode(latents, return_dict=False)[0]
        return decoded

    # ---------------------------------------------------------------- off the device and back

    def to_host(self, state: StepState) -> dict[str, Any]:
        """The state as plain values that share nothing with it."""
        return recorded(state)

    def from_host(
        self, kept: Mapping[str, Any], loras: Sequence[LoraUse] = (), controls: Sequence[ControlInput] = ()
    ) -> StepState:
        """The state a record was made from, on the device again. ``loras`` and ``controls`` tell where the weights lie now.

        Raises:
            WorkerError: ``invalid_request`` when LoRAs or ControlNets differ from the record's.
        """
        state = restored(kept, self.model.device, loras, controls)
        state.kind = self.fingerprint(state)
        return state


def _padded(tensor: Tensor, rows: int) -> Tensor:
    missing = rows - len(tensor)
    return tensor if missing <= 0 else torch.cat([tensor, tensor[:1].expand(missing, *tensor.shape[1:])])

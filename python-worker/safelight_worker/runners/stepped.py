"""Runs a model step by step through its step adapter, many images in one forward."""

# ruff: noqa: ARG002  the arguments are those of the Runner protocol

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from safelight_worker.memory.calibration import CalibrationFile
from safelight_worker.memory.footprint import PhaseFootprint
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.pipelines.adapter import StepAdapter
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.loras import Loras
from safelight_worker.pipelines.previews import PreviewFactors, preview_factors, read_factors
from safelight_worker.pipelines.prompts import unread_tokens
from safelight_worker.pipelines.schedulers import SchedulerChoice, choose
from safelight_worker.pipelines.state import Conditions, StepState
from safelight_worker.placement.attention_options import attention_options
from safelight_worker.placement.group_offload import renew_group_offload
from safelight_worker.placement.vae_options import vae_options
from safelight_worker.runners.footprints import footprints
from safelight_worker.runners.model_placement import ModelPlacement
from safelight_worker.runners.outputs import Picture
from safelight_worker.runners.prompt_cache import PromptCache
from safelight_worker.runners.request_view import request_view
from safelight_worker.runners.row_caps import BUDGET_IN_FLIGHT, BUDGET_WARM_UP, RowCaps
from safelight_worker.runners.runner import Finished, to_picture
from safelight_worker.runners.safe_decode import decode_again_in_float32, shows_nothing
from safelight_worker.types import (
    FailureKind,
    Inputs,
    MemoryPlan,
    ModelSpec,
    OutputFormat,
    Phase,
    Plan,
    Task,
    WorkerError,
)

log = logging.getLogger(__name__)

#: Resolved wishes for a noise scheduler: checking one builds a scheduler, which takes as long as a small picture's step.
_CHOICES_KEPT = 64

#: Fields of schedulers into whose tensors ``step`` writes (PNDM's Runge-Kutta steps add up in one).
_WRITTEN_IN_PLACE = ("cur_model_output",)


class SteppedRunner:
    """A model whose images advance one step per tick, several in one forward."""

    kind = "stepped"

    def __init__(
        self,
        model: LoadedModel,
        adapter: StepAdapter,
        caps: RowCaps,
        placement: ModelPlacement,
        loras: Loras,
    ) -> None:
        self._model = model
        self._adapter = adapter
        self._factors: PreviewFactors | None = None
        self._caps = caps
        self._placement = placement
        self._loras = loras
        self._prompts = PromptCache(model.device)
        self._choices: dict[Hashable, SchedulerChoice] = {}
        self._trials: dict[tuple[int, int], StepState] = {}
        self._exact_in_company: dict[tuple[int, int, int, bool], bool] = {}
        self.footprints: Sequence[PhaseFootprint] = ()

    @property
    def swaps_phases(self) -> bool:
        return self._placement.swaps_phases

    @property
    def row_caps(self) -> dict[str, int]:
        return self._caps.as_dict()

    @property
    def exact_rows(self) -> dict[str, int]:
        return {shape: images * self._rows_per_image for shape, images in self._caps.exact_images().items()}

    # ---------------------------------------------------------------- what it learns

    def warm_up(self, memory: MemoryProbe, kept: CalibrationFile) -> None:
        """Measures row cap and footprints at the model's own size, and has every kernel run once."""
        width, height = self._adapter.native_size()
        self._measure(width, height, BUDGET_WARM_UP)
        runs = {Phase.ENCODE: self._encode_once, Phase.DENOISE: self._predict_once, Phase.DECODE: self._decode_once}
        with torch.inference_mode():
            native = (width, height)
            ready = self._trial_state
            self.footprints = footprints(self._model, native, self._rows_per_image, ready, runs, memory, kept)
        self._trials.clear()

    def _encode_once(self, rows: int, width: int, height: int) -> None:
        self._placement.enter(Phase.ENCODE)
        task = self._adapter.simplest_task
        self._adapter.encode(self._view(task), _trial_plan(self._model.spec, width, height, Inputs()))

    def _predict_once(self, rows: int, width: int, height: int) -> None:
        trial = self._trial_state(width, height)
        self._placement.enter(Phase.DENOISE)
        self._adapter.predict([trial] * self.images_in(rows))

    def _decode_once(self, rows: int, width: int, height: int) -> None:
        trial = self._trial_state(width, height)
        self._placement.enter(Phase.DECODE)
        with self._vae_dtype():
            self._adapter.decode(self._view(self._adapter.simplest_task), trial)

    def measure(self, plan: Plan) -> None:
        if plan.exact or (not plan.solo and plan.max_images != 1):
            self._measure(plan.width, plan.height, BUDGET_IN_FLIGHT)

    def row_cap(self, plan: Plan) -> int:
        return self._caps.known(_shape(plan.width, plan.height)) or 1

    def images_in(self, rows: int) -> int:
        return max(1, rows // self._rows_per_image)

    @property
    def _rows_per_image(self) -> int:
        return 2 if self._adapter.branches_together else 1

    def _measure(self, width: int, height: int, budget: float) -> None:
        if self._caps.known(_shape(width, height)) is not None:
            return
        with torch.inference_mode():
            trial = self._trial_state(width, height)
            self._placement.enter(Phase.DENOISE)

            def forward(images: int) -> None:
                self._adapter.predict([trial] * images)
                if self._model.device.type == "cuda":
                    torch.cuda.synchronize(self._model.device)

            self._caps.measure(_shape(width, height), forward, budget)
        self._trials.clear()

    def _trial_state(self, width: int, height: int) -> StepState:
        """A state to measure with; its picture is thrown away."""
        if (width, height) not in self._trials:
            self._trials[width, height] = self._make_trial(width, height)
        return self._trials[width, height]

    def _make_trial(self, width: int, height: int) -> StepState:
        with tempfile.TemporaryDirectory() as folder:
            inputs = _blank_inputs(self._adapter.simplest_task, Path(folder), width, height)
            plan = _trial_plan(self._model.spec, width, height, inputs)
            return self.prepare(plan, self.encode(plan), 0)

    # ---------------------------------------------------------------- one attempt

    def check(self, plan: Plan) -> SchedulerChoice:
        self._adapter.pipe(plan.inputs.task)
        if plan.output_format is OutputFormat.MP4:
            raise _invalid("output_format", f"{self._model.spec.id} makes pictures, not videos")
        if plan.num_frames:
            raise _invalid("num_frames", f"{self._model.spec.id} makes pictures, not videos")
        if plan.inputs.controls and (not self._adapter.takes_controls or plan.inputs.task is not Task.TEXT_TO_IMAGE):
            raise _invalid("controls", f"{self._model.spec.id} takes no ControlNet for {plan.inputs.task.value}")
        wish = (plan.scheduler, tuple(sorted(plan.scheduler_options.items())))
        choice = self._choices.get(wish)
        if choice is None:
            choice = choose(self._model.pipe.scheduler, plan.scheduler, plan.scheduler_options)
            if len(self._choices) >= _CHOICES_KEPT:
                self._choices.clear()
            self._choices[wish] = choice
        return choice

    def place(self, plans: Sequence[MemoryPlan]) -> None:
        self._placement.follow(plans)

    def memory_in_force(self, plan: Plan) -> MemoryPlan:
        return self._placement.in_force(plan.memory)

    def encode(self, plan: Plan) -> Conditions:
        warn_of_unread_tokens(self._model.pipe, plan)

        def make() -> Conditions:
            self._activate(plan)
            self._placement.enter(Phase.ENCODE)
            return self._adapter.encode(self._view(plan.inputs.task), plan)

        return self._prompts.get(self._adapter.text_key(plan), make)

    def prepare(self, plan: Plan, conditions: Conditions, seed: int) -> StepState:
        choice = self.check(plan)
        if plan.inputs.init_image is not None:
            self._placement.enter(Phase.PREPARE)
        with vae_options(self._model.pipe.vae, plan.memory.vae_slicing, plan.memory.vae_tiling), self._vae_dtype():
            state = self._adapter.prepare(self._view(plan.inputs.task), choice, conditions, plan, seed)
        state.attention_slicing = plan.memory.attention_slicing
        if plan.exact:
            state.exact_rows = self._caps.fix_exact(_shape(plan.width, plan.height)) * self._rows_per_image
            self._try_company(state)
        return state

    def key(self, plan: Plan, state: StepState) -> Hashable:
        if state.exact_rows and not self._exact_in_company[_case(state)]:
            return (id(self), "exact", id(state))
        return (id(self), state.kind, state.attention_slicing)

    def _try_company(self, state: StepState) -> None:
        """Finds out, once per shape and number of rows, whether a row's bits depend on what the other rows hold and where it
        stands among them. They do not with the kernels of the CPU; others are free to sum in another order. Where they do, an
        exact image shares its forwards with copies of itself alone."""
        if _case(state) in self._exact_in_company:
            return
        rows = state.exact_rows
        try:
            with torch.inference_mode(), attention_options(self._adapter.module, state.attention_slicing):
                trial = self._trial_state(state.width, state.height)
                other = replace(trial, latents=trial.latents.flip(-1) * 0.5)
                self._placement.enter(Phase.DENOISE)
                company = [other] * (self.images_in(rows) - 1)
                alone = self._adapter.predict([trial], rows)[0]
                first = self._adapter.predict([trial, *company], rows)[0]
                last = self._adapter.predict([*company, trial], rows)[-1]
        finally:
            self._trials.clear()
        holds = torch.equal(alone, first) and torch.equal(alone, last)
        log.info("exact forwards", extra={"size": _shape(state.width, state.height), "rows": rows, "in_company": holds})
        self._exact_in_company[_case(state)] = holds

    def tick(self, states: Sequence[StepState], on_progress: Callable[[int, int], None], rows: int = 0) -> None:
        if self._loras.activate(states[0].loras):
            self._placement.refresh()
        self._placement.enter(Phase.DENOISE)
        if self._model.spec.compile:
            together = sum(len(state.branches) for state in states)
            rows = rows or _power_of_two(together if self._adapter.branches_together else len(states))
        with attention_options(self._adapter.module, states[0].attention_slicing):
            predictions = self._adapter.predict(states, rows)
        for state, predicted in zip(states, predictions, strict=True):
            with _restored_on_error(state):
                latents = self._adapter.apply(state, predicted)
            state.latents = latents
            state.step += 1

    def finish(self, plan: Plan, state: StepState) -> Finished:
        self._placement.enter(Phase.DECODE)
        view = self._view(Task.TEXT_TO_IMAGE if plan.inputs.task not in self._adapter.classes else plan.inputs.task)
        with vae_options(view.vae, plan.memory.vae_slicing, plan.memory.vae_tiling), self._vae_dtype():
            decoded = self._adapter.decode(view, state)
            again = view.vae.dtype != torch.float32 and shows_nothing(decoded)
            if again:
                log.warning(
                    "a decode gave NaN or one colour; it is done again in float32", extra={"model": plan.model.id}
                )
                decoded = decode_again_in_float32(view.vae, lambda: self._adapter.decode(view, state))
        if self._adapter.objects(view, decoded):
            raise WorkerError(FailureKind.REJECTED_OUTPUT, "the model's safety checker rejects the picture")
        return Finished(to_picture(decoded), again)

    def preview(self, state: StepState) -> Picture | None:
        if self._factors is None:
            self._factors = read_factors(self._model.folder)
        if self._factors is None:
            # A fit needs the VAE: not before somebody watches, and not at the price of the denoiser's place.
            if self._placement.swaps_phases:
                return None
            self._placement.enter(Phase.DECODE)
            self._factors = preview_factors(self._model.folder, self._model.pipe.vae)
        return self._factors.picture(self._adapter.preview_latents(state))

    def to_host(self, state: StepState) -> dict[str, Any]:
        return self._adapter.to_host(state)

    def from_host(self, plan: Plan, kept: Mapping[str, Any]) -> StepState:
        state = self._adapter.from_host(kept, plan.loras, plan.inputs.controls)
        state.attention_slicing = plan.memory.attention_slicing
        if state.exact_rows:
            self._try_company(state)
        return state

    def close(self) -> None:
        self._prompts.clear()
        self._placement.close()

    def _activate(self, plan: Plan) -> None:
        if self._loras.activate(plan.loras):
            self._placement.refresh()

    def _view(self, task: Task) -> Any:
        return request_view(self._adapter.pipe(task), self._model.device, copy_schedulers=False)

    @contextmanager
    def _vae_dtype(self) -> Iterator[None]:
        """Some pipelines cast the shared VAE up around its use (SDXL in float16) and do not cast it back when they fail."""
        vae = self._model.pipe.vae
        dtype = vae.dtype
        try:
            yield
        finally:
            if vae.dtype != dtype:
                vae.to(dtype)
                renew_group_offload(vae)


def warn_of_unread_tokens(pipe: Any, plan: Plan) -> None:
    """Nothing degrades silently: a prompt longer than the text encoder reads is cut, and the log says by how much."""
    for name, text in (("prompt", plan.prompt), ("negative_prompt", plan.negative_prompt)):
        beyond = unread_tokens(pipe, text)
        if beyond > 0:
            log.warning(
                "the end of a text is beyond what the model reads",
                extra={"attempt": plan.attempt_id, "field": name, "unread_tokens": beyond},
            )


def _blank_inputs(task: Task, folder: Path, width: int, height: int) -> Inputs:
    """Inputs of a task that mean nothing, for models that make nothing of text alone."""
    if task is Task.TEXT_TO_IMAGE:
        return Inputs()
    blank = folder / "blank.png"
    Image.new("RGB", (width, height), "white").save(blank)
    return Inputs(init_image=blank, mask_image=blank if task is Task.INPAINT else None)


def _trial_plan(spec: ModelSpec, width: int, height: int, inputs: Inputs) -> Plan:
    return Plan(
        attempt_id="warm-up",
        priority=0,
        model=spec,
        prompt="a",
        negative_prompt="",
        num_inference_steps=2,
        guidance_scale=5.0,
        seeds=(0,),
        width=width,
        height=height,
        scheduler="",
        scheduler_options={},
        staging_dir=Path(),
        output_format=OutputFormat.PNG,
        quality=0,
        metadata={},
        solo=False,
        max_images=0,
        preview_interval_ms=0,
        inputs=inputs,
    )


def _case(state: StepState) -> tuple[int, int, int, bool]:
    return state.width, state.height, state.exact_rows, state.attention_slicing


def _shape(width: int, height: int) -> str:
    return f"{width}x{height}"


def _power_of_two(rows: int) -> int:
    """Compiled blocks are compiled once per number of rows."""
    return 1 << (rows - 1).bit_length()


def _invalid(field: str, message: str) -> WorkerError:
    return WorkerError(FailureKind.INVALID_REQUEST, message, field)


@contextmanager
def _restored_on_error(state: StepState) -> Iterator[None]:
    """A step that breaks off leaves scheduler and generator as they were. Histories are lists of tensors that schedulers
    replace and, but for a few fields, never write into; so a shallow copy holds them."""
    fields: dict[str, Any] = {
        name: list(value) if isinstance(value, list) else value for name, value in vars(state.scheduler).items()
    }
    for name in _WRITTEN_IN_PLACE:
        if isinstance(fields.get(name), torch.Tensor):
            fields[name] = fields[name].clone()
    random = state.generator.get_state()
    try:
        yield
    except BaseException:
        vars(state.scheduler).clear()
        vars(state.scheduler).update(fields)
        state.generator.set_state(random)
        raise

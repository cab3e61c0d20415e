"""Runs any diffusers pipeline as one whole call through a view: one tick, with nobody beside it."""

# ruff: noqa: ARG002  the arguments are those of the Runner protocol

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from safelight_worker.memory.estimates import PhaseFootprint
from safelight_worker.pipelines.ip_adapters import IpAdapters
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.loras import Loras
from safelight_worker.pipelines.previews import PreviewFactors, preview_factors
from safelight_worker.pipelines.schedulers import SchedulerChoice, choose
from safelight_worker.pipelines.siblings import Siblings
from safelight_worker.placement.attention_options import attention_options
from safelight_worker.placement.vae_options import vae_options
from safelight_worker.runners.call_arguments import call_arguments, check_arguments, fps, parameters, starts_from_image
from safelight_worker.runners.model_placement import ModelPlacement
from safelight_worker.runners.module_state import kept_module_state
from safelight_worker.runners.outputs import Output, Picture, Video, to_output
from safelight_worker.runners.request_view import request_view
from safelight_worker.runners.runner import Finished
from safelight_worker.runners.step_observer import OnStep, observe_steps
from safelight_worker.runners.stepped import warn_of_unread_tokens
from safelight_worker.types import FailureKind, IpAdapterInput, MemoryPlan, Plan, Task, WorkerError

#: Fields of a request that a pipeline may find fault with only inside its call.
_CHECKED_INSIDE = ("height", "width", "num_frames", "strength", "num_inference_steps", "guidance_scale", "prompt")


@dataclass
class CallState:
    """A call that has not been made, or what it made. Lies on the host but for ``latents``, those of the last step while the
    call goes on."""

    plan: Plan
    seed: int
    output: Output | None = None
    latents: Tensor | None = None
    step: int = 0
    steps: int = 1
    exact_rows: int = 0


class ExclusiveRunner:
    """A model of a class without a step adapter, or a request no step adapter serves. Progress and cancel come through the
    request's own scheduler, so a cancel waits for the end of the step, of the encoding or of the decoding that is going on.

    ``loras`` and ``placement`` are those of the model; share them with whoever else runs it.
    """

    kind = "exclusive"

    def __init__(self, model: LoadedModel, loras: Loras | None = None, placement: ModelPlacement | None = None) -> None:
        self._model = model
        self._loras = loras or Loras(model.pipe)
        self._placement = placement
        self._siblings = Siblings(model.pipe)
        self._ip_adapters = IpAdapters(model)
        self._factors: PreviewFactors | None = None
        self.footprints: Sequence[PhaseFootprint] = ()

    @property
    def swaps_phases(self) -> bool:
        """Only inside a call, where the engine has no say."""
        return False

    @property
    def row_caps(self) -> Mapping[str, int]:
        """None: calls share nothing."""
        return {}

    @property
    def exact_rows(self) -> Mapping[str, int]:
        """None: every call is alone."""
        return {}

    def check(self, plan: Plan) -> SchedulerChoice | None:
        cls = self._class_for(plan)
        check_arguments(cls, plan)
        if plan.inputs.ip_adapter and not hasattr(getattr(self._model.pipe, "unet", None), "set_attn_processor"):
            raise _invalid("ip_adapter", f"IP-Adapters are attached to UNets; {self._model.pipeline_class} has none")
        own = (self._model.folder, self._model.folder / "controlnet")
        for control in plan.inputs.controls:
            if control.source not in own:
                message = (
                    f"{self._model.pipeline_class} follows pictures as it came, from {own[0]}; not by {control.source}"
                )
                raise _invalid("controls", message)
        scheduler = getattr(self._model.pipe, "scheduler", None)
        if scheduler is not None:
            return choose(scheduler, plan.scheduler, plan.scheduler_options)
        if plan.scheduler:
            raise _invalid("scheduler", "this pipeline has no noise scheduler to exchange")
        return None

    def place(self, plans: Sequence[MemoryPlan]) -> None:
        if self._placement is not None:
            self._placement.follow(plans)

    def memory_in_force(self, plan: Plan) -> MemoryPlan:
        return plan.memory if self._placement is None else self._placement.in_force(plan.memory)

    def measure(self, plan: Plan) -> None:
        """Nothing to learn."""

    def encode(self, plan: Plan) -> None:
        """Part of the call; here only what the text encoders will not read is logged."""
        warn_of_unread_tokens(self._model.pipe, plan)

    def prepare(self, plan: Plan, conditions: None, seed: int) -> CallState:
        """Part of the call."""
        return CallState(plan, seed)

    def key(self, plan: Plan, state: CallState) -> Hashable:
        return ("exclusive", id(state))

    def row_cap(self, plan: Plan) -> int:
        return 1

    def images_in(self, rows: int) -> int:
        return 1

    def tick(self, states: Sequence[CallState], on_progress: Callable[[int, int], None], rows: int = 0) -> None:
        (state,) = states
        plan = state.plan
        cls = self._class_for(plan)
        choice = self.check(plan)
        view: Any = request_view(self._siblings.pipe(cls), self._model.device)
        if choice is not None:
            base = self._model.pipe
            _exchange(view, self._siblings.pipe(cls), base.scheduler, choice.build(base.scheduler))
        observe_steps(view, _progress(state, on_progress))
        vars(view)["check_inputs"] = _as_invalid(view)
        # Not inference_mode: a pipeline that casts a module inside it would leave weights behind that nothing else may use.
        with torch.inference_mode(False), torch.no_grad():
            if self._loras.activate(plan.loras) and self._placement is not None:
                self._placement.refresh()
            try:
                with (
                    self._placement.during_call() if self._placement is not None else nullcontext(),
                    kept_module_state(_components(view)),
                    _memory_options(view, plan.memory),
                    self._ip_adapter(view, plan.inputs.ip_adapter),
                ):
                    made = view(**call_arguments(cls, plan, state.seed))
            finally:
                state.latents = None
        if any(getattr(made, "nsfw_content_detected", None) or []):
            raise WorkerError(FailureKind.REJECTED_OUTPUT, "the model's safety checker rejects the picture")
        state.output = to_output(made, fps(cls))
        if state.output is None:
            raise _invalid("model", f"{cls.__name__} makes neither pictures nor videos")
        state.step = 1

    @contextmanager
    def _ip_adapter(self, view: Any, use: IpAdapterInput | None) -> Iterator[None]:
        """Attached, with the placement knowing of it: an adapter's tensors come and go with the UNet's while they are part of it,
        and are left whole, and in nobody's books, when they are taken off."""
        placement = self._placement if use is not None else None
        try:
            if placement is not None:
                placement.need("unet")
            with self._ip_adapters.attached(view, use):
                if placement is not None:
                    placement.refresh()
                try:
                    yield
                finally:
                    if placement is not None:
                        placement.need("unet")
        finally:
            if placement is not None:
                placement.refresh()

    def finish(self, plan: Plan, state: CallState) -> Finished:
        assert state.output is not None
        return Finished(state.output)

    def preview(self, state: CallState) -> Picture | None:
        """From inside a call, when its latents are laid out as the picture is: packed ones and those of videos are not."""
        latents, vae = state.latents, getattr(self._model.pipe, "vae", None)
        if latents is None or vae is None or latents.ndim != 4 or latents.shape[1] != vae.config.get("latent_channels"):
            return None
        if self._factors is None:
            self._factors = preview_factors(self._model.folder, vae)
        return self._factors.picture(latents[:1])

    def to_host(self, state: CallState) -> dict[str, Any]:
        """A call in the middle counts as one that has not been made."""
        record: dict[str, Any] = {"seed": state.seed, "step": state.step}
        if isinstance(state.output, Video):
            return {**record, "output": torch.from_numpy(state.output.frames), "fps": state.output.fps}
        if state.output is not None:
            record["output"] = torch.from_numpy(state.output)
        return record

    def from_host(self, plan: Plan, kept: Mapping[str, Any]) -> CallState:
        state = CallState(plan, kept["seed"], step=kept["step"])
        if "output" in kept:
            values = kept["output"].numpy()
            state.output = Video(values, kept["fps"]) if "fps" in kept else values
        return state

    def close(self) -> None:
        self._ip_adapters.close()
        if self._placement is not None:
            self._placement.close()

    def _class_for(self, plan: Plan) -> type[DiffusionPipeline]:
        """The model's own class where it does what the plan asks for, else that of its family which does.

        Raises:
            WorkerError: ``invalid_request`` naming the picture that there is no class for.
        """
        own, task = type(self._model.pipe), plan.inputs.task
        if _does(own, task):
            return own
        sibling = self._siblings.class_for(task)
        if sibling is not None:
            return sibling
        if task is Task.TEXT_TO_IMAGE:
            return own
        field = "mask_image" if task is Task.INPAINT and starts_from_image(own) else "init_image"
        raise _invalid(
            field, f"{own.__name__} takes none, and its family has no class for {task.value.replace('_', ' ')}"
        )


@contextmanager
def _memory_options(view: Any, memory: MemoryPlan) -> Iterator[None]:
    vae = getattr(view, "vae", None)
    with (
        vae_options(vae, memory.vae_slicing, memory.vae_tiling) if vae is not None else nullcontext(),
        attention_options(getattr(view, "unet", None), memory.attention_slicing),
    ):
        yield


def _does(cls: type[DiffusionPipeline], task: Task) -> bool:
    taken = parameters(cls)
    if task is Task.INPAINT:
        return starts_from_image(cls) and "mask_image" in taken
    if task is Task.IMAGE_TO_IMAGE:
        return starts_from_image(cls) and "mask_image" not in taken
    # One with a strength cannot do without a picture; editing models without one can.
    return not (starts_from_image(cls) and "strength" in taken)


def _progress(state: CallState, on_progress: Callable[[int, int], None]) -> OnStep:
    """The furthest of a call's schedulers counts (one for sound goes beside that for pictures), and the number in all stays
    that of the first step, also when a second stage has steps of its own."""
    furthest, in_all = 0, 0

    def on_step(latents: Tensor | None, taken: int, expected: int) -> None:
        nonlocal furthest, in_all
        in_all = in_all or expected or state.plan.num_inference_steps
        furthest = min(max(furthest, taken), in_all)
        state.latents = latents
        on_progress(furthest, in_all)

    return on_step


def _as_invalid(view: Any) -> Callable[..., None]:
    """The pipeline's own check of what it is given; what it objects to is the request's fault."""
    check = getattr(view, "check_inputs", None)

    def checked(*arguments: Any, **named: Any) -> None:
        if check is None:
            return
        try:
            check(*arguments, **named)
        except ValueError as error:
            field = next((name for name in _CHECKED_INSIDE if name in str(error)), "")
            raise _invalid(field, str(error)) from error

    return checked


def _exchange(view: Any, base: Any, own: Any, chosen: Any) -> None:
    """Puts the chosen scheduler wherever the base has its own: combined pipelines have it in the one they call, too."""
    for name, value in vars(base).items():
        if value is own:
            vars(view)[name] = chosen
        elif isinstance(value, DiffusionPipeline):
            _exchange(vars(view)[name], value, own, chosen)


def _components(view: Any) -> list[Any]:
    """Those of nested pipelines, too."""
    nested = [
        each for value in vars(view).values() if isinstance(value, DiffusionPipeline) for each in _components(value)
    ]
    return [*view.components.values(), *nested]


def _invalid(field: str, message: str) -> WorkerError:
    return WorkerError(FailureKind.INVALID_REQUEST, message, field)

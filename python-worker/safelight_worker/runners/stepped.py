"""Runs a model step by step through its step adapter, many images in one forward."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.previews import PreviewFactors
from safelight_worker.pipelines.schedulers import choose
from safelight_worker.pipelines.sd15 import Conditions, Sd15Adapter, Sd15State
from safelight_worker.runners.request_view import request_view
from safelight_worker.runners.row_caps import RowCaps
from safelight_worker.runners.runner import Picture, to_picture
from safelight_worker.types import Plan


class SteppedRunner:
    """A model whose images advance one step per tick, several in one forward."""

    kind = "stepped"

    def __init__(self, model: LoadedModel, adapter: Sd15Adapter, preview: PreviewFactors, caps: RowCaps) -> None:
        self._model = model
        self._adapter = adapter
        self._preview = preview
        self._caps = caps

    @property
    def row_caps(self) -> dict[str, int]:
        """Measured caps by ``<width>x<height>``."""
        return self._caps.as_dict()

    def warm_up(self) -> None:
        """Measures the cap of the model's own size, and has every kernel run once."""
        width, height = self._adapter.native_size()
        self._cap_at(width, height)

    def row_cap(self, plan: Plan) -> int:
        return self._cap_at(plan.width, plan.height)

    def _cap_at(self, width: int, height: int) -> int:
        shape = f"{width}x{height}"
        known = self._caps.known(shape)
        if known is not None:
            return known
        trial = self._trial_state(width, height)

        def forward(images: int) -> None:
            self._adapter.predict([trial] * images)
            if self._model.device.type == "cuda":
                torch.cuda.synchronize(self._model.device)

        with torch.inference_mode():
            return self._caps.measure(shape, forward)

    def _trial_state(self, width: int, height: int) -> Sd15State:
        with torch.inference_mode():
            conditions = self._adapter.encode(self._view(), "a", "", 5.0)
            choice = choose(self._model.pipe.scheduler, "", {})
            return self._adapter.prepare(
                self._view(), choice, conditions, steps=2, guidance_scale=5.0, width=width, height=height, seed=0
            )

    def check(self, plan: Plan) -> None:
        choose(self._model.pipe.scheduler, plan.scheduler, plan.scheduler_options)

    def encode(self, plan: Plan) -> Conditions:
        return self._adapter.encode(self._view(), plan.prompt, plan.negative_prompt, plan.guidance_scale)

    def prepare(self, plan: Plan, conditions: Conditions, seed: int) -> Sd15State:
        choice = choose(self._model.pipe.scheduler, plan.scheduler, plan.scheduler_options)
        return self._adapter.prepare(
            self._view(),
            choice,
            conditions,
            steps=plan.num_inference_steps,
            guidance_scale=plan.guidance_scale,
            width=plan.width,
            height=plan.height,
            seed=seed,
        )

    def key(self, plan: Plan, state: Sd15State) -> Hashable:
        tokens = state.conditions.positive.shape[1:]
        return (self._model.spec.id, tuple(state.latents.shape[1:]), state.latents.dtype, tuple(tokens))

    def tick(self, states: Sequence[Sd15State], on_progress: Callable[[int, int], None]) -> None:
        for state, predicted in zip(states, self._adapter.predict(states), strict=True):
            with _restored_on_error(state):
                latents = self._adapter.apply(state, predicted)
            state.latents = latents
            state.step += 1

    def finish(self, plan: Plan, state: Sd15State) -> Picture:
        return to_picture(self._adapter.decode(self._view(), state))

    def preview(self, state: Sd15State) -> Picture | None:
        return self._preview.picture(state.latents)

    def _view(self) -> Any:
        return request_view(self._model.pipe, self._model.device)


@contextmanager
def _restored_on_error(state: Sd15State) -> Iterator[None]:
    """A step that breaks off leaves scheduler and generator as they were. Histories are lists of tensors that schedulers
    replace and never write into, so a shallow copy holds them."""
    fields = {name: list(value) if isinstance(value, list) else value for name, value in vars(state.scheduler).items()}
    random = state.generator.get_state()
    try:
        yield
    except BaseException:
        vars(state.scheduler).clear()
        vars(state.scheduler).update(fields)
        state.generator.set_state(random)
        raise

"""The least the work can take: batched forwards and decodes in a plain loop, nothing served and nothing saved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from bench.batching.rival import DEVICE, Burst, spec_of
from bench.batching.workloads import Job, Workload
from safelight_worker.pipelines import loading
from safelight_worker.pipelines.registry import adapter_for
from safelight_worker.pipelines.schedulers import choose
from safelight_worker.runners.request_view import request_view
from safelight_worker.runners.runner import to_picture


class BareRival:
    """The step adapter alone. Text encoding and preparation happen before the clock starts."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._model = loading.load(spec_of(workload), DEVICE)
        self._adapter: Any = adapter_for(self._model)
        if self._adapter is None:
            raise ValueError(f"{workload.folder}: a {self._model.pipeline_class} has no step adapter to be timed bare")

    def run(self, burst: Burst) -> list[float]:
        with torch.inference_mode():
            states = [self._prepare(job, burst.steps) for job in burst.jobs]
            view = self._view()
            began = time.perf_counter()
            for group in _groups(states, burst.cap):
                self._denoise(group)
            took = []
            for state in states:
                decoded, _ = self._adapter.decode(view, state)
                to_picture(decoded)
                took.append(time.perf_counter() - began)
        return took

    def batched_against_solo(self, jobs: Sequence[Job], cap: int) -> float:
        """Largest difference between final latents made in groups and made alone, relative to the largest latent."""
        with torch.inference_mode():
            states = [self._prepare(job, self._workload.steps) for job in jobs]
            alone = [self._prepare(job, self._workload.steps) for job in jobs]
            for group in _groups(states, cap):
                self._denoise(group)
            for state in alone:
                self._denoise([state])
            batched = torch.cat([state.latents for state in states])
            solo = torch.cat([state.latents for state in alone])
            return float((batched - solo).abs().max() / solo.abs().max())

    def cap(self) -> int:
        return 0

    def close(self) -> None:
        """Has no threads."""

    def _prepare(self, job: Job, steps: int) -> Any:
        guidance = self._workload.guidance_scale
        return self._adapter.prepare(
            self._view(),
            choose(self._model.pipe.scheduler, "", {}),
            self._adapter.encode(self._view(), job.prompt, "", guidance),
            steps=steps,
            guidance_scale=guidance,
            width=self._workload.width,
            height=self._workload.height,
            seed=job.seed,
        )

    def _denoise(self, group: list[Any]) -> None:
        while group[0].step < group[0].steps:
            for state, predicted in zip(group, self._adapter.predict(group), strict=True):
                state.latents = self._adapter.apply(state, predicted)
                state.step += 1

    def _view(self) -> Any:
        return request_view(self._model.pipe, self._model.device)


def _groups(states: list[Any], cap: int) -> list[list[Any]]:
    size = cap if cap > 0 else len(states)
    return [states[at : at + size] for at in range(0, len(states), size)]

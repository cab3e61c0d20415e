"""The least the work can take: batched forwards and decodes in a plain loop, nothing served and nothing saved."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.engine import operations
from bench.engine.rival import Burst, device_of, plan_of, spec_of
from bench.engine.workloads import Job, Workload
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.pipelines import loading
from safelight_worker.pipelines.adapter import StepAdapter
from safelight_worker.pipelines.registry import adapter_for
from safelight_worker.pipelines.schedulers import choose
from safelight_worker.pipelines.state import StepState
from safelight_worker.runners.request_view import request_view
from safelight_worker.runners.runner import to_picture
from safelight_worker.types import Task


class BareRival:
    """The step adapters alone. Text encoding and preparation happen before the clock starts."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._device = device_of(workload)
        self.memory = MemoryProbe(self._device)
        self._adapters = [self._adapter(number) for number in range(len(workload.folders))]
        self._counted: dict[tuple[int, int, int], tuple[int, int]] = {}

    def run(self, burst: Burst) -> list[float]:
        with torch.inference_mode():
            states = [self._prepare(job) for job in burst.jobs]
            self._synchronize()
            began = time.perf_counter()
            for number, group in self._groups(burst.jobs, states, burst.caps):
                self._denoise(self._adapters[number], group)
            took = []
            for job, state in zip(burst.jobs, states, strict=True):
                adapter = self._adapters[job.model]
                to_picture(adapter.decode(_view(adapter), state))
                took.append(time.perf_counter() - began)
        return took

    def batched_against_solo(self, jobs: Sequence[Job], caps: Sequence[int]) -> float:
        """Largest difference between final latents made in groups and made alone, relative to the model's largest latent."""
        with torch.inference_mode():
            states, alone = ([self._prepare(job) for job in jobs] for _ in range(2))
            for number, group in self._groups(jobs, states, caps):
                self._denoise(self._adapters[number], group)
            for job, state in zip(jobs, alone, strict=True):
                self._denoise(self._adapters[job.model], [state])
            worst = 0.0
            for number in range(len(self._adapters)):
                own = [at for at, job in enumerate(jobs) if job.model == number]
                if own:
                    batched = torch.cat([states[at].latents for at in own])
                    solo = torch.cat([alone[at].latents for at in own])
                    worst = max(worst, float((batched - solo).abs().max() / solo.abs().max()))
        return worst

    def operations(self, jobs: Sequence[Job]) -> int:
        """Floating-point operations of these jobs' forwards, text encodings and decodes, padding left out."""
        total = 0
        for job in jobs:
            fixed, of_a_step = self._operations_of(job)
            total += fixed + of_a_step * job.steps
        return total

    def ceiling(self) -> float:
        """Operations a second of the device in the workload's dtype."""
        return operations.ceiling(self._device, getattr(torch, self._workload.dtype))

    def caps(self) -> list[int]:
        return []

    def close(self) -> None:
        """Has no threads."""

    def _operations_of(self, job: Job) -> tuple[int, int]:
        key = (job.model, job.width, job.height)
        if key not in self._counted:
            adapter = self._adapters[job.model]
            plan = plan_of(self._workload, job, Path())
            with torch.inference_mode():
                state = self._prepare(job)
                text = operations.count(lambda: adapter.encode(_view(adapter), plan))
                step = operations.count(lambda: adapter.predict([state]))
                decode = operations.count(lambda: adapter.decode(_view(adapter), state))
            self._counted[key] = (text + decode, step)
        return self._counted[key]

    def _adapter(self, number: int) -> StepAdapter:
        spec = spec_of(self._workload, number)
        model = loading.load(spec, self._device, self._workload.cache)
        adapter = adapter_for(model)
        if adapter is None:
            raise ValueError(f"{spec.source}: a {model.pipeline_class} has no step adapter to be timed bare")
        return adapter

    def _prepare(self, job: Job) -> StepState:
        adapter = self._adapters[job.model]
        plan = plan_of(self._workload, job, Path())
        view = _view(adapter)
        choice = choose(adapter.model.pipe.scheduler, "", {})
        return adapter.prepare(view, choice, adapter.encode(view, plan), plan, job.seed)

    def _groups(
        self, jobs: Sequence[Job], states: list[StepState], caps: Sequence[int]
    ) -> Iterator[tuple[int, list[StepState]]]:
        """Images of one model and kind, as many at a time as its cap admits."""
        for number in range(len(self._adapters)):
            own = [state for job, state in zip(jobs, states, strict=True) if job.model == number]
            for kind in dict.fromkeys(state.kind for state in own):
                alike = [state for state in own if state.kind == kind]
                size = caps[number] if caps else len(alike)
                for at in range(0, len(alike), size):
                    yield number, alike[at : at + size]

    def _denoise(self, adapter: StepAdapter, group: list[StepState]) -> None:
        while going := [state for state in group if state.step < state.steps]:
            for state, predicted in zip(going, adapter.predict(going), strict=True):
                state.latents = adapter.apply(state, predicted)
                state.step += 1

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _view(adapter: StepAdapter) -> Any:
    return request_view(adapter.pipe(Task.TEXT_TO_IMAGE), adapter.model.device, copy_schedulers=False)

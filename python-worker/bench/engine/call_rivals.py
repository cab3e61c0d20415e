"""The jobs as calls of one diffusers pipeline: behind a lock, and in threads. How image servers do it without an engine."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from bench.engine.rival import Burst, device_of, spec_of, staging, write_picture
from bench.engine.workloads import Job, Workload
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.pipelines import loading
from safelight_worker.pipelines.schedulers import choose
from safelight_worker.runners.outputs import Picture
from safelight_worker.runners.request_view import request_view

#: Threads that write files beside the one that draws, as many as the engine has.
_WRITERS = 2

#: What ``encode_prompt`` of a class returns, as arguments of its ``__call__``.
_POSITIVE, _NEGATIVE = "prompt_embeds", "negative_prompt_embeds"
_POOLED = ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_ENCODED = {
    "StableDiffusionPipeline": (_POSITIVE, _NEGATIVE),
    "StableDiffusionXLPipeline": (_POSITIVE, _NEGATIVE, *_POOLED),
    "StableDiffusion3Pipeline": (_POSITIVE, _NEGATIVE, *_POOLED),
    "FluxPipeline": (_POSITIVE, "pooled_prompt_embeds"),
}


class _Calls:
    """Whole calls, each through a view of its own with a fresh noise scheduler, so that the pictures are right."""

    def __init__(self, workload: Workload, compiled: bool = False) -> None:
        self._workload = workload
        self._device = device_of(workload)
        self.memory = MemoryProbe(self._device)
        specs = [spec_of(workload, number, compiled) for number in range(len(workload.folders))]
        self._pipes = [loading.load(spec, self._device, workload.cache).pipe for spec in specs]
        # Threads may not share a Rust tokenizer: padding set by one reaches the other, and the call fails or goes wrong.
        self._text = threading.Lock()

    def draw(self, job: Job) -> Picture:
        pipe = self._pipes[job.model]
        view: Any = request_view(pipe, self._device)
        view.scheduler = choose(pipe.scheduler, "", {}).build(pipe.scheduler)
        with self._text, torch.no_grad():
            texts = self._encode(view, job.prompt)
        made = view(
            **texts,
            num_inference_steps=job.steps,
            guidance_scale=self._workload.guidance_scale,
            width=job.width,
            height=job.height,
            generator=torch.Generator().manual_seed(job.seed),
            output_type="np",
        )
        picture: Picture = made.images[0]
        return picture

    def _encode(self, view: Any, prompt: str) -> dict[str, Any]:
        guided = self._workload.guidance_scale > 1
        name = next(cls.__name__ for cls in type(view).__mro__ if cls.__name__ in _ENCODED)
        arguments: dict[str, Any] = {"device": self._device, "num_images_per_prompt": 1}
        if name in ("StableDiffusion3Pipeline", "FluxPipeline"):
            arguments["prompt_2"] = None
        if name == "StableDiffusion3Pipeline":
            arguments["prompt_3"] = None
        if name != "FluxPipeline":
            arguments["do_classifier_free_guidance"] = guided
        encoded = view.encode_prompt(prompt, **arguments)
        return {
            argument: tensor for argument, tensor in zip(_ENCODED[name], encoded, strict=False) if tensor is not None
        }

    def caps(self) -> list[int]:
        return []


class LockRival(_Calls):
    """One call at a time, first come first served. A single thread makes all calls: with several, OpenMP would keep a team
    for each and a lock would be slower than it has to be. Files are written beside the next call."""

    def __init__(self, workload: Workload, compiled: bool = False) -> None:
        super().__init__(workload, compiled)
        self._caller = ThreadPoolExecutor(1, thread_name_prefix="caller")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="writer")

    def run(self, burst: Burst) -> list[float]:
        for job in burst.jobs:
            staging(burst.folder, job)
        began = time.perf_counter()

        def write(picture: Picture, job: Job) -> float:
            write_picture(picture, job, burst.folder)
            return time.perf_counter() - began

        drawing = [self._caller.submit(self.draw, job) for job in burst.jobs]
        writing = [
            self._writers.submit(write, each.result(), job) for each, job in zip(drawing, burst.jobs, strict=True)
        ]
        return [each.result() for each in writing]

    def close(self) -> None:
        self._caller.shutdown()
        self._writers.shutdown()


class ThreadsRival(_Calls):
    """A thread for every job, all calling views of the same pipeline at once."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self._callers = ThreadPoolExecutor(workload.most_jobs, thread_name_prefix="caller")

    def run(self, burst: Burst) -> list[float]:
        for job in burst.jobs:
            staging(burst.folder, job)
        began = time.perf_counter()

        def serve(job: Job) -> float:
            write_picture(self.draw(job), job, burst.folder)
            return time.perf_counter() - began

        return list(self._callers.map(serve, burst.jobs))

    def close(self) -> None:
        self._callers.shutdown()

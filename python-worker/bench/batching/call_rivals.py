"""The jobs as calls of one diffusers pipeline: behind a lock, and in threads. How image servers do it without an engine."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from bench.batching.rival import DEVICE, Burst, spec_of, staging, write_picture
from bench.batching.workloads import Job, Workload
from safelight_worker.pipelines import loading
from safelight_worker.pipelines.schedulers import choose
from safelight_worker.runners.request_view import request_view
from safelight_worker.runners.runner import Picture

#: Threads that write files beside the one that draws, as many as the engine has.
_WRITERS = 2


class _Calls:
    """Whole calls, each through a view of its own with a fresh noise scheduler, so that the pictures are right."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._pipe = loading.load(spec_of(workload), DEVICE).pipe
        # Threads may not share a Rust tokenizer: padding set by one reaches the other, and the call fails or goes wrong.
        self._text = threading.Lock()

    def draw(self, job: Job, steps: int) -> Picture:
        view = request_view(self._pipe, DEVICE)
        view.scheduler = choose(self._pipe.scheduler, "", {}).build(self._pipe.scheduler)
        guided = self._workload.guidance_scale > 1
        with self._text, torch.no_grad():
            positive, negative = view.encode_prompt(job.prompt, DEVICE, 1, guided)
        made = view(
            prompt_embeds=positive,
            negative_prompt_embeds=negative,
            num_inference_steps=steps,
            guidance_scale=self._workload.guidance_scale,
            width=self._workload.width,
            height=self._workload.height,
            generator=torch.Generator().manual_seed(job.seed),
            output_type="np",
        )
        picture: Picture = made.images[0]
        return picture

    def cap(self) -> int:
        return 0


class LockRival(_Calls):
    """One call at a time, first come first served. A single thread makes all calls: with several, OpenMP would keep a team
    for each and a lock would be slower than it has to be. Files are written beside the next call."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self._caller = ThreadPoolExecutor(1, thread_name_prefix="caller")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="writer")

    def run(self, burst: Burst) -> list[float]:
        for job in burst.jobs:
            staging(burst.folder, job)
        began = time.perf_counter()

        def write(picture: Picture, job: Job) -> float:
            write_picture(picture, job, burst.folder)
            return time.perf_counter() - began

        drawing = [self._caller.submit(self.draw, job, burst.steps) for job in burst.jobs]
        writing = [
            self._writers.submit(write, drawn.result(), job) for drawn, job in zip(drawing, burst.jobs, strict=True)
        ]
        return [written.result() for written in writing]

    def close(self) -> None:
        self._caller.shutdown()
        self._writers.shutdown()


class ThreadsRival(_Calls):
    """A thread for every job, all calling at once. The threads are kept between runs, as a server would keep them."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self._callers = ThreadPoolExecutor(max(workload.job_counts), thread_name_prefix="caller")

    def run(self, burst: Burst) -> list[float]:
        for job in burst.jobs:
            staging(burst.folder, job)
        began = time.perf_counter()

        def serve(job: Job) -> float:
            write_picture(self.draw(job, burst.steps), job, burst.folder)
            return time.perf_counter() - began

        return list(self._callers.map(serve, burst.jobs))

    def close(self) -> None:
        self._callers.shutdown()

"""The jobs through the worker's engine: one thread that batches step by step."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from bench.batching.rival import DEVICE, Burst, spec_of, staging
from bench.batching.workloads import Job, Workload
from safelight_worker.engine.engine import Engine
from safelight_worker.engine.events import Cancelled, Event, Failed, Succeeded
from safelight_worker.engine.models import ModelStore
from safelight_worker.types import OutputFormat, Plan


class _Finish:
    """Collects when each attempt ended, and how; called on the engine's threads."""

    def __init__(self, expected: int) -> None:
        self.ended_at: dict[str, float] = {}
        self.failures: list[str] = []
        self.all = threading.Event()
        self._expected = expected
        self._lock = threading.Lock()

    def tell(self, attempt_id: str, event: Event) -> None:
        now = time.perf_counter()
        if not isinstance(event, Succeeded | Failed | Cancelled):
            return
        with self._lock:
            self.ended_at[attempt_id] = now
            if isinstance(event, Failed):
                self.failures.append(f"{attempt_id}: {event.kind.value}: {event.message}\n{event.detail}")
            if len(self.ended_at) == self._expected:
                self.all.set()


class EngineRival:
    """Plans submitted to an engine in this process; previews off, as when nobody watches."""

    def __init__(self, workload: Workload, threads: int) -> None:
        self._workload = workload
        self._engine = Engine(DEVICE, ModelStore(DEVICE, None), threads)
        self._engine.start()
        self._loaded = self._engine.load(spec_of(workload)).result()

    def run(self, burst: Burst) -> list[float]:
        plans = [self._plan(job, burst.steps, staging(burst.folder, job)) for job in burst.jobs]
        finish = _Finish(len(plans))
        began = time.perf_counter()
        for plan in plans:
            self._engine.submit(plan, lambda event, own=plan.attempt_id: finish.tell(own, event))  # type: ignore[misc]
        finish.all.wait()
        if finish.failures:
            raise RuntimeError(finish.failures[0])
        return [finish.ended_at[plan.attempt_id] - began for plan in plans]

    def cap(self) -> int:
        return self._loaded.runner.row_cap(self._plan(Job(0, "", 0), self._workload.steps, Path()))

    def close(self) -> None:
        self._engine.stop()

    def _plan(self, job: Job, steps: int, folder: Path) -> Plan:
        return Plan(
            attempt_id=f"job-{job.number}",
            priority=0,
            model=spec_of(self._workload),
            prompt=job.prompt,
            negative_prompt="",
            num_inference_steps=steps,
            guidance_scale=self._workload.guidance_scale,
            seeds=(job.seed,),
            width=self._workload.width,
            height=self._workload.height,
            scheduler="",
            scheduler_options={},
            staging_dir=folder,
            output_format=OutputFormat.PNG,
            quality=0,
            metadata={},
            solo=False,
            max_images=0,
            preview_interval_ms=0,
        )

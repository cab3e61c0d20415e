"""Does ``exact`` hold bit for bit? The same jobs alone and in company, compared as they leave the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.engine.engine_rival import Endings
from bench.engine.rival import device_of, plan_of, spec_of, staging
from bench.engine.workloads import Job, Workload, jobs
from safelight_worker.engine.create import create_engine
from safelight_worker.runners.outputs import Picture

#: Jobs that keep each other company: some forwards are full, the last ones are not.
_JOBS = 3


@dataclass(frozen=True)
class Exactness:
    """What was found for one model in one dtype. ``difference``: largest, of values in 0 … 1."""

    model: str
    dtype: str
    images_to_a_forward: int
    exact: bool
    exact_difference: float
    ordinary: bool
    ordinary_difference: float
    """Of forwards as wide as the jobs in them, which promise nothing."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def check(workload: Workload, threads: int, folder: Path, most_steps: int) -> list[Exactness]:
    """Draws jobs of every model in every dtype of ``exact_dtypes``, each alone and then all at once.

    Args:
        most_steps: steps more than these show nothing new.
    """
    return [
        _check(workload, model, dtype, threads, folder / f"{model}-{dtype}", most_steps)
        for model in range(len(workload.folders))
        for dtype in workload.exact_dtypes
    ]


def _check(workload: Workload, model: int, dtype: str, threads: int, folder: Path, most_steps: int) -> Exactness:
    company = [
        # Different lengths: company comes and goes.
        replace(job, model=model, steps=min(job.steps, most_steps) - job.number % 2)
        for job in jobs(replace(workload, last_side=0), _JOBS)
    ]
    engine = create_engine(device_of(workload), workload.cache, threads)
    engine.start()
    try:
        spec = spec_of(workload, model, dtype=dtype)
        loaded = engine.load(spec).result()
        drawn = _Drawn(workload, engine, loaded, dtype)
        found = {}
        for exact in (True, False):
            together = drawn.pictures(company, folder, exact)
            alone = [drawn.pictures([job], folder, exact)[0] for job in company]
            found[exact] = max(float(np.abs(a - b).max()) for a, b in zip(together, alone, strict=True))
        shape = f"{workload.width}x{workload.height}"
        images = loaded.runner.images_in(loaded.runner.exact_rows.get(shape, 1))
        return Exactness(spec.id, dtype, images, found[True] == 0, found[True], found[False] == 0, found[False])
    finally:
        # The next one's weights may not fit beside these.
        engine.unload(workload.folders[model].name).result()
        engine.stop()


class _Drawn:
    """Float pictures of attempts, taken where they leave the decoder: files round to 8 bits."""

    def __init__(self, workload: Workload, engine: Any, loaded: Any, dtype: str) -> None:
        self._workload = workload
        self._engine = engine
        self._dtype = dtype
        self._pictures: dict[str, Picture] = {}
        finish = loaded.runner.finish

        def kept(plan: Any, state: Any) -> Any:
            finished = finish(plan, state)
            self._pictures[plan.attempt_id] = finished.output
            return finished

        loaded.runner.finish = kept

    def pictures(self, company: Sequence[Job], folder: Path, exact: bool) -> list[Picture]:
        plans = [plan_of(self._workload, job, staging(folder, job), exact, self._dtype) for job in company]
        endings = Endings(len(plans))
        for plan in plans:
            self._engine.submit(plan, lambda event, own=plan.attempt_id: endings.tell(own, event))
        endings.wait()
        return [self._pictures.pop(plan.attempt_id) for plan in plans]

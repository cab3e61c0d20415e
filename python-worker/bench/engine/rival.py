"""What every rival can do, and what all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from bench.engine.workloads import Job, Workload
from safelight_worker.engine.saving import save
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.runners.outputs import Picture
from safelight_worker.types import ModelSpec, OutputFormat, Plan


@dataclass(frozen=True)
class Burst:
    """Jobs that are submitted together, or each when it arrives. Pictures go to ``folder/<number>/0.png``; ``caps``: images to
    a forward for each model, for the rival that is told; ``exact``: the same bits in any company, for the one that can."""

    jobs: Sequence[Job]
    folder: Path
    caps: Sequence[int] = ()
    exact: bool = False


class Rival(Protocol):
    """One way of serving concurrent jobs. Made once per process; ``run`` is what the clock sees."""

    memory: MemoryProbe
    """Of the device it draws on."""

    def run(self, burst: Burst) -> list[float]:
        """Makes the pictures. Returns for each job the seconds from its arrival until its file was on disk."""

    def caps(self) -> list[int]:
        """Images that share a forward, for each model; empty where none ever do."""

    def close(self) -> None:
        """Ends the rival's threads."""


def device_of(workload: Workload) -> torch.device:
    return torch.device(workload.device)


def spec_of(workload: Workload, model: int, compiled: bool = False, dtype: str = "") -> ModelSpec:
    """One of the workload's models as the worker is told of it."""
    folder = workload.folders[model]
    return ModelSpec(folder.name, str(folder), dtype=dtype or workload.dtype, compile=compiled)


def plan_of(workload: Workload, job: Job, folder: Path, exact: bool = False, dtype: str = "") -> Plan:
    """A job as the worker is told of it; previews off, as when nobody watches."""
    return Plan(
        attempt_id=f"job-{job.number}",
        priority=0,
        model=spec_of(workload, job.model, dtype=dtype),
        prompt=job.prompt,
        negative_prompt="",
        num_inference_steps=job.steps,
        guidance_scale=workload.guidance_scale,
        seeds=(job.seed,),
        width=job.width,
        height=job.height,
        scheduler="",
        scheduler_options={},
        staging_dir=folder,
        output_format=OutputFormat.PNG,
        quality=0,
        metadata={},
        solo=False,
        max_images=0,
        preview_interval_ms=0,
        exact=exact,
    )


def staging(folder: Path, job: Job) -> Path:
    """A job's own folder, made when missing."""
    own = folder / str(job.number)
    own.mkdir(parents=True, exist_ok=True)
    return own


def write_picture(picture: Picture, job: Job, folder: Path) -> None:
    """Writes a picture as the engine does, sync included, so that no rival saves time on its files."""
    save(
        picture,
        index=0,
        seed=job.seed,
        folder=folder / str(job.number),
        output_format=OutputFormat.PNG,
        quality=0,
        metadata={"safelight": f"job {job.number}"},
    )

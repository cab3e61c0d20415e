"""What every rival can do, and what all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from bench.batching.workloads import Job, Workload
from safelight_worker.engine.saving import save
from safelight_worker.runners.runner import Picture
from safelight_worker.types import ModelSpec, OutputFormat

#: The benchmark compares ways of serving, not devices; batching has to pay on a CPU too.
DEVICE = torch.device("cpu")


@dataclass(frozen=True)
class Burst:
    """Jobs that are submitted together. Pictures go to ``folder/<number>/0.png``; ``cap``: images to a forward, for the rival
    that is told."""

    jobs: Sequence[Job]
    steps: int
    folder: Path
    cap: int


class Rival(Protocol):
    """One way of serving concurrent jobs. Made once per process; ``run`` is what the clock sees."""

    def run(self, burst: Burst) -> list[float]:
        """Makes the pictures. Returns for each job the seconds from the first submission until its file was on disk."""

    def cap(self) -> int:
        """Images that share a forward; 0 where none ever do."""

    def close(self) -> None:
        """Ends the rival's threads."""


def spec_of(workload: Workload) -> ModelSpec:
    """The workload's model as the worker is told of it."""
    return ModelSpec(workload.name, workload.folder)


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

"""What is drawn: models, sizes and jobs, the same for every rival."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

ENGINE, LOCK, THREADS, BARE = "engine", "lock", "threads", "bare"

#: Rivals in the order in which they take turns.
RIVALS = (ENGINE, LOCK, THREADS, BARE)


#: Pixels a side of the launch-bound pipeline: 8 latents at its autoencoder's factor of 8.
TINY_SIDE = 64


@dataclass(frozen=True)
class Workload:
    """A model at one size. ``width`` and ``height`` in pixels; noise scheduler: DPM-Solver++ with Karras sigmas."""

    name: str
    folder: Path
    width: int
    height: int
    steps: int
    guidance_scale: float
    job_counts: tuple[int, ...]
    rivals: tuple[str, ...] = RIVALS

    def title(self) -> str:
        size = f"{self.width}×{self.height} px, {self.steps} steps"
        return f"{self.name}: {size}, guidance {self.guidance_scale:g}, DPM-Solver++ Karras"


@dataclass(frozen=True)
class Job:
    """One picture to be made."""

    number: int
    prompt: str
    seed: int


def jobs(count: int) -> list[Job]:
    """The first ``count`` jobs: prompts and seeds differ, so that a picture handed to the wrong job is noticed."""
    scenes = itertools.product(("small", "large"), ("red", "blue", "green", "yellow"), ("circle", "star", "square"))
    prompts = itertools.cycle(f"a {size} {colour} {shape} on a white background" for size, colour, shape in scenes)
    return [Job(number, prompt, 1000 + number) for number, prompt in zip(range(count), prompts, strict=False)]

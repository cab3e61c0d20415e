"""What is drawn: models, sizes and jobs, the same for every rival."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ENGINE, EXACT, LOCK, THREADS, COMPILED, BARE = "engine", "exact", "lock", "threads", "compiled", "bare"

#: Rivals in the order in which they take turns. ``exact`` runs in the engine's own process and has no turn of its own.
RIVALS = (ENGINE, LOCK, THREADS, BARE)


@dataclass(frozen=True)
class Workload:
    """Models at one size. ``width`` and ``height`` in pixels; noise scheduler: the worker's choice for the model.

    Job n is drawn by model n modulo their number, with as many steps as ``steps`` names in turn. ``last_side`` above 0 gives
    the last job another size, in pixels a side: one that comes in behind the others.
    """

    name: str
    folders: tuple[Path, ...]
    width: int
    height: int
    steps: tuple[int, ...]
    guidance_scale: float
    job_counts: tuple[int, ...]
    rivals: tuple[str, ...] = RIVALS
    device: str = "cpu"
    dtype: str = "float32"
    exact_dtypes: tuple[str, ...] = ()
    """Dtypes in which the promise of exact forwards is tried, each model for itself."""
    cache: Path | None = None
    """Where hashes of weights and measured caps are kept between processes."""
    together: bool = True
    """Whether the weights of all rivals fit on the device at once, so that they can take turns."""
    last_side: int = 0
    waiting_counts: tuple[int, ...] = ()
    """Further job counts, which the engine alone draws, once: how its memory grows with those that wait."""
    poisson: bool = False
    """Whether jobs also come in at random, at 80 % of what the engine can do, and are cancelled."""

    @property
    def most_jobs(self) -> int:
        return max(self.job_counts)

    def title(self) -> str:
        names = ", ".join(folder.name for folder in self.folders)
        steps = " and ".join(map(str, self.steps))
        size = f"{self.width}×{self.height} px"
        if self.last_side:
            size += f", the last job {self.last_side}×{self.last_side} px"
        return f"{self.name} ({names}): {size}, {steps} steps, guidance {self.guidance_scale:g}, {self.dtype}, {self.device}"

    def as_json(self) -> dict[str, Any]:
        cache = None if self.cache is None else str(self.cache)
        return asdict(self) | {"folders": [str(folder) for folder in self.folders], "cache": cache}


def from_json(told: Mapping[str, Any]) -> Workload:
    """What :meth:`Workload.as_json` told, after a way through JSON."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    values["folders"] = tuple(Path(folder) for folder in told["folders"])
    values["cache"] = None if told["cache"] is None else Path(told["cache"])
    return Workload(**values)


@dataclass(frozen=True)
class Job:
    """One picture to be made. ``model`` is an index into the workload's folders; ``arrives`` are seconds after the first."""

    number: int
    prompt: str
    seed: int
    model: int
    steps: int
    width: int
    height: int
    arrives: float = 0.0


def jobs(workload: Workload, count: int) -> list[Job]:
    """The first ``count`` jobs: prompts and seeds differ, so that a picture handed to the wrong job is noticed."""
    scenes = itertools.product(("small", "large"), ("red", "blue", "green", "yellow"), ("circle", "star", "square"))
    prompts = itertools.cycle(f"a {size} {colour} {shape} on a white background" for size, colour, shape in scenes)
    made = []
    for number, prompt in zip(range(count), prompts, strict=False):
        other = workload.last_side if number == count - 1 else 0
        made.append(
            Job(
                number=number,
                prompt=prompt,
                seed=1000 + number,
                model=number % len(workload.folders),
                steps=workload.steps[number % len(workload.steps)],
                width=other or workload.width,
                height=other or workload.height,
            )
        )
    return made

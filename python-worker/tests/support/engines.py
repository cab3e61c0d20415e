"""An engine under test, and what a test says to it."""

from __future__ import annotations

import copy
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from safelight_worker.engine.engine import Engine
from safelight_worker.engine.events import TERMINAL, Event, Failed, PhaseStarted, Succeeded
from safelight_worker.engine.models import ModelStore
from safelight_worker.pipelines.schedulers import SchedulerChoice
from safelight_worker.runners.runner import Picture
from safelight_worker.types import ModelSpec, OptionValue, OutputFormat, Phase, Plan

CPU = torch.device("cpu")

#: Seconds after which a test that waits has failed.
PATIENCE = 60.0

_numbers = itertools.count(1)


class Watcher:
    """A sink that keeps what it is told and lets a test wait for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.threads: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self.threads.append(threading.current_thread().name)
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event that is wanted; fails after a minute."""
        with self._changed:
            if not self._changed.wait_for(lambda: any(wanted(each) for each in self.events), PATIENCE):
                raise AssertionError(f"waited in vain; told so far: {self.events}")
            return next(each for each in self.events if wanted(each))

    def wait_for_phase(self, phase: Phase) -> None:
        self.wait_for(lambda event: isinstance(event, PhaseStarted) and event.phase is phase)

    def end(self) -> Event:
        """The terminal event."""
        return self.wait_for(lambda event: isinstance(event, TERMINAL))

    def succeeded(self) -> Succeeded:
        event = self.end()
        assert isinstance(event, Succeeded), event
        return event

    def failed(self) -> Failed:
        event = self.end()
        assert isinstance(event, Failed), event
        return event

    def of(self, kind: type) -> list[Any]:
        with self._changed:
            return [event for event in self.events if isinstance(event, kind)]

    @property
    def phases(self) -> list[Phase]:
        return [event.phase for event in self.of(PhaseStarted)]


class Workbench:
    """An engine on the CPU with one thread, whose models' caps are set and whose float pictures are kept."""

    def __init__(self, folder: Path, store: ModelStore, **options: Any) -> None:
        self.folder = folder
        self.cap = 8
        self.models = store
        self.engine = Engine(CPU, self.models, threads=1, **options)
        self.pictures: dict[str, list[Picture]] = defaultdict(list)
        self._watched: set[int] = set()
        self.engine.start()

    def load(self, source: Path, model_id: str = "") -> Any:
        """The loaded model; from now on its cap is ours and its pictures are kept as they leave the decoder."""
        loaded: Any = self.engine.load(spec(source, model_id)).result(PATIENCE)
        if id(loaded.runner) not in self._watched:
            self._watched.add(id(loaded.runner))
            finish = loaded.runner.finish

            def kept(plan: Plan, state: Any) -> Picture:
                picture: Picture = finish(plan, state)
                self.pictures[plan.attempt_id].append(picture)
                return picture

            loaded.runner.finish = kept
            loaded.runner.row_cap = lambda plan: self.cap
            loaded.runner.measure = lambda plan: None
        return loaded

    def plan(self, source: Path, **changes: Any) -> Plan:
        return make_plan(source, self.folder, **changes)

    def submit(self, plan: Plan) -> Watcher:
        watcher = Watcher()
        self.engine.submit(plan, watcher)
        return watcher

    def run(self, plan: Plan) -> list[Picture]:
        """Float pictures of a plan that runs alone."""
        self.load(plan.model.source, plan.model.id)
        self.submit(plan).succeeded()
        return self.pictures.pop(plan.attempt_id)

    def run_together(self, plans: Sequence[Plan]) -> list[Picture]:
        """First pictures of plans submitted at once."""
        for plan in plans:
            self.load(plan.model.source, plan.model.id)
        for watcher in [self.submit(plan) for plan in plans]:
            watcher.succeeded()
        return [self.pictures.pop(plan.attempt_id)[0] for plan in plans]

    def stop(self) -> None:
        self.engine.stop(PATIENCE)


def spec(source: Path, model_id: str = "") -> ModelSpec:
    return ModelSpec(model_id or source.name, source)


def make_plan(source: Path, folder: Path, **changes: Any) -> Plan:
    """Four steps of a small picture, with a staging folder of its own."""
    number = next(_numbers)
    staging = folder / f"staging-{number}"
    staging.mkdir()
    given: dict[str, Any] = {
        "attempt_id": f"job-{number}/1",
        "priority": 2,
        "model": spec(source),
        "prompt": "a red circle",
        "negative_prompt": "",
        "num_inference_steps": 4,
        "guidance_scale": 5.0,
        "seeds": (7,),
        "width": 64,
        "height": 64,
        "scheduler": "",
        "scheduler_options": {},
        "staging_dir": staging,
        "output_format": OutputFormat.PNG,
        "quality": 0,
        "metadata": {},
        "solo": False,
        "max_images": 0,
        "preview_interval_ms": 0,
    }
    return Plan(**{**given, **changes})


def reference(
    pipe: DiffusionPipeline,
    plan: Plan,
    seed: int | None = None,
    options: Mapping[str, OptionValue] | None = None,
) -> Picture:
    """What diffusers' own call draws for a plan, on the very modules the engine uses."""
    torch.set_num_threads(1)
    own = copy.copy(pipe)
    name = plan.scheduler or "DPMSolverMultistepScheduler"
    chosen = {"use_karras_sigmas": True} if not plan.scheduler else dict(plan.scheduler_options)
    own.scheduler = SchedulerChoice(name, options if options is not None else chosen).build(pipe.scheduler)
    own.set_progress_bar_config(disable=True)
    made = own(
        plan.prompt,
        negative_prompt=plan.negative_prompt or None,
        num_inference_steps=plan.num_inference_steps,
        guidance_scale=plan.guidance_scale,
        width=plan.width,
        height=plan.height,
        generator=torch.Generator().manual_seed(plan.seeds[0] if seed is None else seed),
        output_type="np",
    )
    picture: Picture = made.images[0]
    return picture


def same(one: Picture, other: Picture) -> bool:
    """Bit by bit."""
    return one.dtype == other.dtype and bool(np.array_equal(one, other))

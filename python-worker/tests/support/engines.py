"""An engine under test, and what a test says to it."""

from __future__ import annotations

import copy
import inspect
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
from safelight_worker.memory.probe import MemoryProbe
from safelight_worker.pipelines.input_images import open_mask, open_rgb
from safelight_worker.pipelines.schedulers import SchedulerChoice, choose
from safelight_worker.runners.outputs import Picture
from safelight_worker.types import ModelSpec, OptionValue, OutputFormat, Phase, Plan, Task

CPU = torch.device("cpu")

#: Seconds after which a test that waits has failed.
PATIENCE = 60.0

#: Images of an exact forward at 64 by 64 pixels.
EXACT_IMAGES = 4

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

            def kept(plan: Plan, state: Any) -> Any:
                finished = finish(plan, state)
                self.pictures[plan.attempt_id].append(finished.output)
                return finished

            loaded.runner.finish = kept
            loaded.runner.row_cap = lambda plan: self.cap
            loaded.runner.measure = lambda plan: None
            if loaded.runner.kind == "stepped":
                # Measured caps differ from run to run, and with them the rows of exact forwards.
                loaded.runner._caps._exact.update({"64x64": EXACT_IMAGES})
        return loaded

    def plan(self, source: Path, **changes: Any) -> Plan:
        return make_plan(source, self.folder, **changes)

    def submit(self, plan: Plan) -> Watcher:
        watcher = Watcher()
        self.engine.submit(plan, watcher)
        return watcher

    def run(self, plan: Plan) -> list[Picture]:
        """Float pictures of a plan that runs alone."""
        self.load(Path(plan.model.source), plan.model.id)
        self.submit(plan).succeeded()
        return self.pictures.pop(plan.attempt_id)

    def run_together(self, plans: Sequence[Plan]) -> list[Picture]:
        """First pictures of plans submitted at once."""
        for plan in plans:
            self.load(Path(plan.model.source), plan.model.id)
        for watcher in [self.submit(plan) for plan in plans]:
            watcher.succeeded()
        return [self.pictures.pop(plan.attempt_id)[0] for plan in plans]

    def stop(self) -> None:
        self.engine.stop(PATIENCE)


def store(folder: Path, budget_bytes: int = 0) -> ModelStore:
    """Models on the CPU whose measurements are kept in a folder."""
    return ModelStore(CPU, folder, MemoryProbe(CPU), budget_bytes=budget_bytes)


def spec(source: Path, model_id: str = "") -> ModelSpec:
    return ModelSpec(model_id or source.name, str(source))


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
    **extra: Any,
) -> Picture:
    """What diffusers' own call draws for a plan, on the very modules the engine uses. ``pipe`` is of the plan's task."""
    torch.set_num_threads(1)
    own = copy.copy(pipe)
    wish = dict(plan.scheduler_options) if options is None else dict(options)
    if plan.scheduler or options is not None:
        name = plan.scheduler or "DPMSolverMultistepScheduler"
        own.scheduler = SchedulerChoice(name, wish).build(pipe.scheduler)
    else:
        own.scheduler = choose(pipe.scheduler, "", wish).build(pipe.scheduler)
    own.set_progress_bar_config(disable=True)
    arguments: dict[str, Any] = {
        "negative_prompt": plan.negative_prompt or None,
        "num_inference_steps": plan.num_inference_steps,
        "guidance_scale": plan.guidance_scale,
        "generator": torch.Generator().manual_seed(plan.seeds[0] if seed is None else seed),
        "output_type": "np",
    }
    accepted = inspect.signature(type(own).__call__).parameters
    inputs, sized = plan.inputs, {"width": plan.width, "height": plan.height}
    if inputs.task is not Task.IMAGE_TO_IMAGE or "height" in accepted:
        arguments |= sized
    if inputs.init_image is not None:
        arguments["image"] = open_rgb(inputs.init_image, "init_image", plan.width, plan.height)
        arguments["strength"] = inputs.strength
    if inputs.mask_image is not None:
        arguments["mask_image"] = open_mask(inputs.mask_image, "mask_image", plan.width, plan.height)
    if "true_cfg_scale" in accepted and plan.true_cfg_scale:
        arguments["true_cfg_scale"] = plan.true_cfg_scale
    picture: Picture = own(plan.prompt, **arguments, **extra).images[0]
    return picture


def same(one: Picture, other: Picture) -> bool:
    """Bit by bit."""
    return one.dtype == other.dtype and bool(np.array_equal(one, other))

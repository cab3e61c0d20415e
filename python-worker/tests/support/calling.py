"""An exclusive runner driven by hand, without an engine, and what the pipeline's own call makes of the same plan."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.schedulers import choose
from safelight_worker.runners.exclusive import CallState, ExclusiveRunner
from safelight_worker.runners.outputs import Output, Video
from safelight_worker.types import Plan
from tests.support.engines import CPU, make_plan, spec

Progress = Callable[[int, int], None]


class Calling:
    """A runner over a pipeline, and the plans it runs. ``defaults`` are fields of every plan."""

    def __init__(self, pipe: DiffusionPipeline, folder: Path, **defaults: Any) -> None:
        self.pipe = pipe
        self.folder = folder
        self.defaults = defaults
        pipe.set_progress_bar_config(disable=True)
        for component in pipe.components.values():
            if isinstance(component, torch.nn.Module):
                component.requires_grad_(False)
        self.model = LoadedModel(spec(folder), pipe, CPU, torch.float32, "", 0, folder=folder)
        self.runner = ExclusiveRunner(self.model)

    def plan(self, **changes: Any) -> Plan:
        return make_plan(Path("tiny"), self.folder, **{"num_inference_steps": 3, **self.defaults, **changes})

    def run(self, plan: Plan, on_progress: Progress = lambda _step, _steps: None) -> Output:
        """What the plan's first seed makes, on a thread in the engine's mode."""
        with torch.inference_mode():
            self.runner.check(plan)
            state = self.runner.prepare(plan, self.runner.encode(plan), plan.seeds[0])
            self.runner.tick([state], on_progress)
            return self.runner.finish(plan, state).output

    def begin(self, plan: Plan) -> CallState:
        return self.runner.prepare(plan, self.runner.encode(plan), plan.seeds[0])

    def reference(self, plan: Plan, cls: type[DiffusionPipeline] | None = None, **arguments: Any) -> Any:
        """``pipe()`` with the same modules, of its own class or of another on its components; ``arguments`` come on top."""
        own = copy.copy(self.pipe) if cls is None else cls(**self.pipe.components)
        own.set_progress_bar_config(disable=True)
        own.scheduler = choose(own.scheduler, plan.scheduler, plan.scheduler_options).build(own.scheduler)
        given = {"width": plan.width, "height": plan.height, **arguments}
        if plan.negative_prompt:
            given["negative_prompt"] = plan.negative_prompt
        return own(
            plan.prompt,
            num_inference_steps=plan.num_inference_steps,
            guidance_scale=plan.guidance_scale,
            generator=torch.Generator().manual_seed(plan.seeds[0]),
            output_type="np",
            **given,
        )


def frames(output: Output) -> Any:
    assert isinstance(output, Video)
    return output.frames


def gradient(path: Path, width: int = 64, height: int = 64) -> Path:
    """A picture that is different everywhere."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)).save(path)
    return path


def left_half(path: Path, width: int = 64, height: int = 64) -> Path:
    """A mask."""
    Image.fromarray(np.where(np.arange(width) < width // 2, 255, 0).astype(np.uint8)[None].repeat(height, 0)).save(path)
    return path

"""A flow-matching family under test: an adapter over a tiny pipeline, the plans it draws, and what ``pipe()`` draws for them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from safelight_worker.pipelines.adapter import StepAdapter
from safelight_worker.pipelines.loading import LoadedModel
from safelight_worker.pipelines.state import StepState
from safelight_worker.runners.outputs import Picture
from safelight_worker.types import FailureKind, Inputs, Plan, Task, WorkerError
from tests.support.engines import CPU, Workbench, make_plan, reference, spec
from tests.support.stepping import advance, begin, draw, finish


class FlowFamily:
    """Adapter, pipeline, and fields of every plan (``defaults``)."""

    def __init__(self, adapter: type[StepAdapter], pipe: DiffusionPipeline, folder: Path, **defaults: Any) -> None:
        self.pipe = pipe
        self.folder = folder
        self.defaults = defaults
        for component in pipe.components.values():
            if isinstance(component, torch.nn.Module):
                component.requires_grad_(False)
        self.adapter = adapter(LoadedModel(spec(Path("tiny")), pipe, CPU, pipe.dtype, "", 0))

    def with_parts(self, **parts: Any) -> FlowFamily:
        """The same modules but for some."""
        pipe = type(self.pipe)(**{**self.pipe.components, **parts})
        return FlowFamily(type(self.adapter), pipe, self.folder, **self.defaults)

    # ---------------------------------------------------------------- plans

    def plan(self, task: Task = Task.TEXT_TO_IMAGE, strength: float = 0.6, **changes: Any) -> Plan:
        """Starts from a picture of a gradient and a mask that is white on the left, where the task needs them."""
        plan = make_plan(Path("tiny"), self.folder, **{**self.defaults, **changes})
        if task is Task.TEXT_TO_IMAGE:
            return plan
        image, mask = plan.staging_dir / "image.png", plan.staging_dir / "mask.png"
        x, y = np.meshgrid(np.linspace(0, 255, plan.width), np.linspace(0, 255, plan.height))
        Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)).save(image)
        Image.fromarray(((x < 120) * 255).astype(np.uint8)).save(mask)
        inputs = Inputs(image, mask if task is Task.INPAINT else None, strength)
        return make_plan(Path("tiny"), self.folder, **{**self.defaults, **changes, "inputs": inputs})

    def mixed(self, sizes: Sequence[tuple[int, int]], count: int) -> list[Plan]:
        """Plans that differ in everything a request may differ in."""
        choice = random.Random(count)
        plans = []
        for _ in range(count):
            width, height = choice.choice(sizes)
            plans.append(
                self.plan(
                    choice.choice(list(Task)),
                    choice.choice((0.5, 1.0)),
                    prompt=choice.choice(("a red circle", "blue and red", "!")),
                    negative_prompt=choice.choice(("", "blue")),
                    guidance_scale=choice.choice((1.0, 4.0)),
                    true_cfg_scale=choice.choice((1.0, 4.0)),
                    num_inference_steps=choice.randint(1, 6),
                    seeds=(choice.randrange(2**63),),
                    width=width,
                    height=height,
                )
            )
        return plans

    # ---------------------------------------------------------------- pictures

    def begin(self, plan: Plan) -> StepState:
        return begin(self.adapter, plan)

    def alone(self, plan: Plan) -> Picture:
        return draw(self.adapter, plan)

    def reference(self, plan: Plan) -> Picture:
        """By the own call of the pipeline of the plan's task."""
        return reference(self.adapter.classes[plan.inputs.task](**self.pipe.components), plan)

    def interleaved(self, plans: Sequence[Plan]) -> list[Picture]:
        """A step of each in turn, each in a forward of its own."""
        states = [self.begin(plan) for plan in plans]
        while going := [state for state in states if state.step < state.steps]:
            for state in going:
                advance(self.adapter, [state])
        return [finish(self.adapter, plan, state) for plan, state in zip(plans, states, strict=True)]

    def together(self, plans: Sequence[Plan]) -> list[Picture]:
        """Images of one kind in one forward each step; those with steps left go on when others are done."""
        states = [self.begin(plan) for plan in plans]
        while going := [state for state in states if state.step < state.steps]:
            for kind in dict.fromkeys(state.kind for state in going):
                advance(self.adapter, [state for state in going if state.kind == kind])
        return [finish(self.adapter, plan, state) for plan, state in zip(plans, states, strict=True)]

    def padded(self, plans: Sequence[Plan], rows: int) -> list[Tensor]:
        """Latents of images of one kind, from forwards of a fixed number of rows."""
        states = [self.begin(plan) for plan in plans]
        while going := [state for state in states if state.step < state.steps]:
            advance(self.adapter, going, rows)
        return [state.latents for state in states]

    def after_a_stay_on_the_host(self, plan: Plan, at: int) -> Picture:
        """The picture of a state that left the device after ``at`` steps. The one it was made from goes on meanwhile."""
        state = self.begin(plan)
        while state.step < at:
            advance(self.adapter, [state])
        kept = self.adapter.to_host(state)
        finish(self.adapter, plan, state)
        back = self.adapter.from_host(kept)
        assert (back.step, back.kind) == (at, state.kind)
        return finish(self.adapter, plan, back)

    def refusal(self, plan: Plan, kind: FailureKind = FailureKind.INVALID_REQUEST) -> WorkerError:
        """Why a plan cannot be begun."""
        with pytest.raises(WorkerError) as caught:
            self.begin(plan)
        assert caught.value.kind is kind
        return caught.value


def through_the_engine(bench: Workbench, family: FlowFamily, folder: Path, plans: Sequence[Plan]) -> list[float]:
    """Largest difference of each picture of plans submitted at once from what ``pipe()`` draws."""
    ours = [replace(plan, model=spec(folder)) for plan in plans]
    pictures = bench.run_together(ours)
    loaded = FlowFamily(type(family.adapter), bench.load(folder).model.pipe, family.folder)
    return [float(np.abs(one - loaded.reference(plan)).max()) for plan, one in zip(ours, pictures, strict=True)]

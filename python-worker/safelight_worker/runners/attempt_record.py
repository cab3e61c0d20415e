"""An attempt in the middle of its steps, as plain values on the host: what a checkpoint holds.

Whoever has the same weights goes on from it; on the same kind of device, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safelight_worker.pipelines.checkpoints import read, write
from safelight_worker.runners.loaded import LoadedRunner
from safelight_worker.types import FailureKind, Plan, WorkerError


@dataclass(frozen=True)
class AttemptRecord:
    """Facts that whoever resumes must share, and the images' records. Shares nothing with the device."""

    facts: dict[str, Any]
    images: list[Any]
    step: int

    @classmethod
    def of(cls, loaded: LoadedRunner, plan: Plan, states: Sequence[Any]) -> AttemptRecord:
        """Copies the states to the host. Belongs to the engine thread."""
        runner = loaded.runner_for(plan)
        step = min(state.step for state in states)
        facts = {**_facts(loaded, plan), "step": step, "steps": max(state.steps for state in states)}
        return cls(facts, [runner.to_host(state) for state in states], step)

    def write(self, path: Path) -> int:
        """Writes the file, atomically; its size in bytes. Any thread."""
        return write(path, self.facts, self.images)


def read_states(loaded: LoadedRunner, plan: Plan) -> list[Any]:
    """The states of a plan's checkpoint, on the device.

    Raises:
        WorkerError: ``invalid_request`` naming ``checkpoint`` when the file is damaged or was made by another model or for
            another request.
    """
    assert plan.resume_from is not None
    kept = read(plan.resume_from)
    for name, wanted in _facts(loaded, plan).items():
        found = kept.facts.get(name)
        if found != wanted:
            message = f"the checkpoint is of another attempt: {name} is {found!r}; expected {wanted!r}"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, "checkpoint")
    if len(kept.images) != len(plan.seeds):
        message = f"the checkpoint holds {len(kept.images)} images; expected {len(plan.seeds)}"
        raise WorkerError(FailureKind.INVALID_REQUEST, message, "checkpoint")
    runner = loaded.runner_for(plan)
    return [runner.from_host(plan, record) for record in kept.images]


def _facts(loaded: LoadedRunner, plan: Plan) -> dict[str, Any]:
    """What must be the same on both sides. Residency, priority and the places of files may differ: they leave the picture as it
    is. Tiling and slicing change its last bits, which matters where those were promised."""
    inputs, adapter = plan.inputs, plan.inputs.ip_adapter
    told = [
        plan.prompt,
        plan.negative_prompt,
        sorted(plan.scheduler_options.items()),
        plan.scheduler,
        plan.true_cfg_scale,
    ]
    return {
        "weights_sha256": loaded.model.weights_sha256,
        "pipeline_class": loaded.model.pipeline_class,
        "dtype": loaded.model.dtype_name,
        "runner": loaded.runner_for(plan).kind,
        "request_sha256": hashlib.sha256(json.dumps(told).encode()).hexdigest(),
        "num_inference_steps": plan.num_inference_steps,
        "guidance_scale": plan.guidance_scale,
        "width": plan.width,
        "height": plan.height,
        "num_frames": plan.num_frames,
        "seeds": tuple(plan.seeds),
        "task": inputs.task.value,
        "strength": inputs.strength,
        "controls": tuple((use.id, use.scale, use.start, use.end) for use in inputs.controls),
        "ip_adapter": None if adapter is None else (adapter.id, adapter.scale),
        "loras": tuple((use.id, use.weight) for use in plan.loras),
        "exact": (plan.memory.vae_tiling.value, plan.memory.attention_slicing) if plan.exact else None,
    }

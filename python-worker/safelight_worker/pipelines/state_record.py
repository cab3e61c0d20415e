"""An image's state as plain values on the host - dicts, tuples, numbers, CPU tensors - and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from safelight_worker.pipelines.state import Blend, ControlUse, StepState
from safelight_worker.pipelines.suspension import moved, record, restore
from safelight_worker.types import ControlInput, FailureKind, LoraUse, WorkerError

_HOST = torch.device("cpu")


def recorded(state: StepState) -> dict[str, Any]:
    """Everything the image's next steps depend on. Shares nothing with the state, which is not changed."""
    return {
        "latents": moved(state.latents, _HOST),
        "timesteps": moved(state.timesteps, _HOST),
        "timesteps_on_host": state.timesteps.device.type == "cpu",
        "step": state.step,
        "scheduler": record(state.scheduler),
        "generator": state.generator.get_state(),
        "branches": {name: moved(dict(rows), _HOST) for name, rows in state.branches.items()},
        "guidance_scale": state.guidance_scale,
        "width": state.width,
        "height": state.height,
        "shared": moved(dict(state.shared), _HOST),
        "channels": moved(state.channels, _HOST),
        "blend": None if state.blend is None else {name: moved(t, _HOST) for name, t in vars(state.blend).items()},
        "controls": tuple({**vars(use), "image": moved(use.image, _HOST)} for use in state.controls),
        "loras": tuple((use.id, str(use.source), use.weight) for use in state.loras),
        "exact_rows": state.exact_rows,
    }


def restored(
    kept: Mapping[str, Any], device: torch.device, loras: Sequence[LoraUse], controls: Sequence[ControlInput]
) -> StepState:
    """The state a record was made from, on a device; only its ``kind`` is for the adapter to set. ``loras`` and ``controls`` tell
    where the weights lie now; another host may keep them elsewhere.

    Raises:
        WorkerError: ``invalid_request`` when LoRAs or ControlNets differ from the record's.
    """
    if [(use.id, use.weight) for use in loras] != [(name, weight) for name, _, weight in kept["loras"]]:
        raise _differs("LoRAs", [name for name, *_ in kept["loras"]])
    if [use.id for use in controls] != [use["id"] for use in kept["controls"]]:
        raise _differs("ControlNets", [use["id"] for use in kept["controls"]])
    generator = torch.Generator()
    generator.set_state(kept["generator"])
    blend = kept["blend"]
    return StepState(
        latents=moved(kept["latents"], device),
        timesteps=moved(kept["timesteps"], _HOST if kept["timesteps_on_host"] else device),
        scheduler=restore(kept["scheduler"], device),
        generator=generator,
        branches={name: moved(rows, device) for name, rows in kept["branches"].items()},
        guidance_scale=kept["guidance_scale"],
        width=kept["width"],
        height=kept["height"],
        shared=moved(kept["shared"], device),
        channels=moved(kept["channels"], device),
        blend=None if blend is None else Blend(**moved(blend, device)),
        controls=tuple(
            ControlUse(**{**use, "image": moved(use["image"], device), "source": str(now.source)})
            for use, now in zip(kept["controls"], controls, strict=True)
        ),
        loras=tuple(loras),
        step=kept["step"],
        exact_rows=kept["exact_rows"],
    )


def _differs(what: str, names: Sequence[str]) -> WorkerError:
    message = f"the checkpoint was made with the {what} {', '.join(names) or '(none)'}; the plan names others"
    return WorkerError(FailureKind.INVALID_REQUEST, message, "checkpoint")

"""Plans from the fastest to the one that needs least memory, as an orchestrator would try them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from safelight_worker.types import MemoryPlan, Residency, Tiling

#: Names of denoisers among a pipeline's components.
_DENOISERS = ("unet", "transformer")


@dataclass(frozen=True)
class Rung:
    """One plan. ``max_images``: most images to a forward, 0 for as many as pay."""

    name: str
    memory: MemoryPlan
    max_images: int = 0


def ladder(components: Sequence[str]) -> tuple[Rung, ...]:
    """Rungs for a pipeline of these networks. None of them makes another picture but for the seams of tiles and rounding."""
    phases = dict.fromkeys(components, Residency.PHASE)
    grouped = {**phases, **{name: Residency.GROUP_OFFLOAD for name in components if name in _DENOISERS}}
    tiled = MemoryPlan(vae_slicing=True, vae_tiling=Tiling.TILED)
    sparing = MemoryPlan(phases, vae_slicing=True, vae_tiling=Tiling.AGGRESSIVE, attention_slicing=True)
    return (
        Rung("resident", MemoryPlan()),
        Rung("one image to a forward", MemoryPlan(), 1),
        Rung("VAE tiling", tiled, 1),
        Rung("phase residency", replace(tiled, residency=phases), 1),
        Rung("aggressive tiling, attention slicing", sparing, 1),
        Rung("group offload", replace(sparing, residency=grouped), 1),
    )

"""Which workloads there are, and the weights each of them draws with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bench.engine.contestant import write_pipeline
from bench.engine.workloads import COMPILED, ENGINE, LOCK, RIVALS, Workload

#: Names of all workloads, and whether they are for a CPU; the others are for an accelerator.
NAMES = {
    "launch-bound": True,
    "model": True,
    "compute-bound": True,
    "families": True,
    "sd15": False,
    "sdxl": False,
    "sdxl-4-steps": False,
    "sd35-medium": False,
    "flux-dev": False,
    "behind": False,
}

#: Pixels a side of the launch-bound pipeline: 8 latents at its autoencoder's factor of 8.
_TINY_SIDE = 64

_GPU_FAMILIES = {
    "sd15": "sd",
    "sdxl": "sdxl",
    "sdxl-4-steps": "sdxl",
    "sd35-medium": "sd3",
    "flux-dev": "flux",
    "behind": "sdxl",
}
_CPU_DTYPES = ("float32", "bfloat16")
_GPU_DTYPES = ("bfloat16", "float16")


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    device: str
    model: Path
    quick: bool = False
    compiled: bool = False
    t5_layers: int = 1


def prepare(name: str, wish: Wish, folder: Path) -> Workload:
    """A workload with its weights under ``folder``, made first where they are random. Raises ContestantError when they cannot
    be made."""
    workload = on_cpu(name, wish, folder) if NAMES[name] else on_gpu(name, wish, folder)
    workload = replace(workload, cache=folder / "cache")
    scale = "tiny" if NAMES[name] else "full"
    for own in workload.folders:
        if own != wish.model:
            family = own.name if NAMES[name] else _GPU_FAMILIES[name]
            t5 = ("--t5-layers", str(wish.t5_layers))
            write_pipeline(family, scale, own, "--device", wish.device, "--dtype", workload.dtype, *t5)
    return _quick(workload) if wish.quick else workload


def on_cpu(name: str, wish: Wish, folder: Path) -> Workload:
    """Tiny networks, and the embedded model. Raises KeyError for a name that is none of these."""
    rivals = (*RIVALS, COMPILED) if wish.compiled else RIVALS
    side = _TINY_SIDE
    launch_bound = Workload(
        name,
        (folder / "sd",),
        side,
        side,
        (20,),
        5.0,
        (8, 16),
        rivals,
        exact_dtypes=_CPU_DTYPES,
        waiting_counts=(64,),
        poisson=True,
    )
    return {
        "launch-bound": launch_bound,
        "model": Workload(name, (wish.model,), 64, 64, (20,), 5.0, (8, 16), rivals, exact_dtypes=_CPU_DTYPES),
        # Few steps and one job count: what matters is that a forward is long, not that there are many.
        "compute-bound": replace(
            launch_bound,
            width=256,
            height=256,
            steps=(4,),
            job_counts=(8,),
            rivals=(ENGINE, LOCK),
            exact_dtypes=(),
            waiting_counts=(),
            poisson=False,
        ),
        # Three models at once, and requests of different lengths in each.
        "families": Workload(
            name,
            tuple(folder / family for family in ("sdxl", "sd3", "flux")),
            side,
            side,
            (20, 14),
            5.0,
            (12,),
            rivals,
            exact_dtypes=_CPU_DTYPES,
        ),
    }[name]


def on_gpu(name: str, wish: Wish, folder: Path) -> Workload:
    """Networks as large as the published ones, in bfloat16. Raises KeyError for a name that is none of these."""
    base = Workload(
        name,
        (folder / name,),
        1024,
        1024,
        (30,),
        5.0,
        (1, 8, 16),
        (*RIVALS, COMPILED),
        device=wish.device,
        dtype="bfloat16",
        together=False,
        exact_dtypes=_GPU_DTYPES,
    )
    return {
        "sd15": replace(base, width=512, height=512, poisson=True),
        "sdxl": base,
        "sdxl-4-steps": replace(base, steps=(4,), guidance_scale=1.0, job_counts=(16,), exact_dtypes=()),
        "sd35-medium": replace(base, waiting_counts=(64,)),
        "flux-dev": replace(base, steps=(28,), guidance_scale=3.5, job_counts=(1, 4, 8)),
        "behind": replace(base, job_counts=(9,), rivals=(ENGINE, LOCK), last_side=512, exact_dtypes=()),
    }[name]


def _quick(workload: Workload) -> Workload:
    return replace(
        workload,
        steps=tuple(min(steps, 4) - n for n, steps in enumerate(workload.steps)),
        job_counts=(4,),
        waiting_counts=(6,) if workload.waiting_counts else (),
        exact_dtypes=workload.exact_dtypes[:1],
    )

"""Slicing and tiling of a VAE for one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from safelight_worker.types import FailureKind, Tiling, WorkerError

#: Fields with the side of a tile, in pixels and in latents, in the words of the VAEs of diffusers.
_SIDES = (
    "tile_sample_min_size",
    "tile_latent_min_size",
    "tile_sample_min_height",
    "tile_sample_min_width",
    "tile_sample_stride_height",
    "tile_sample_stride_width",
    "tile_latent_min_height",
    "tile_latent_min_width",
)


@contextmanager
def vae_options(vae: Any, slicing: bool, tiling: Tiling) -> Iterator[None]:
    """Sets them, and puts back every field whatever happens.

    Slicing takes a batch row by row, bit for bit the same. Tiling cuts a picture above the tile's side into overlapping tiles
    and blends them: a small change of the picture, and no more memory than a tile takes.

    Raises:
        WorkerError: ``invalid_request`` naming ``memory.vae_slicing`` or ``memory.vae_tiling`` when this VAE cannot do it.
    """
    for wanted, flag in ((slicing, "slicing"), (tiling is not Tiling.OFF, "tiling")):
        if wanted and not hasattr(vae, f"use_{flag}"):
            message = f"{type(vae).__name__} has no {flag}"
            raise WorkerError(FailureKind.INVALID_REQUEST, message, f"memory.vae_{flag}")
    names = [name for name in ("use_slicing", "use_tiling", *_SIDES) if name in vars(vae)]
    before = {name: getattr(vae, name) for name in names}
    try:
        if slicing:
            vae.use_slicing = True
        if tiling is not Tiling.OFF:
            vae.use_tiling = True
        if tiling is Tiling.AGGRESSIVE:
            for name in names:
                if name in _SIDES:
                    setattr(vae, name, max(1, before[name] // 2))
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)

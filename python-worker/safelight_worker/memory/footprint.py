"""What a phase takes on top of the weights, as two numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from safelight_worker.types import Phase


@dataclass(frozen=True)
class PhaseFootprint:
    """Highest use over the weights in bytes: ``fixed_bytes + bytes_per_pixel · rows · width · height``.

    Rows are those of a forward: while denoising with classifier-free guidance a picture has two. Sizes are the picture's
    pixels, not the latents'.
    """

    phase: Phase
    fixed_bytes: int
    bytes_per_pixel: float
    measured: bool
    """On this device; else estimated from configs."""

    def __post_init__(self) -> None:
        if self.fixed_bytes < 0 or not 0 <= self.bytes_per_pixel < math.inf:
            raise ValueError(
                f"footprint of {self.phase.value}: {self.fixed_bytes} bytes and {self.bytes_per_pixel} a pixel; "
                "neither may be negative or infinite"
            )


def predicted_bytes(footprint: PhaseFootprint, rows: int, width: int, height: int) -> int:
    """Highest use over the weights in bytes, rounded up. Rows as in :class:`PhaseFootprint`; sizes in pixels."""
    return footprint.fixed_bytes + math.ceil(footprint.bytes_per_pixel * rows * width * height)

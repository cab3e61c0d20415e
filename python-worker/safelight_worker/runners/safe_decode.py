"""A decode that came out as NaN or as one colour, once more in float32.

Half precision overflows in some VAEs (SDXL's first one is known for it); the latents are right and the second try shows the
picture. What is blank in float32 too is the model's doing and is rejected later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from safelight_worker.placement.group_offload import renew_group_offload


def shows_nothing(decoded: Tensor) -> bool:
    """Whether a decode, any float dtype, holds NaN or infinity, or one value everywhere once it is clamped to -1 … 1."""
    if not bool(torch.isfinite(decoded).all()):
        return True
    clamped = decoded.clamp(-1, 1)
    return bool(clamped.max() == clamped.min())


def decode_again_in_float32(vae: Any, decode: Callable[[], Tensor]) -> Tensor:
    """Runs ``decode`` with the VAE's weights in float32, and puts their dtypes back whatever happens. Casting up and back loses
    nothing."""
    tensors = [tensor for tensor in (*vae.parameters(), *vae.buffers()) if tensor.is_floating_point()]
    dtypes = [tensor.dtype for tensor in tensors]
    try:
        _cast(tensors, [torch.float32] * len(tensors))
        renew_group_offload(vae)
        return decode()
    finally:
        _cast(tensors, dtypes)
        renew_group_offload(vae)


def _cast(tensors: list[Tensor], dtypes: list[torch.dtype]) -> None:
    # Weights are ordinary tensors: those born in inference_mode could never be moved or hooked.
    with torch.inference_mode(False), torch.no_grad():
        for tensor, dtype in zip(tensors, dtypes, strict=True):
            if tensor.dtype != dtype:
                tensor.data = tensor.data.to(dtype)

"""Attention in slices, for one call: less memory for more time, where attention is not fused anyway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def attention_options(module: Any, slicing: bool) -> Iterator[None]:
    """Slices the attention of a denoiser that has slices (UNets; transformers always use fused kernels), and puts its
    processors back whatever happens."""
    if not slicing or not hasattr(module, "set_attention_slice"):
        yield
        return
    before = dict(module.attn_processors)
    try:
        heads = [each.sliceable_head_dim for each in module.modules() if hasattr(each, "sliceable_head_dim")]
        # "auto" halves, too, but makes none of one head and divides by it.
        module.set_attention_slice([max(1, count // 2) for count in heads])
        yield
    finally:
        module.set_attn_processor(before)

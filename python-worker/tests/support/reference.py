"""``python -m tests.support.reference < ORDERS``: pictures by diffusers' own call, with nothing of the worker in between.

An order is an object with ``folder`` (in the diffusers layout), ``out`` (the PNG to write), ``seed`` and ``call`` (arguments
of ``pipe()``); optionally ``scheduler`` with ``scheduler_options``, and ``image``, the file to start from. Standard input holds
a JSON array of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import diffusers
import torch
from diffusers import AutoPipelineForImage2Image, DiffusionPipeline
from PIL import Image


def draw(order: Mapping[str, Any]) -> Image.Image:
    """The picture of an order."""
    pipe = DiffusionPipeline.from_pretrained(order["folder"], local_files_only=True)
    call = dict(order["call"])
    if "image" in order:
        pipe = AutoPipelineForImage2Image.from_pipe(pipe)
        call["image"] = Image.open(order["image"]).convert("RGB")
    if "scheduler" in order:
        scheduler = getattr(diffusers, order["scheduler"])
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config, **order.get("scheduler_options", {}))
    pipe.set_progress_bar_config(disable=True)
    drawn: Image.Image = pipe(**call, generator=torch.Generator().manual_seed(order["seed"])).images[0]
    return drawn


def main() -> None:
    # As many as the worker of the test has: sums in another order have other last bits.
    torch.set_num_threads(1)
    for order in json.load(sys.stdin):
        draw(order).save(order["out"])


if __name__ == "__main__":
    main()

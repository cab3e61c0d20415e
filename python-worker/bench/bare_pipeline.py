"""``python bare_pipeline.py FOLDER DEVICE DTYPE``: diffusers' own call in a warm process, timed; nothing is served and nothing is stored.

Reads calls as JSON lines - ``prompt``, ``seed``, ``width``, ``height``, ``steps``, ``guidance_scale`` - and answers each with
one: milliseconds of the call and of encoding its picture as PNG, and the SHA-256 of its pixels. The first line is written when
it is ready.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline


def main(folder: str, device: str, dtype: str) -> None:
    """Obeys until its input ends."""
    # Libraries may print; answers go where nobody else writes.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=getattr(torch, dtype), local_files_only=True).to(device)
    pipe.set_progress_bar_config(disable=True)
    answers.write(json.dumps({"threads": torch.get_num_threads()}) + "\n")
    for line in sys.stdin:
        answers.write(json.dumps(draw(pipe, json.loads(line))) + "\n")


def draw(pipe: Any, call: Mapping[str, Any]) -> dict[str, Any]:
    """One call; times in milliseconds."""
    began = time.perf_counter()
    picture = pipe(
        call["prompt"],
        width=call["width"],
        height=call["height"],
        num_inference_steps=call["steps"],
        guidance_scale=call["guidance_scale"],
        generator=torch.Generator().manual_seed(call["seed"]),
    ).images[0]
    drawn = time.perf_counter()
    picture.save(io.BytesIO(), format="png")
    encoded = time.perf_counter()
    return {
        "draw_ms": (drawn - began) * 1000,
        "encode_ms": (encoded - drawn) * 1000,
        "sha256": hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest(),
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])

"""What a generation makes: a picture or a video, decoded, on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Picture = NDArray[np.float32]
"""One picture: (height, width, 3) float32 in 0 … 1."""


@dataclass(frozen=True, eq=False)
class Video:
    """``frames``: (n, height, width, 3) float32 in 0 … 1; ``fps``: frames a second they are shown at."""

    frames: NDArray[np.float32]
    fps: int


Output = Picture | Video

#: Fields of diffusers' outputs that hold a video, in the order in which they are looked for.
_VIDEOS = ("frames", "video")


def to_output(made: Any, fps: int) -> Output | None:
    """What a pipeline returned for one prompt and one seed; None when it holds neither a picture nor a video.

    Whatever the pipeline made of ``output_type``: arrays (…, height, width, channels) in 0 … 1, tensors (…, channels, height,
    width) in 0 … 1, or PIL images. Several pictures for one seed (views of an object, frames) are a video.
    """
    for name in _VIDEOS:
        if getattr(made, name, None) is not None:
            return Video(_frames(_array(getattr(made, name))), fps)
    images = getattr(made, "images", None)
    if images is None:
        return None
    frames = _frames(_array(images))
    return frames[0] if len(frames) == 1 else Video(frames, fps)


def _frames(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, height, width, 3) of what may have an axis more (a batch of one) or less."""
    while values.ndim > 4:
        values = values[0]
    values = values.reshape(-1, *values.shape[-3:])
    channels = values.shape[-1]
    if channels == 1:
        return values.repeat(3, axis=-1)
    if channels == 4:
        colour, alpha = values[..., :3], values[..., 3:]
        return colour * alpha + (1 - alpha)
    return values


def _array(values: Any) -> NDArray[np.float32]:
    """(…, height, width, channels) float32."""
    if isinstance(values, Tensor):
        return np.asarray(values.float().cpu().movedim(-3, -1).numpy())
    if isinstance(values, np.ndarray):
        return values / np.float32(255) if values.dtype == np.uint8 else values.astype(np.float32, copy=False)
    if isinstance(values, Image.Image):
        pixels = np.asarray(values.convert("RGB" if values.mode not in ("RGB", "RGBA", "L") else values.mode))
        return _array(pixels if pixels.ndim == 3 else pixels[..., None])
    return np.stack([_array(each) for each in values])

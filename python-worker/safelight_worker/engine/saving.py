"""Off the engine thread: checks pictures, encodes them, writes the files."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from safelight_worker.engine.events import Artifact
from safelight_worker.runners.runner import Picture
from safelight_worker.types import FailureKind, OutputFormat, WorkerError

_MEDIA_TYPES = {
    OutputFormat.PNG: ("image/png", "png"),
    OutputFormat.WEBP: ("image/webp", "webp"),
    OutputFormat.JPEG: ("image/jpeg", "jpg"),
}

#: zlib level: 9 costs four times as much for 3 % of the size.
_PNG_LEVEL = 4

#: Most bytes of a preview, by the contract.
_PREVIEW_BYTES = 64 << 10

#: EXIF tag ImageDescription, for formats without text chunks.
_IMAGE_DESCRIPTION = 0x010E


def validate(picture: Picture) -> None:
    """Raises WorkerError(rejected_output) for a picture that shows nothing: NaN, or one value everywhere."""
    if not np.isfinite(picture).all():
        raise WorkerError(FailureKind.REJECTED_OUTPUT, "the decoded picture holds NaN")
    if float(picture.max() - picture.min()) == 0.0:
        raise WorkerError(FailureKind.REJECTED_OUTPUT, "the decoded picture is one flat colour")


def save(
    picture: Picture,
    *,
    index: int,
    seed: int,
    folder: Path,
    output_format: OutputFormat,
    quality: int,
    metadata: Mapping[str, str],
) -> Artifact:
    """Writes one picture, synced and under its final name only when whole."""
    media_type, suffix = _MEDIA_TYPES[output_format]
    data = encode(picture, output_format, quality, metadata)
    name = f"{index}.{suffix}"
    temporary = folder / f".{name}.part"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    height, width = picture.shape[:2]
    return Artifact(index, name, media_type, width, height, len(data), hashlib.sha256(data).hexdigest(), seed)


def encode(picture: Picture, output_format: OutputFormat, quality: int, metadata: Mapping[str, str]) -> bytes:
    """File contents; rounds as diffusers' ``numpy_to_pil`` does."""
    image = PillowImage.fromarray((picture * 255).round().astype("uint8"))
    buffer = io.BytesIO()
    if output_format is OutputFormat.PNG:
        chunks = PngInfo()
        for key, value in metadata.items():
            chunks.add_itxt(key, value)
        image.save(buffer, "PNG", pnginfo=chunks, compress_level=_PNG_LEVEL)
    else:
        exif = PillowImage.Exif()
        exif[_IMAGE_DESCRIPTION] = json.dumps(dict(metadata))
        image.save(buffer, output_format.value, quality=quality or 90, exif=exif)
    return buffer.getvalue()


def encode_preview(picture: Picture) -> bytes:
    """A JPEG of at least 64 pixels a side, so that it can be looked at, and of at most 64 KiB, so that it can be sent."""
    image = PillowImage.fromarray((picture * 255).round().astype("uint8"))
    factor = max(1, -(-64 // min(image.size)))
    image = image.resize((image.width * factor, image.height * factor))
    quality = 80
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= _PREVIEW_BYTES:
            return buffer.getvalue()
        if quality > 20:
            quality -= 30
        else:
            image = image.reduce(2)

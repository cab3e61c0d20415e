"""Off the engine thread: checks pictures and videos, encodes them, writes the files."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from safelight_worker.engine.events import Artifact
from safelight_worker.engine.video_files import write_mp4
from safelight_worker.runners.outputs import Output, Picture, Video
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


def validate(output: Output) -> None:
    """Raises WorkerError(rejected_output) for what shows nothing: NaN, or one value everywhere and in every frame."""
    name, values = ("video", output.frames) if isinstance(output, Video) else ("picture", output)
    if not np.isfinite(values).all():
        raise WorkerError(FailureKind.REJECTED_OUTPUT, f"the decoded {name} holds NaN")
    if float(values.max() - values.min()) == 0.0:
        raise WorkerError(FailureKind.REJECTED_OUTPUT, f"the decoded {name} is one flat colour")


def save(
    output: Output,
    *,
    index: int,
    seed: int,
    folder: Path,
    output_format: OutputFormat,
    quality: int,
    metadata: Mapping[str, str],
) -> tuple[Artifact, ...]:
    """Writes an output, each file synced and under its final name only when whole.

    A picture is one file, ``<index>.<suffix>``. A video is one MP4 file, or a picture file for each frame,
    ``<index>.<frame>.<suffix>`` with the frame in five digits, which sorts them. After an error no file is left.
    """
    if output_format is OutputFormat.MP4:
        if not isinstance(output, Video):
            raise WorkerError(FailureKind.INVALID_REQUEST, "mp4 is for videos; this is a picture", "output_format")
        return (_save_mp4(output, index, seed, folder, quality, metadata),)
    media_type, suffix = _MEDIA_TYPES[output_format]
    names = [f"{index}.{suffix}"]
    pictures: Iterable[Picture] = [output] if not isinstance(output, Video) else output.frames
    if isinstance(output, Video):
        names = [f"{index}.{frame:05d}.{suffix}" for frame in range(len(output.frames))]
    artifacts = []
    try:
        for name, picture in zip(names, pictures, strict=True):
            data = encode(picture, output_format, quality, metadata)
            with _whole_file(folder / name) as temporary:
                temporary.write_bytes(data)
            height, width = picture.shape[:2]
            digest = hashlib.sha256(data).hexdigest()
            artifacts.append(Artifact(index, name, media_type, width, height, len(data), digest, seed))
    except BaseException:
        for artifact in artifacts:
            (folder / artifact.file_name).unlink(missing_ok=True)
        raise
    return tuple(artifacts)


def _save_mp4(video: Video, index: int, seed: int, folder: Path, quality: int, metadata: Mapping[str, str]) -> Artifact:
    name = f"{index}.mp4"
    with _whole_file(folder / name) as temporary:
        width, height = write_mp4(video, temporary, quality, metadata)
    data = (folder / name).read_bytes()
    return Artifact(index, name, "video/mp4", width, height, len(data), hashlib.sha256(data).hexdigest(), seed)


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; what was written comes under the final name once it is synced, or is gone."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


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

"""Opens the pictures a request brings: whatever it sends, a pipeline gets a plain one of the size it asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from safelight_worker.types import FailureKind, WorkerError

#: Pixels of the largest picture that is decoded; its RGBA form takes four bytes each.
MAX_PIXELS = 64_000_000

#: Formats that are read. Pillow knows many more, some of whose decoders start other programs.
FORMATS = ("PNG", "JPEG", "WEBP")


def open_rgb(path: Path, field: str, width: int, height: int) -> Image.Image:
    """The picture in ``path`` as RGB of exactly ``width`` by ``height`` pixels; 0 and 0: of its own size.

    Turned as its EXIF orientation says; what is transparent is laid on white; another size is resampled (Lanczos).

    Raises:
        WorkerError: ``invalid_request`` naming ``field`` when it is no picture, damaged or too large; ``internal`` when
            the file cannot be read.
    """
    return _resized(_flat(_opened(path, field), "white"), width, height)


def open_mask(path: Path, field: str, width: int, height: int) -> Image.Image:
    """The mask in ``path`` as L of exactly ``width`` by ``height`` pixels; white is painted anew.

    As :func:`open_rgb`, but what is transparent counts as black, as in strokes drawn on an empty canvas.
    """
    return _resized(_flat(_opened(path, field), "black").convert("L"), width, height)


def _opened(path: Path, field: str) -> Image.Image:
    try:
        file = path.open("rb")
    except OSError as error:
        message = f"{field}: the file of the picture cannot be read: {error.strerror}"
        raise WorkerError(FailureKind.INTERNAL, message, field) from error
    with file:
        try:
            image = Image.open(file, formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise _refused(field, f"has {image.width}x{image.height} pixels; {MAX_PIXELS} are the most")
            image.load()
            return ImageOps.exif_transpose(image)
        except WorkerError:
            raise
        except UnidentifiedImageError as error:
            raise _refused(field, f"is no picture of the formats {', '.join(FORMATS)}") from error
        except Image.DecompressionBombError as error:
            raise _refused(field, f"has more than {MAX_PIXELS} pixels") from error
        except Exception as error:  # a damaged file raises whatever its decoder came across
            raise _refused(field, f"is damaged: {error}") from error


def _refused(field: str, message: str) -> WorkerError:
    return WorkerError(FailureKind.INVALID_REQUEST, f"{field}: the picture {message}", field)


def _flat(image: Image.Image, background: str) -> Image.Image:
    """As RGB without transparency."""
    if image.mode.startswith("I"):
        # 16 bits a value, which Pillow's own conversion would clip to 255.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, background), over).convert("RGB")


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height) or not width:
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS)

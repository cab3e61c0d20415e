"""Opens the pictures a request brings: whatever it sends, a pipeline gets a plain one of the size it asked for.

Of a file that nobody has looked at, this is the work of :mod:`safelight_worker.pipelines.input_decoder`, in a process of its
own: it takes seconds and gigabytes for the largest, and holds the interpreter for some of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from safelight_worker.types import FailureKind, Pixels, WorkerError

#: Pixels of the largest picture that is decoded; its RGBA form takes four bytes each.
MAX_PIXELS = 64_000_000

#: Formats that are read. Pillow knows many more, some of whose decoders start other programs.
FORMATS = ("PNG", "JPEG", "WEBP")

#: Rows that are laid on a background at a time: a whole picture would take four of its size.
_STRIP_ROWS = 256


def open_rgb(source: Path | Pixels, field: str, width: int, height: int) -> Image.Image:
    """The picture in ``source`` as RGB of exactly ``width`` by ``height`` pixels; 0 and 0: of its own size.

    Turned as its EXIF orientation says; what is transparent is laid on white; another size is resampled (Lanczos).

    Raises:
        WorkerError: ``invalid_request`` naming ``field`` when it is no picture, damaged or too large; ``internal`` when
            the file cannot be read.
    """
    return _resized(_flat(_opened(source, field), "white"), width, height)


def open_mask(
    source: Path | Pixels, field: str, width: int, height: int, *, transparency_painted: bool = False
) -> Image.Image:
    """The mask in ``source`` as L of exactly ``width`` by ``height`` pixels; white is painted anew.

    As :func:`open_rgb`, but what is transparent counts as black, as in strokes drawn on an empty canvas; or, where
    ``transparency_painted`` and there is some, as white, and what is opaque as black, whatever its colours.
    """
    mask = _opened(source, field)
    if transparency_painted and mask.has_transparency_data:
        return _resized(ImageChops.invert(mask.convert("RGBA").getchannel("A")), width, height)
    return _resized(_flat(mask, "black").convert("L"), width, height)


def _opened(source: Path | Pixels, field: str) -> Image.Image:
    if isinstance(source, Pixels):
        return Image.frombytes(source.mode, (source.width, source.height), source.data)
    try:
        file = source.open("rb")
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
        except (WorkerError, MemoryError):
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
    flat = Image.new("RGB", image.size)
    for top in range(0, image.height, _STRIP_ROWS):
        strip = image.crop((0, top, image.width, min(top + _STRIP_ROWS, image.height))).convert("RGBA")
        flat.paste(Image.alpha_composite(Image.new("RGBA", strip.size, background), strip), (0, top))
    return flat


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height) or not width:
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS)

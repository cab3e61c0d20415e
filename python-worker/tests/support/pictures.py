"""Pictures that mean harm."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

_START_OF_SCAN = b"\xff\xda"
_END_OF_IMAGE = b"\xff\xd9"


def scan_bomb(path: Path, scans: int = 20_000, side: int = 4000) -> Path:
    """A progressive JPEG of one colour whose last scan comes many times: each goes over all of the picture again."""
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data[data.rindex(_START_OF_SCAN) : data.rindex(_END_OF_IMAGE)]
    path.write_bytes(data[: data.rindex(_END_OF_IMAGE)] + last * scans + _END_OF_IMAGE)
    return path

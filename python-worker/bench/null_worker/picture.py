"""The one picture the null worker has."""

from __future__ import annotations

import hashlib
import struct
import zlib

WIDTH = HEIGHT = 8


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png() -> bytes:
    """Grey, 8-bit RGB, no filters."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\x80" * (3 * WIDTH)) * HEIGHT
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


PNG = _png()
SHA256 = hashlib.sha256(PNG).hexdigest()

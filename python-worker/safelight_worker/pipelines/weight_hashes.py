"""Which weights they are: SHA-256 over names and contents, remembered so that gigabytes are read once."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

#: A file that was written this recently may be written again within the same tick of its time stamp: not remembered yet.
_SETTLED_SECONDS = 2.0


class WeightHashes:
    """Hashes of weight files, kept in ``cache_dir`` by path, size and time of modification; None: kept nowhere.

    Each file has an entry of its own, so that workers on one folder do not write over each other; an entry that is lost or
    damaged costs one more reading.
    """

    def __init__(self, cache_dir: Path | None) -> None:
        self._folder = None if cache_dir is None else cache_dir / "weight-hashes"

    def of(self, files: Iterable[tuple[str, Path]]) -> str:
        """Hex hash over pairs of the name a file counts under and its path."""
        digest = hashlib.sha256()
        for name, path in files:
            digest.update(name.encode() + b"\0")
            digest.update(self._of_file(path))
        return digest.hexdigest()

    def _of_file(self, path: Path) -> bytes:
        entry = self._entry(path)
        known = _read(entry)
        if known is not None:
            return known
        content = _hash(path)
        # What changed while it was read has another entry now.
        if entry is not None and entry == self._entry(path) and time.time() - path.stat().st_mtime > _SETTLED_SECONDS:
            _write(entry, content)
        return content

    def _entry(self, path: Path) -> Path | None:
        if self._folder is None:
            return None
        # A snapshot of the hub's cache is made of links to its files.
        real = path.resolve()
        about = real.stat()
        key = f"{real}\0{about.st_size}\0{about.st_mtime_ns}"
        return self._folder / hashlib.sha256(key.encode()).hexdigest()


def hash_weights(folder: Path) -> str:
    """SHA-256 over names and contents of all weight files below a folder, hex."""
    files = ((str(path.relative_to(folder)), path) for path in sorted(folder.rglob("*.safetensors")))
    return WeightHashes(None).of(files)


def _hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()


def _read(entry: Path | None) -> bytes | None:
    if entry is None:
        return None
    try:
        known = bytes.fromhex(entry.read_text())
    except (OSError, ValueError):
        return None
    return known if len(known) == hashlib.sha256().digest_size else None


def _write(entry: Path, content: bytes) -> None:
    """A cache that cannot be written is told and costs time, not the model."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.write_text(content.hex())
    except OSError as error:
        log.warning("hash of weights is not kept", extra={"entry": str(entry), "why": str(error)})

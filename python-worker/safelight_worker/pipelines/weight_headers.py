"""What safetensors files hold, from their headers: no tensor is read and torch is not imported."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

#: The format's own limit on its header.
_LARGEST_HEADER = 100_000_000

#: Names of the format and ours.
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn"}


def bytes_by_dtype(files: Iterable[Path]) -> dict[str, int]:
    """Bytes of all tensors by their type on disk, the largest share first.

    Raises:
        ValueError: a file is damaged or cut short; the message names it.
    """
    sizes: Counter[str] = Counter()
    for file in files:
        sizes += _bytes_of(file)
    return dict(sizes.most_common())


def _bytes_of(file: Path) -> Counter[str]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
            raise ValueError(f"{file} is no safetensors file, or it is damaged")
        text = stream.read(length)
    try:
        header = json.loads(text)
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        sizes: Counter[str] = Counter()
        for entry in tensors:
            start, end = entry["data_offsets"]
            sizes[_DTYPES.get(entry["dtype"], entry["dtype"].lower())] += end - start
        last = max((entry["data_offsets"][1] for entry in tensors), default=0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} has a damaged header: {error}") from error
    if size != 8 + length + last:
        raise ValueError(f"{file} has {size} bytes, but its header tells of {8 + length + last}: copy or pull it again")
    return sizes

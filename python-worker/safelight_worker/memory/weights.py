"""What a model will take before any of it is loaded: its weights, by the headers of its files.

A safetensors file begins with a header: its length as 8 bytes, little-endian, then JSON that gives each tensor's dtype,
shape and place in the rest (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

#: The format's own limit, so that a damaged length is not read as one.
_LONGEST_HEADER = 100_000_000

#: Names diffusers and transformers give to weights.
_STEMS = ("diffusion_pytorch_model", "model")


def component_bytes(folder: Path, dtype_bytes: int, variant: str = "") -> dict[str, int]:
    """Bytes of each component's weights once loaded from a folder in the diffusers layout.

    ``dtype_bytes`` is the size of an element of the dtype they are loaded in. A component that has files of the variant
    is counted by them, else by its plain ones; one without weights (tokenizer, scheduler) is left out. What a model
    makes for itself is not in its files: buffers that are not saved, layers a class keeps in float32.

    Raises:
        ValueError: ``model_index.json``, an index of shards or a weight file is missing, damaged or short; names it.
    """
    index = folder / "model_index.json"
    found: dict[str, int] = {}
    for name, entry in _json(index).items():
        # Components are [library, class]; one that a pipeline goes without is [null, null].
        if name.startswith("_") or not isinstance(entry, list) or not any(entry):
            continue
        files = _weight_files(folder / name, variant)
        if files:
            found[name] = sum(file_bytes(file, dtype_bytes) for file in files)
    return found


def file_bytes(file: Path, dtype_bytes: int) -> int:
    """Bytes of a weight file's tensors once loaded with elements of ``dtype_bytes`` each. Integers keep their size, as
    do all tensors of a GGUF file, which stay quantized.

    Raises:
        ValueError: the file is missing, no safetensors file, damaged or short; names it.
    """
    if file.suffix == ".gguf":
        try:
            return file.stat().st_size
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error}") from error
    header = _header(file)
    return sum(_tensor_bytes(file, name, tensor, dtype_bytes) for name, tensor in header.items())


def _weight_files(component: Path, variant: str) -> list[Path]:
    for suffix in ([f".{variant}"] if variant else []) + [""]:
        for stem in _STEMS:
            index = component / f"{stem}.safetensors.index{suffix}.json"
            if index.is_file():
                return _shards(index)
            whole = component / f"{stem}{suffix}.safetensors"
            if whole.is_file():
                return [whole]
    return []


def _shards(index: Path) -> list[Path]:
    names = _json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ValueError(f"{index} has no weight_map of file names")
    shards = sorted(set(names.values()))
    outside = [name for name in shards if Path(name).name != name]
    if outside:
        raise ValueError(f"{index} names a file outside of its folder: {outside[0]}")
    return [index.parent / name for name in shards]


def _header(file: Path) -> dict[str, Any]:
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if size < 8 or not 0 < length <= min(size - 8, _LONGEST_HEADER):
                raise ValueError(f"{file} is no safetensors file or a short one: a header of {length} in {size} bytes")
            header = _object(file, opened.read(length))
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    header.pop("__metadata__", None)
    try:
        end = max((int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{file} has a damaged header: a tensor without data_offsets") from error
    if end > size - 8 - length:
        raise ValueError(f"{file} is short: {size - 8 - length} bytes of tensors, its header tells of {end}")
    return header


def _tensor_bytes(file: Path, name: str, tensor: dict[str, Any], dtype_bytes: int) -> int:
    try:
        if str(tensor["dtype"]).startswith(("F", "BF")):
            return math.prod(int(side) for side in tensor["shape"]) * dtype_bytes
        first, last = tensor["data_offsets"]
        return int(last) - int(first)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} has a damaged header: {name} without dtype, shape or data_offsets") from error


def _json(file: Path) -> dict[str, Any]:
    try:
        return _object(file, file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error}") from error


def _object(file: Path, content: bytes) -> dict[str, Any]:
    try:
        # An array or a number has no pairs and fails here, too.
        return dict(json.loads(content).items())
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error

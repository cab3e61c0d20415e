"""A checkpoint as a file: safetensors whose metadata tells what it is, and nothing in it that could run code.

Tensors are entries ``tensor/0``, ``tensor/1``, …; everything else stands in the metadata as one JSON tree that names them.
A digest over both refuses a file that was damaged in its numbers, which no parser would notice.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from diffusers.configuration_utils import FrozenDict
from safetensors import SafetensorError

from safelight_worker.types import FailureKind, WorkerError

FORMAT = "safelight-checkpoint"
VERSION = 1

#: Latents of a long video with their history take some hundred MiB; a file is held in memory twice while it is read.
MAX_BYTES = 4 << 30

#: Containers in containers: records nest some ten deep, and Python's stack ends at a thousand.
_MAX_DEPTH = 64

_DICTS: dict[str, type] = {"dict": dict, "frozen_dict": FrozenDict}
_SEQUENCES: dict[str, type] = {"list": list, "tuple": tuple, "frozenset": frozenset}
_NAMES = {kind: name for name, kind in (*_DICTS.items(), *_SEQUENCES.items())}

_WHAT_TO_DO = "submit the request without a checkpoint to start at its first step"


@dataclass(frozen=True)
class Checkpoint:
    """What :func:`write` was given. Tensors lie on the CPU and share nothing with the file."""

    facts: dict[str, Any]
    images: list[Any]
    version: int


def write(path: Path, facts: Mapping[str, Any], images: Sequence[Any]) -> int:
    """Writes a checkpoint, synced and under its name only when whole; its size in bytes.

    Plain values come back with their types: dict, FrozenDict, list, tuple, frozenset, str, int, float (NaN and infinity, too),
    bool, None, torch.dtype, NumPy scalars and arrays, and tensors of any device, which come back bit for bit on the CPU. A
    tensor that stands in several places comes back as one; views of one storage come back apart.

    Raises:
        WorkerError: ``internal`` naming the place of a value that is not plain, or when the file would be above
            :data:`MAX_BYTES`.
        OSError: the disk does not take it; nothing is left at ``path`` that was not there before.
    """
    encoder = _Encoder()
    tree = json.dumps({"facts": encoder.encode(dict(facts), "facts"), "images": encoder.encode(list(images), "images")})
    digest = _digest(tree, encoder.tensors)
    metadata = {"format": FORMAT, "version": str(VERSION), "sha256": digest, "tree": tree}
    size = len(tree) + sum(tensor.nbytes for tensor in encoder.tensors.values())
    if size > MAX_BYTES:
        raise _not_plain(f"it would take {size} bytes; at most {MAX_BYTES} are written")
    try:
        data = safetensors.torch.save(encoder.tensors, metadata)
    except (SafetensorError, KeyError, ValueError) as error:
        raise _not_plain(f"safetensors refuses it: {error}") from error
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(data)


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
        WorkerError: ``invalid_request`` naming ``checkpoint`` for a file that is missing, damaged, too large, of another format
            or of a newer version.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "is not a regular file")
        if status.st_size > MAX_BYTES:
            raise _refused(path, f"has {status.st_size} bytes; at most {MAX_BYTES} are read")
        data = path.read_bytes()
    except OSError as error:
        raise _refused(path, f"cannot be read ({error})") from error
    try:
        return _decode(path, data)
    except (
        SafetensorError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        # Whatever the readers of its parts make of foreign bytes.
        raise _refused(path, f"is damaged ({type(error).__name__}: {error})") from error


def _decode(path: Path, data: bytes) -> Checkpoint:
    (length,) = struct.unpack_from("<Q", data)
    if length > len(data) - 8:
        raise ValueError("it is shorter than its header says")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    if metadata.get("format") != FORMAT:
        raise _refused(path, f"is no checkpoint of this program: its format is not {FORMAT}")
    version = int(metadata["version"])
    if version > VERSION:
        raise _refused(path, f"has version {version} and this worker reads up to {VERSION}; update the worker")
    tensors = safetensors.torch.load(data)
    if metadata["sha256"] != _digest(metadata["tree"], tensors):
        raise ValueError("its contents do not match its digest")
    tree = json.loads(metadata["tree"])
    decoder = _Decoder(tensors)
    facts, images = decoder.decode(tree["facts"]), decoder.decode(tree["images"])
    if not isinstance(facts, dict) or not isinstance(images, list):
        raise TypeError("facts and images are of other types")
    return Checkpoint(facts, images, version)


class _Encoder:
    """JSON for plain values: null, booleans, strings and ordinary numbers are themselves; everything else is a list of a
    word and what it needs."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._names: dict[int, tuple[str, list[int]]] = {}

    def encode(self, value: Any, place: str, depth: int = 0) -> Any:
        if depth > _MAX_DEPTH:
            raise _not_plain(f"{place} is nested more than {_MAX_DEPTH} deep")
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            # Python refuses decimals of thousands of digits, other readers those above 2⁵³.
            return value if abs(value) < 1 << 53 else ["int", hex(value)]
        if kind is float:
            return value if math.isfinite(value) else ["float", struct.pack(">d", value).hex()]
        if kind is torch.Tensor:
            return ["tensor", *self._stored(value)]
        if kind is torch.dtype:
            return ["dtype", str(value).removeprefix("torch.")]
        if kind is np.ndarray or isinstance(value, np.generic):
            return self._numpy(value, place)
        if kind in _DICTS.values():
            items = [
                [
                    self.encode(key, f"a key of {place}", depth + 1),
                    self.encode(each, f"{place}.{_label(key)}", depth + 1),
                ]
                for key, each in value.items()
            ]
            return [_NAMES[kind], items]
        if kind in _SEQUENCES.values():
            return [_NAMES[kind], [self.encode(each, f"{place}[{n}]", depth + 1) for n, each in enumerate(value)]]
        raise _not_plain(f"{place} is of type {kind.__module__}.{kind.__qualname__}")

    def _stored(self, tensor: torch.Tensor) -> tuple[str, list[int]]:
        """Name of a tensor's entry, and the order in which its dimensions lie in memory. The order is kept because kernels sum
        in it: latents that began as a picture lie channels last, and laid out anew they would go on with other bits."""
        # The values being written keep their tensors alive, so an id names one tensor only.
        if id(tensor) not in self._names:
            plain = tensor.detach().resolve_conj().resolve_neg().cpu()
            order = sorted(range(plain.dim()), key=lambda dim: -int(plain.stride()[dim]))
            if not plain.permute(order).is_contiguous():
                order = list(range(plain.dim()))
            name = f"tensor/{len(self.tensors)}"
            self.tensors[name] = plain.permute(order).clone(memory_format=torch.contiguous_format)
            self._names[id(tensor)] = (name, order)
        return self._names[id(tensor)]

    def _numpy(self, value: Any, place: str) -> list[Any]:
        if value.dtype.hasobject or value.dtype.names is not None or value.dtype.subdtype is not None:
            raise _not_plain(f"{place} is of the NumPy dtype {value.dtype}")
        if isinstance(value, np.generic):
            # An empty NumPy string has 0 bytes by its dtype and tells 4.
            return ["scalar", value.dtype.str, value.tobytes()[: value.dtype.itemsize].hex()]
        name = f"tensor/{len(self.tensors)}"
        self.tensors[name] = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
        return ["array", value.dtype.str, list(value.shape), name]


class _Decoder:
    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors
        self._views: dict[str, torch.Tensor] = {}

    def decode(self, node: Any, depth: int = 0) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
        if not isinstance(node, list):
            if isinstance(node, dict):
                raise TypeError("it holds a plain JSON object")
            return node
        word, *rest = node
        if word in _SEQUENCES:
            return _SEQUENCES[word](self.decode(each, depth + 1) for each in rest[0])
        if word in _DICTS:
            return _DICTS[word]((self.decode(key, depth + 1), self.decode(each, depth + 1)) for key, each in rest[0])
        if word == "tensor":
            return self._laid_out(*rest)
        if word == "int":
            return int(rest[0], 16)
        if word == "float":
            return struct.unpack(">d", bytes.fromhex(rest[0]))[0]
        if word == "dtype":
            dtype = getattr(torch, rest[0])
            if not isinstance(dtype, torch.dtype):
                raise TypeError(f"torch.{rest[0]} is no dtype")
            return dtype
        if word == "scalar":
            return _array(rest[0], (), bytes.fromhex(rest[1]))[()]
        if word == "array":
            return _array(rest[0], tuple(rest[1]), self._tensors[rest[2]].numpy().tobytes())
        raise ValueError(f"it holds the unknown word {word!r}")

    def _laid_out(self, name: str, order: list[int]) -> torch.Tensor:
        """One object for one entry, however often it is named."""
        if name not in self._views:
            self._views[name] = self._tensors[name].permute(_inverse(order))
        return self._views[name]


def _inverse(order: list[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


def _array(dtype: str, shape: tuple[int, ...], data: bytes) -> np.ndarray[Any, Any]:
    kind = np.dtype(dtype)
    if kind.hasobject or math.prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"an array of {kind} does not have {len(data)} bytes")
    array: np.ndarray[Any, Any] = np.ndarray(shape, kind, data).copy() if data else np.ndarray(shape, kind)
    return array


def _digest(tree: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(tree.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        # A view of the bytes of an empty or 0-dimensional tensor needs one dimension first.
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _label(key: Any) -> str:
    # Python refuses to print integers of thousands of digits.
    return key if isinstance(key, str) else f"({type(key).__name__})"


def _not_plain(why: str) -> WorkerError:
    return WorkerError(FailureKind.INTERNAL, f"the checkpoint cannot be written: {why}", "checkpoint")


def _refused(path: Path, why: str) -> WorkerError:
    return WorkerError(FailureKind.INVALID_REQUEST, f"checkpoint {path} {why}; {_WHAT_TO_DO}", "checkpoint")

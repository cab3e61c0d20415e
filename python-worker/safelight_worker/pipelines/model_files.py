"""Which files a model consists of, read from its folder without opening a weight or importing torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safelight_worker.types import FailureKind, WorkerError

INDEX = "model_index.json"

#: Formats that are read by unpickling, which runs what the file says.
PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl"})

_SHARD = re.compile(r"-\d{5}-of-\d{5}")
#: Components that are no networks, though some repositories put a config.json beside them.
_NO_NETWORK = re.compile(r"(Tokenizer|TokenizerFast|Processor|FeatureExtractor|Scheduler)$")


@dataclass(frozen=True)
class Component:
    """One entry of the index and what lies in its folder."""

    name: str
    library: str
    class_name: str
    folder: Path
    weights: tuple[Path, ...]
    """All its safetensors files, sorted."""
    pickles: tuple[Path, ...]

    @property
    def is_network(self) -> bool:
        """Whether it has weights, or should have."""
        return (self.folder / "config.json").is_file() and _NO_NETWORK.search(self.class_name) is None

    @property
    def variants(self) -> frozenset[str]:
        """Infixes of its weight files; empty text: plain names."""
        return frozenset(variant_of(file) for file in self.weights)

    def files(self, variant: str) -> tuple[Path, ...]:
        """Weight files that are read when ``variant`` is asked for: plain ones when there are none of it."""
        chosen = variant if variant in self.variants else ""
        return tuple(file for file in self.weights if variant_of(file) == chosen)


@dataclass(frozen=True)
class ModelFiles:
    """A folder in the diffusers layout."""

    folder: Path
    pipeline_class: str
    components: Mapping[str, Component]

    def weights(self, variant: str) -> tuple[Path, ...]:
        """Weight files of all components for a variant, sorted by path."""
        return tuple(sorted(file for each in self.components.values() for file in each.files(variant)))


def variant_of(file: Path) -> str:
    """``fp16`` of ``model.fp16-00001-of-00002.safetensors``, and of the older ``model-00001-of-00002.fp16.safetensors``."""
    _, _, variant = _SHARD.sub("", file.name.removesuffix(".safetensors")).partition(".")
    return variant


def read_model_files(folder: Path) -> ModelFiles:
    """What the index of a folder names, and the files of each component.

    Raises:
        WorkerError: ``model_unavailable`` when there is no readable index, or when it asks for code of its own.
    """
    index = _read_index(folder / INDEX)
    pipeline_class = index.get("_class_name")
    if not isinstance(pipeline_class, str):
        told = "names no pipeline class" if pipeline_class is None else "asks for code that comes with the weights"
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{folder / INDEX} {told}: _class_name is {pipeline_class!r}")
    components = {
        name: _component(folder, name, value)
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and value[0] is not None
    }
    return ModelFiles(folder, pipeline_class, components)


def missing_shards(folder: Path) -> list[str]:
    """Files that an index of shards names and that are not there: a copy or download that did not end."""
    missing = []
    for index in folder.glob("*.safetensors.index*.json"):
        try:
            names = set(json.loads(index.read_text())["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError):
            missing.append(f"{index.name} (damaged)")
            continue
        missing += sorted(name for name in names if not (folder / name).is_file())
    return missing


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index = json.loads(path.read_text())
    except FileNotFoundError:
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{path.parent} holds no {INDEX}") from None
    except (OSError, ValueError) as error:
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{path} cannot be read: {error}") from error
    if not isinstance(index, dict):
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{path} holds no JSON object")
    return index


def _component(root: Path, name: str, value: list[Any]) -> Component:
    folder = root / name
    files = sorted(file for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []
    return Component(
        name,
        str(value[0]),
        str(value[1]),
        folder,
        tuple(file for file in files if file.suffix == ".safetensors"),
        tuple(file for file in files if file.suffix in PICKLES),
    )

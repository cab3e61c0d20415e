"""Where a model's files lie, and whether they may and can be loaded. Reaches out to nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from safelight_worker.pipelines.model_files import (
    INDEX,
    PICKLES,
    Component,
    ModelFiles,
    missing_shards,
    read_model_files,
)
from safelight_worker.types import FailureKind, ModelSpec, WorkerError

_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(@(?P<revision>[\w./-]+))?")

#: The component that diffusers leaves out of whatever it loads from a single file.
_NOT_IN_SINGLE_FILES = "safety_checker"


class SourceKind(str, Enum):
    """In which form weights were given."""

    FOLDER = "folder"
    SINGLE_FILE = "single_file"
    HUB = "hub"


@dataclass(frozen=True)
class ResolvedSource:
    """Files on this machine that a source stands for."""

    kind: SourceKind
    path: Path
    """A folder in the diffusers layout, or the checkpoint file."""
    config: Path
    """The folder that holds ``model_index.json``; for a folder it is ``path``."""


def resolve(spec: ModelSpec) -> ResolvedSource:
    """Finds a model's files: a folder, a checkpoint file, or a repository in the local cache of the hub.

    Raises:
        WorkerError: ``model_unavailable`` when they are not there or of a format that is refused; ``invalid_request`` when a
            single file comes without the folder that describes it.
    """
    source = str(spec.source)
    path = Path(source)
    if path.is_dir():
        return ResolvedSource(SourceKind.FOLDER, path, path)
    if path.is_file():
        return _single_file(spec, path)
    match = _HUB_ID.fullmatch(source)
    if match is not None and not path.is_absolute():
        folder = _cached_snapshot(source, match["repo"], match["revision"])
        return ResolvedSource(SourceKind.HUB, folder, folder)
    raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{source} does not exist")


def check(source: ResolvedSource, variant: str = "", replaced: Collection[str] = ()) -> ModelFiles:
    """Reads which files a model consists of and refuses what cannot or may not be loaded. Opens no weights.

    Args:
        variant: infix of the weight files that is asked for; empty: plain names.
        replaced: components whose weights come from elsewhere.

    Raises:
        WorkerError: ``model_unavailable`` with everything that is wrong, each with its file.
    """
    files = read_model_files(source.config)
    problems = problems_of(source, files, variant, replaced)
    if problems:
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{source.path}: {'; '.join(problems)}")
    return files


def problems_of(
    source: ResolvedSource, files: ModelFiles, variant: str = "", replaced: Collection[str] = ()
) -> list[str]:
    """What stands against loading a model, a sentence each; empty: nothing."""
    is_described_only = source.kind is SourceKind.SINGLE_FILE
    problems = [_class_problem(files.pipeline_class)]
    for component in files.components.values():
        if not component.folder.is_dir():
            if is_described_only and component.name == _NOT_IN_SINGLE_FILES:
                continue
            problems.append(f"the folder of {component.name} is missing")
            continue
        problems.append(_code_problem(component))
        if component.name not in replaced and component.is_network:
            problems.append(_weights_problem(component, variant, is_described_only))
    return [problem for problem in problems if problem]


def _single_file(spec: ModelSpec, path: Path) -> ResolvedSource:
    if path.suffix in PICKLES:
        told = f"{path} is a pickle, which can run code when it is read; convert it to .safetensors"
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, told)
    if path.suffix == ".gguf":
        told = f"{path} holds one component; name it in quantization.options.file and let source be the model's folder"
        raise WorkerError(FailureKind.INVALID_REQUEST, told, "source")
    if path.suffix != ".safetensors":
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{path} is neither a folder nor a .safetensors file")
    if not spec.config:
        told = f"config is missing: {path.name} needs the folder with its {INDEX}, configs and tokenizers"
        raise WorkerError(FailureKind.INVALID_REQUEST, told, "config")
    return ResolvedSource(SourceKind.SINGLE_FILE, path, Path(spec.config))


def _cached_snapshot(source: str, repository: str, revision: str | None) -> Path:
    # Takes a third of a second to import, for one of three kinds of source.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # The client calls a snapshot incomplete that lacks any file of the repository; which ones a model needs, check() knows.
        return Path(snapshot_download(repository, revision=revision, local_files_only=True, allow_patterns=[INDEX]))
    except HFValidationError as error:
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{source} is no id of a repository: {error}") from error
    except (LocalEntryNotFoundError, OSError) as error:
        told = f"{source} is not in the local cache; fetch it with `npm run safelight -- models pull {source}`"
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, told) from error


def _class_problem(name: str) -> str:
    import diffusers

    found = getattr(diffusers, name, None)
    if isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline):
        return ""
    return f"{INDEX} names the class {name}, which diffusers {diffusers.__version__} does not have as a pipeline"


def _code_problem(component: Component) -> str:
    """Code of its own is never run: a module beside the weights, or one that the config maps to."""
    if (component.folder / f"{component.library}.py").is_file():
        return f"{component.name} asks for code that comes with the weights ({component.library}.py)"
    config = component.folder / "config.json"
    if not config.is_file():
        return ""
    try:
        mapped = "auto_map" in json.loads(config.read_text())
    except (OSError, ValueError) as error:
        return f"{config} cannot be read: {error}"
    return f"{component.name} asks for code that comes with the weights (auto_map in {config})" if mapped else ""


def _weights_problem(component: Component, variant: str, is_described_only: bool) -> str:
    name, folder = component.name, component.folder
    if not component.weights:
        if component.pickles:
            pickles = ", ".join(file.name for file in component.pickles)
            return f"{name} has only pickles ({pickles}), which can run code when they are read; convert them to .safetensors"
        return "" if is_described_only else f"{name} has no .safetensors file in {folder}"
    if not component.files(variant):
        others = ", ".join(sorted(component.variants))
        return f"{name} has no plain weight files, only the variant {others}: set variant to it"
    missing = missing_shards(folder)
    return f"{name} lacks {', '.join(missing)}: copy or pull it again" if missing else ""

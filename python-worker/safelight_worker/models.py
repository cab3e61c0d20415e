"""``python -m safelight_worker.models list|check|pull``: models on this machine, and fetching them. Tells JSON lines.

``list`` and ``check`` take the models as a JSON array on standard input, each with ``id`` and ``source`` and optionally
``dtype``, ``variant``, ``config`` and ``quantization``; ``list`` reads names and sizes, ``check`` opens the header of every
weight file. ``pull`` takes ids of hub repositories, ``owner/name`` or ``owner/name@revision``.

Events: ``model`` (one each for list and check), ``progress`` (file, done, total; bytes of all files), ``pulled`` and
``error`` (message, next). Exit code 0, or 1 when a model has problems or could not be fetched.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from safelight_worker.pipelines import sources
from safelight_worker.pipelines.hub import PullError, pull
from safelight_worker.pipelines.model_files import ModelFiles, read_model_files
from safelight_worker.pipelines.sources import ResolvedSource, SourceKind
from safelight_worker.pipelines.weight_headers import bytes_by_dtype
from safelight_worker.types import ModelSpec, Quantization, WorkerError

#: Seconds between two progress events of one file; a fast disk would tell thousands.
_PROGRESS_INTERVAL = 0.1

Event = Mapping[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="safelight_worker.models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("check")
    puller = commands.add_parser("pull")
    puller.add_argument("ids", nargs="+", metavar="owner/name[@revision]")
    puller.add_argument("--variant", default="", help="infix of the weight files to prefer, such as fp16")
    given = parser.parse_args(arguments)
    if given.command == "pull":
        outcomes = [_pull(source, given.variant) for source in given.ids]
        return 0 if all(outcomes) else 1
    describe: Callable[[ModelSpec], Event] = listed if given.command == "list" else checked
    has_problems = False
    for entry in json.load(sys.stdin):
        event = describe(_spec(entry))
        has_problems = has_problems or bool(event["problems"])
        _tell(event)
    return 1 if has_problems else 0


def listed(spec: ModelSpec) -> Event:
    """What names and sizes of files tell about a model."""
    try:
        source = sources.resolve(spec)
        files = read_model_files(source.config)
    except WorkerError as error:
        return _model(spec, problems=[error.message])
    weights = files.weights(spec.variant)
    if source.kind is SourceKind.SINGLE_FILE:
        weights = (source.path,)
    size = sum(path.stat().st_size for path in weights)
    return _model(spec, source, files, bytes=size)


def checked(spec: ModelSpec) -> Event:
    """What the headers of its weights tell about a model, and everything that stands against loading it."""
    try:
        source = sources.resolve(spec)
        files = read_model_files(source.config)
        problems, replaced = _quantization_problems(spec, files)
    except WorkerError as error:
        return _model(spec, problems=[error.message])
    problems += sources.problems_of(source, files, spec.variant, replaced)
    parts = {name: component.files(spec.variant) for name, component in files.components.items()}
    if source.kind is SourceKind.SINGLE_FILE:
        # It holds all networks, or most; of what lies beside its description only what it lacks is read.
        parts = {"checkpoint": (source.path,)}
    components = []
    size = 0
    for name, paths in parts.items():
        if not paths:
            continue
        try:
            dtypes = bytes_by_dtype(paths)
        except (ValueError, OSError) as error:
            problems.append(f"{name}: {error}")
            continue
        component = files.components.get(name)
        class_name = None if component is None else component.class_name
        total = sum(dtypes.values())
        components.append({"name": name, "class": class_name, "files": len(paths), "bytes": total, "dtypes": dtypes})
        size += total
    return _model(spec, source, files, problems=problems, bytes=size, components=components)


def _quantization_problems(spec: ModelSpec, files: ModelFiles) -> tuple[list[str], tuple[str, ...]]:
    """What stands against its quantization, and the components whose weights come from another file."""
    if spec.quantization is None:
        return [], ()
    # Imports torch and diffusers.
    from safelight_worker.pipelines import quantization

    try:
        if spec.quantization.backend == "gguf":
            return [], (quantization.gguf_file(spec.quantization, files)[0],)
        quantization.check_backend(spec.quantization)
        quantization.quantized_components(spec.quantization, files)
    except WorkerError as error:
        return [error.message], ()
    return [], ()


def _pull(source: str, variant: str) -> bool:
    repository, _, revision = source.partition("@")
    told = ("", 0.0)

    def on_progress(file: str, done: int, total: int) -> None:
        nonlocal told
        if file == told[0] and done < total and time.monotonic() - told[1] < _PROGRESS_INTERVAL:
            return
        told = (file, time.monotonic())
        _tell({"event": "progress", "source": source, "file": file, "done": done, "total": total})

    try:
        pulled = pull(repository, revision or None, variant, on_progress)
    except PullError as error:
        _tell({"event": "error", "source": source, "message": error.message, "next": error.next_step})
        return False
    found = {"path": str(pulled.folder), "files": pulled.files, "bytes": pulled.size}
    _tell({"event": "pulled", "source": source, **found})
    return True


def _model(
    spec: ModelSpec, source: ResolvedSource | None = None, files: ModelFiles | None = None, **facts: Any
) -> dict[str, Any]:
    return {
        "event": "model",
        "id": spec.id,
        "source": spec.source,
        "kind": None if source is None else source.kind.value,
        "path": None if source is None else str(source.path),
        "pipeline_class": None if files is None else files.pipeline_class,
        "present": source is not None and files is not None,
        "bytes": None,
        "components": [],
        "problems": [],
        **facts,
    }


def _spec(entry: Mapping[str, Any]) -> ModelSpec:
    dtype, variant, config = (str(entry.get(name) or "") for name in ("dtype", "variant", "config"))
    told = entry.get("quantization")
    quantization = told and Quantization(
        told["backend"], told.get("options") or {}, tuple(told.get("components") or ())
    )
    return ModelSpec(entry["id"], entry["source"], dtype, variant, config, quantization)


def _tell(event: Event) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

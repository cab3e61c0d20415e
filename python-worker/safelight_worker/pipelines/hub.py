"""Fetching a model from a hub into the local cache: only when a person asks for it, never while serving."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from safelight_worker.pipelines.model_files import INDEX, PICKLES, variant_of

#: What a model consists of beside its weights: configs, vocabularies, templates, licences.
_TEXTS = frozenset({".json", ".txt", ".model", ".jinja", ".md"})
#: Weights of other programs that many repositories hold as well.
_OTHER_PROGRAMS = ("flax_model", "tf_model", "openvino", "model.onnx")

#: Told of the file, and of the bytes that are there of all.
Progress = Callable[[str, int, int], None]


class PullError(Exception):
    """Why a model could not be fetched, and what to do about it."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


@dataclass(frozen=True)
class Pulled:
    """A model that is in the cache now."""

    folder: Path
    files: int
    size: int
    """Bytes."""


def pull(repository: str, revision: str | None, variant: str, on_progress: Progress) -> Pulled:
    """Fetches what diffusers reads of a repository. Files that are there already are not fetched again; one that breaks off
    goes on where it ended for as long as this call lasts, and begins anew in the next.

    Args:
        variant: infix of weight files to prefer; components that do not have it are fetched plain.

    Raises:
        PullError: with the next step; nothing that was fetched is thrown away.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download

    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {each.rfilename: each.size or 0 for each in info.siblings or []}
        names = choose(repository, sizes, variant)
        total = sum(sizes[name] for name in names)
        done = 0
        for name in names:
            bar = _bar(partial(_tell, on_progress, name, done, total))
            hf_hub_download(repository, name, revision=info.sha, tqdm_class=bar)
            done += sizes[name]
            on_progress(name, done, total)
        # All of it is there: this writes down which commit the revision is, and looks at it once more.
        folder = snapshot_download(repository, revision=revision, allow_patterns=[_literally(name) for name in names])
    except PullError:
        raise
    except Exception as error:
        raise _explained(error, repository, revision, constants.ENDPOINT) from error
    return Pulled(Path(folder), len(names), total)


def choose(repository: str, names: Iterable[str], variant: str) -> list[str]:
    """Files of a repository to fetch: safetensors, and the texts that describe them; of each folder the variant, or else
    the plain weights. A checkpoint beside the index of a model is the same weights once more and stays out.

    Raises:
        PullError: there are no weights, or only such as are read by unpickling.
    """
    paths = [PurePosixPath(name) for name in sorted(names)]
    is_model = PurePosixPath(INDEX) in paths
    if is_model:
        paths = [path for path in paths if path.parts[0] == INDEX or len(path.parts) == 2 or path.suffix in _TEXTS]
    weights = [path for path in paths if path.suffix == ".safetensors" and not path.name.startswith(_OTHER_PROGRAMS)]
    safe = {path.parent for path in weights}
    pickles = [
        path
        for path in paths
        if path.suffix in PICKLES and path.parent not in safe and not path.name.startswith(_OTHER_PROGRAMS)
    ]
    if pickles:
        told = ", ".join(str(path) for path in pickles[:3])
        raise PullError(
            f"{repository} has weights only as pickles, which can run code when they are read: {told}",
            "look for a repository or revision with .safetensors files, or convert them",
        )
    if not weights:
        raise PullError(f"{repository} has no .safetensors files", "check that it is a model for diffusers")
    chosen = [path for path in paths if path.suffix in _TEXTS]
    for folder in safe:
        files = [path for path in weights if path.parent == folder]
        of_variant = [path for path in files if variant_of(Path(path.name)) == variant]
        chosen += of_variant or [path for path in files if variant_of(Path(path.name)) == ""] or files
    return sorted(str(path) for path in chosen)


def _tell(on_progress: Progress, name: str, before: int, total: int, fetched: int) -> None:
    on_progress(name, before + fetched, total)


def _bar(on_bytes: Callable[[int], None]) -> type:
    """A class that the hub's client takes for a progress bar of one file."""

    class Bar:
        def __init__(self, *_: Any, initial: int = 0, **__: Any) -> None:
            self.total = 0
            self._done = initial

        def update(self, n: float | None = 1) -> None:
            self._done += int(n or 0)
            on_bytes(self._done)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is drawn here."""

        def __getattr__(self, name: str) -> Callable[..., None]:
            # Descriptions, rates and refreshes: words for a drawing.
            return lambda *_, **__: None

    return Bar


def _literally(name: str) -> str:
    """A pattern that only this name matches."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _explained(error: Exception, repository: str, revision: str | None, endpoint: str) -> PullError:
    from huggingface_hub import errors

    # The client falls back to its cache when a request fails, and then says that this is empty; we want to know of the request.
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    match error:
        case errors.HFValidationError():
            return PullError(
                f"{repository} is no id of a repository: {error}", "give owner/name, or owner/name@revision"
            )
        case errors.GatedRepoError():
            return PullError(
                f"{endpoint} gives {repository} only to those who accepted its terms",
                f"accept them at {endpoint}/{repository}, then log in with `hf auth login`",
            )
        case errors.RevisionNotFoundError():
            return PullError(f"{repository} has no revision {revision}", "correct what stands behind the @")
        case errors.RepositoryNotFoundError():
            return PullError(
                f"{endpoint} has no repository {repository}, or shows it to its members only",
                "correct the id, or log in with `hf auth login`",
            )
        case errors.OfflineModeIsEnabled():
            return PullError("HF_HUB_OFFLINE forbids to reach out to a hub", "unset HF_HUB_OFFLINE for this command")
        case errors.HfHubHTTPError():
            return PullError(
                f"the hub at {endpoint} answers with an error: {_first_line(error)}",
                "run the command again later: files that are complete are kept",
            )
        case OSError() if error.errno == errno.ENOSPC:
            return PullError("the disk of the cache is full", "free some space, or set HF_HOME to a larger disk")
        case _:
            return PullError(
                f"the hub at {endpoint} could not be reached: {_first_line(error)}",
                "check the connection (HF_ENDPOINT names another hub) and run the command again: files that are complete are kept",
            )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), repr(error))

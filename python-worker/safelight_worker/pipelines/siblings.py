"""The pipeline class that does a task with the components of another one of its family, as diffusers' AutoPipelines map them."""

from __future__ import annotations

import inspect
from typing import Any

from diffusers import DiffusionPipeline
from diffusers.pipelines.auto_pipeline import (
    AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
    AUTO_INPAINT_PIPELINES_MAPPING,
    AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
)

from safelight_worker.types import Task

_MAPPINGS = {
    Task.TEXT_TO_IMAGE: AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
    Task.IMAGE_TO_IMAGE: AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
    Task.INPAINT: AUTO_INPAINT_PIPELINES_MAPPING,
}


class Siblings:
    """Of one loaded pipeline. Belongs to the engine thread."""

    def __init__(self, pipe: DiffusionPipeline) -> None:
        self._pipe = pipe
        self._made: dict[type, DiffusionPipeline] = {type(pipe): pipe}

    def class_for(self, task: Task) -> type[DiffusionPipeline] | None:
        """The class, which may be the loaded pipeline's own; None when there is none, or it needs a component that the
        loaded pipeline has not."""
        own = type(self._pipe)
        families = [name for mapping in _MAPPINGS.values() for name, cls in mapping.items() if cls is own]
        for family in families:
            cls = _MAPPINGS[task].get(family)
            if cls is not None and self._has_all(cls):
                return cls  # type: ignore[no-any-return]
        return None

    def pipe(self, cls: type[DiffusionPipeline]) -> DiffusionPipeline:
        """A pipeline of that class on the same components, made once. Nobody calls it; views are made of it."""
        if cls not in self._made:
            self._made[cls] = cls(**self._arguments(cls))
        return self._made[cls]

    def _has_all(self, cls: type[DiffusionPipeline]) -> bool:
        given = self._arguments(cls)
        needed = [name for name, each in _parameters(cls).items() if each.default is each.empty and name != "self"]
        optional = cls._optional_components
        return all(given.get(name) is not None or (name in given and name in optional) for name in needed)

    def _arguments(self, cls: type[DiffusionPipeline]) -> dict[str, Any]:
        accepted = _parameters(cls)
        config = {name: value for name, value in self._pipe.config.items() if name in accepted}
        parts = {name: value for name, value in self._pipe.components.items() if name in accepted}
        return {**config, **parts}


def _parameters(cls: type[DiffusionPipeline]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(cls.__init__).parameters)

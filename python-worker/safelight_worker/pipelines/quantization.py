"""Weights in fewer bits: from the settings' words to the configs of diffusers and transformers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.utils import (
    is_bitsandbytes_available,
    is_gguf_available,
    is_optimum_quanto_available,
    is_torchao_available,
)

from safelight_worker.pipelines.model_files import ModelFiles
from safelight_worker.types import FailureKind, Quantization, WorkerError

_PACKAGES = {
    "bitsandbytes_4bit": ("bitsandbytes", is_bitsandbytes_available),
    "bitsandbytes_8bit": ("bitsandbytes", is_bitsandbytes_available),
    "torchao": ("torchao", is_torchao_available),
    "quanto": ("optimum-quanto", is_optimum_quanto_available),
    "gguf": ("gguf", is_gguf_available),
}
BACKENDS = tuple(_PACKAGES)

#: Components that denoise, of whatever pipeline.
DENOISERS = ("transformer", "transformer_2", "unet")

#: What transformers calls the option that diffusers calls otherwise.
_TRANSFORMERS_NAMES = {"weights_dtype": "weights"}


def check_backend(quantization: Quantization) -> None:
    """Whether a backend is known and its package is installed.

    Raises:
        WorkerError: ``invalid_request`` on an unknown backend, ``model_unavailable`` naming the package to install.
    """
    if quantization.backend not in _PACKAGES:
        told = f"quantization.backend is {quantization.backend!r}; expected one of {', '.join(BACKENDS)}"
        raise WorkerError(FailureKind.INVALID_REQUEST, told, "quantization.backend")
    package, is_available = _PACKAGES[quantization.backend]
    if not is_available():
        told = f"quantization.backend {quantization.backend} needs the package {package}, which is not installed; "
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{told}run `pip install {package}` where the worker runs")


def quantized_components(quantization: Quantization, files: ModelFiles) -> tuple[str, ...]:
    """Names of the components it is applied to: those listed, else the denoiser.

    Raises:
        WorkerError: ``invalid_request`` when the model has no such network.
    """
    networks = [name for name, component in files.components.items() if component.is_network]
    chosen = quantization.components or tuple(name for name in DENOISERS if name in networks)
    for name in chosen:
        if name not in networks:
            told = f"quantization.components names {name!r}; {files.pipeline_class} has {', '.join(networks)}"
            raise WorkerError(FailureKind.INVALID_REQUEST, told, "quantization.components")
    if not chosen:
        told = f"{files.pipeline_class} has no {' or '.join(DENOISERS)}; name quantization.components"
        raise WorkerError(FailureKind.INVALID_REQUEST, told, "quantization.components")
    return chosen


def config_for(
    quantization: Quantization, files: ModelFiles, dtype: torch.dtype
) -> diffusers.PipelineQuantizationConfig:
    """Config for ``from_pretrained`` of every backend but gguf, which reads a file of its own: see :func:`gguf_file`.

    Raises:
        WorkerError: ``invalid_request`` naming what is wrong, ``model_unavailable`` naming the package to install.
    """
    check_backend(quantization)
    mapping = {
        name: _component_config(quantization, dtype, is_diffusers=files.components[name].library == "diffusers")
        for name in quantized_components(quantization, files)
    }
    return diffusers.PipelineQuantizationConfig(quant_mapping=mapping)


def gguf_file(quantization: Quantization, files: ModelFiles) -> tuple[str, Path]:
    """The component a gguf file replaces, and the file; relative paths count from the model's folder.

    Raises:
        WorkerError: ``invalid_request`` when no file or several components are named, ``model_unavailable`` when the file or
            the package is missing.
    """
    check_backend(quantization)
    field = "quantization.options.file"
    unknown = sorted(set(quantization.options) - {"file"})
    if unknown:
        _refuse_option(quantization, unknown[0], ["file"])
    named = quantization.options.get("file")
    if not isinstance(named, str) or not named:
        raise WorkerError(FailureKind.INVALID_REQUEST, f"{field} is missing: the path of the .gguf file", field)
    components = quantized_components(quantization, files)
    if len(components) != 1:
        told = f"quantization.components names {', '.join(components)}; a .gguf file holds one component"
        raise WorkerError(FailureKind.INVALID_REQUEST, told, "quantization.components")
    path = files.folder / named
    if not path.is_file():
        raise WorkerError(FailureKind.MODEL_UNAVAILABLE, f"{field}: {path} does not exist")
    return components[0], path


def _component_config(quantization: Quantization, dtype: torch.dtype, *, is_diffusers: bool) -> Any:
    library: Any = diffusers if is_diffusers else transformers
    options: dict[str, Any] = dict(quantization.options)
    match quantization.backend:
        case "bitsandbytes_4bit":
            defaults = {"load_in_4bit": True, "bnb_4bit_compute_dtype": dtype}
            return _configure(
                quantization, library.BitsAndBytesConfig, {**defaults, **options}, hidden=("load_in_8bit",)
            )
        case "bitsandbytes_8bit":
            return _configure(
                quantization, library.BitsAndBytesConfig, {"load_in_8bit": True, **options}, hidden=("load_in_4bit",)
            )
        case "torchao":
            return library.TorchAoConfig(_torchao_type(quantization))
        case "quanto" if not is_diffusers:
            renamed = {_TRANSFORMERS_NAMES.get(name, name): value for name, value in options.items()}
            return _configure(quantization, library.QuantoConfig, renamed)
        case "quanto":
            return _configure(quantization, library.QuantoConfig, options)
        case backend:
            told = f"quantization.backend {backend} quantizes files beforehand, not while they are loaded"
            raise WorkerError(FailureKind.INVALID_REQUEST, told, "quantization.backend")


def _torchao_type(quantization: Quantization) -> Any:
    """``quant_type: Int8WeightOnlyConfig`` names a config class of torchao; all other options are its arguments."""
    # An optional package: check_backend has looked for it.
    module = import_module("torchao.quantization")
    field = "quantization.options.quant_type"
    classes = {name: value for name, value in vars(module).items() if name.endswith("Config")}
    options = dict(quantization.options)
    named = options.pop("quant_type", None)
    if named not in classes:
        told = f"{field} is {named!r}; expected one of {', '.join(sorted(classes))}"
        raise WorkerError(FailureKind.INVALID_REQUEST, told, field)
    return _configure(quantization, classes[str(named)], options)


def _configure(
    quantization: Quantization, factory: Any, options: Mapping[str, Any], hidden: tuple[str, ...] = ()
) -> Any:
    """Calls a config class; its catch-all for further arguments must not swallow a typing mistake."""
    accepted = [
        name
        for name, parameter in inspect.signature(factory.__init__).parameters.items()
        if name != "self" and name not in hidden and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    for name in options:
        if name not in accepted:
            _refuse_option(quantization, name, accepted)
    try:
        return factory(**options)
    except (ValueError, TypeError, AttributeError) as error:
        told = f"quantization.options are refused by {quantization.backend}: {error}"
        raise WorkerError(FailureKind.INVALID_REQUEST, told, "quantization.options") from error


def _refuse_option(quantization: Quantization, name: str, accepted: list[str]) -> None:
    field = f"quantization.options.{name}"
    told = f"{field} is unknown to {quantization.backend}; expected {', '.join(accepted)}"
    raise WorkerError(FailureKind.INVALID_REQUEST, told, field)

"""Tiny real pipelines, written once a session, and engines that run them."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from safelight_worker.engine.models import ModelStore
from tests.support import tiny
from tests.support.engines import CPU, Workbench

torch.set_num_threads(1)
# What the libraries keep for good need not be searched at every collection; tests that count tensors collect often.
gc.collect()
gc.freeze()


@pytest.fixture(autouse=True)
def _quiet_numpy() -> None:
    """Some schedulers call numpy with tensors in a way it will not like in future: thousands of times a run."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"diffusers\.|numpy\.")


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write("sd", tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write("sdxl", tmp_path_factory.mktemp("models") / "sdxl")


@pytest.fixture(scope="session")
def caps_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where row caps are kept, so that each model is measured once."""
    return tmp_path_factory.mktemp("caps")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, caps_folder: Path) -> Iterator[Workbench]:
    """An engine that the tests of a file share."""
    bench = Workbench(tmp_path_factory.mktemp("staging"), ModelStore(CPU, caps_folder))
    yield bench
    bench.stop()


@pytest.fixture
def fresh_bench(tmp_path: Path, caps_folder: Path) -> Iterator[Workbench]:
    """An engine of one test's own, which it may break."""
    bench = Workbench(tmp_path, ModelStore(CPU, caps_folder))
    yield bench
    bench.stop()

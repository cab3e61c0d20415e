"""Tiny real pipelines, written once a session, and engines that run them."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from tests.support import tiny, tiny_other
from tests.support.engines import Workbench, store

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
def sd3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write("sd3", tmp_path_factory.mktemp("models") / "sd3")


@pytest.fixture(scope="session")
def flux_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write("flux", tmp_path_factory.mktemp("models") / "flux")


@pytest.fixture(scope="session")
def pixart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a class without a step adapter."""
    return tiny_other.write("pixart", tmp_path_factory.mktemp("models") / "pixart")


@pytest.fixture(scope="session")
def folders(sd_folder: Path, sdxl_folder: Path, sd3_folder: Path, flux_folder: Path) -> dict[str, Path]:
    """One tiny model of each family with a step adapter."""
    return {"sd": sd_folder, "sdxl": sdxl_folder, "sd3": sd3_folder, "flux": flux_folder}


@pytest.fixture(scope="session")
def pictures_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``init.png``, 64 by 64 pixels of everything, and ``mask.png``, a white box in it."""
    folder = tmp_path_factory.mktemp("pictures")
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    PillowImage.fromarray(values).save(folder / "init.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[20:50, 10:40] = 255
    PillowImage.fromarray(mask).save(folder / "mask.png")
    return folder


@pytest.fixture(scope="session")
def caps_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where row caps are kept, so that each model is measured once."""
    return tmp_path_factory.mktemp("caps")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, caps_folder: Path) -> Iterator[Workbench]:
    """An engine that the tests of a file share."""
    bench = Workbench(tmp_path_factory.mktemp("staging"), store(caps_folder))
    yield bench
    bench.stop()


@pytest.fixture
def fresh_bench(tmp_path: Path, caps_folder: Path) -> Iterator[Workbench]:
    """An engine of one test's own, which it may break."""
    bench = Workbench(tmp_path, store(caps_folder))
    yield bench
    bench.stop()

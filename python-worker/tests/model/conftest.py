from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel, CLIPTokenizer

from training.shapes import evaluate
from training.shapes.draw import Picture

MODELS = Path(os.environ.get("SAFELIGHT_TEST_MODELS", Path(__file__).parents[2] / "models"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    # Two threads beside another busy process are several times slower than one.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shapes() -> Path:
    return MODELS / "shapes"


@pytest.fixture(scope="session")
def shapes_scorer() -> Path:
    return MODELS / "shapes-scorer"


@pytest.fixture(scope="session")
def settings(shapes: Path) -> dict[str, Any]:
    return json.loads((shapes / "safelight.json").read_text())


@pytest.fixture(scope="session")
def preview(shapes: Path) -> dict[str, Any]:
    return json.loads((shapes / "preview.json").read_text())


@pytest.fixture(scope="session")
def pipe(shapes: Path) -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(shapes, dtype=torch.float32, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="session")
def scorer(shapes_scorer: Path) -> tuple[CLIPModel, CLIPTokenizer]:
    model = CLIPModel.from_pretrained(shapes_scorer, dtype=torch.float32, local_files_only=True)
    return model.eval(), CLIPTokenizer.from_pretrained(shapes_scorer, local_files_only=True)


@pytest.fixture(scope="session")
def asked() -> list[evaluate.Prompt]:
    return evaluate.prompts(200)


@pytest.fixture(scope="session")
def pictures(pipe: StableDiffusionPipeline, settings: dict[str, Any], asked: list[evaluate.Prompt]) -> list[Picture]:
    """One picture for each of the 200 captions, as a user gets it: shipped scheduler, steps and guidance."""
    defaults = settings["defaults"]
    captions = [prompt.caption for prompt in asked]
    return evaluate.generate(pipe, captions, defaults["guidance_scale"], defaults["num_inference_steps"])

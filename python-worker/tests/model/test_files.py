from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from safetensors import safe_open
from transformers import CLIPTokenizer

from training.shapes import tokenizer

pytestmark = pytest.mark.model

FOLDERS = ("shapes", "shapes_scorer")
LARGEST = {"shapes": 8_000_000, "shapes_scorer": 2_000_000}  # bytes, everything in the folder


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folder_stays_small(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    assert sum(path.stat().st_size for path in _files(folder)) <= LARGEST[name]
    assert (folder / "training_log.jsonl").stat().st_size <= 40_000


def test_licence_card_and_log_are_there(folder: Path) -> None:
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert (folder / "README.md").read_text().startswith("---\nlicense: apache-2.0\n")
    lines = (folder / "training_log.jsonl").read_text().splitlines()
    assert all({"stage", "minutes", "step"} <= json.loads(line).keys() for line in lines)


def test_json_is_strict_and_names_no_machine(folder: Path) -> None:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(constant)

    for path in _files(folder):
        if path.suffix == ".json":
            json.loads(path.read_text(), parse_constant=refuse)
            assert "_name_or_path" not in path.read_text(), path
        if path.suffix != ".safetensors":
            assert not re.search(r"/(home|root|tmp|work|Users)/", path.read_text()), path


def test_files_are_readable_by_everyone_and_plain(folder: Path) -> None:
    for path in _files(folder):
        assert path.stat().st_mode & 0o777 == 0o644, path
        assert not path.is_symlink()
        assert path.suffix not in (".bin", ".pt", ".pkl", ".ckpt"), path


def test_weights_are_half_precision_and_finite(folder: Path) -> None:
    weights = [path for path in _files(folder) if path.suffix == ".safetensors"]
    assert weights
    for path in weights:
        assert path.name in ("model.safetensors", "diffusion_pytorch_model.safetensors")
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                tensor = file.get_tensor(name)
                assert tensor.dtype in (torch.float16, torch.int64), name
                assert bool(torch.isfinite(tensor.float()).all()), name


@pytest.mark.parametrize("text", ["a small red circle left of a blue star", "Ein großes Haus, 100 %", ""])
def test_both_tokenizers_are_the_trained_one(text: str, shapes: Path, shapes_scorer: Path) -> None:
    expected = tokenizer.build()(text).input_ids
    for folder in (shapes / "tokenizer", shapes_scorer):
        loaded = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        assert loaded(text).input_ids == expected
        assert loaded.model_max_length == tokenizer.LENGTH
        assert loaded.eos_token_id == loaded.pad_token_id == len(loaded) - 1


def test_defaults_lie_within_the_limits(settings: dict[str, Any]) -> None:
    defaults, limits = settings["defaults"], settings["limits"]
    for name, value in defaults.items():
        assert limits[f"min_{name}"] <= value <= limits[f"max_{name}"]
    assert defaults["width"] % limits["size_multiple"] == defaults["height"] % limits["size_multiple"] == 0


def test_the_noise_scheduler_is_the_one_it_was_trained_with(shapes: Path) -> None:
    config = json.loads((shapes / "scheduler" / "scheduler_config.json").read_text())
    assert config["_class_name"] == "DPMSolverMultistepScheduler"
    assert config["prediction_type"] == "v_prediction"
    assert config["beta_schedule"] == "scaled_linear"
    assert config["use_karras_sigmas"] is True

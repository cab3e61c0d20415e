"""A file is whole, says what made it, and is what its hash says - or it is not there."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from safelight_worker.engine.events import Artifact
from safelight_worker.engine.saving import encode, encode_preview, save, validate
from safelight_worker.types import FailureKind, OutputFormat, WorkerError
from tests.support.engines import Workbench

PICTURE = np.random.default_rng(0).random((16, 24, 3), dtype=np.float32)
METADATA = {"prompt": "ein roter Kreis – ünïcode ✓", "job": "1"}


def saved(folder: Path, output_format: OutputFormat) -> Artifact:
    return save(PICTURE, index=3, seed=9, folder=folder, output_format=output_format, quality=0, metadata=METADATA)


@pytest.mark.parametrize(
    ("output_format", "media_type", "suffix"),
    [
        (OutputFormat.PNG, "image/png", "png"),
        (OutputFormat.WEBP, "image/webp", "webp"),
        (OutputFormat.JPEG, "image/jpeg", "jpg"),
    ],
)
def test_a_file_is_whole_and_reads_back(
    tmp_path: Path, output_format: OutputFormat, media_type: str, suffix: str
) -> None:
    artifact = saved(tmp_path, output_format)
    data = (tmp_path / artifact.file_name).read_bytes()
    assert artifact.file_name == f"3.{suffix}"
    assert (artifact.media_type, artifact.seed, artifact.index) == (media_type, 9, 3)
    assert (artifact.width, artifact.height, artifact.size_bytes) == (24, 16, len(data))
    assert artifact.sha256 == hashlib.sha256(data).hexdigest()
    assert [file.name for file in tmp_path.iterdir()] == [artifact.file_name]
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (24, 16)
        assert Image.MIME[image.format or ""] == media_type


def test_png_loses_nothing_and_rounds_as_diffusers_does(tmp_path: Path) -> None:
    from diffusers.image_processor import VaeImageProcessor

    with Image.open(tmp_path / saved(tmp_path, OutputFormat.PNG).file_name) as image:
        assert image.tobytes() == VaeImageProcessor.numpy_to_pil(PICTURE)[0].tobytes()


def test_metadata_of_a_png_reads_back(tmp_path: Path) -> None:
    with Image.open(tmp_path / saved(tmp_path, OutputFormat.PNG).file_name) as image:
        assert {name: image.info[name] for name in METADATA} == METADATA


@pytest.mark.parametrize("output_format", [OutputFormat.WEBP, OutputFormat.JPEG])
def test_metadata_of_other_formats_reads_back(tmp_path: Path, output_format: OutputFormat) -> None:
    with Image.open(tmp_path / saved(tmp_path, output_format).file_name) as image:
        assert json.loads(image.getexif()[0x010E]) == METADATA


def test_quality_is_obeyed() -> None:
    coarse, fine = (encode(PICTURE, OutputFormat.JPEG, quality, {}) for quality in (10, 100))
    assert len(coarse) < len(fine)


def test_no_part_of_a_file_is_left_by_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safelight_worker.engine.saving.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        saved(tmp_path, OutputFormat.PNG)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "picture", [np.zeros((8, 8, 3), np.float32), np.full((8, 8, 3), 0.1, np.float32), np.full((8, 8, 3), np.nan)]
)
def test_a_picture_that_shows_nothing_is_rejected(picture: Any) -> None:
    with pytest.raises(WorkerError) as caught:
        validate(picture)
    assert caught.value.kind is FailureKind.REJECTED_OUTPUT


def test_a_picture_with_one_infinite_value_is_rejected_and_with_one_faint_dot_is_not() -> None:
    picture = np.zeros((8, 8, 3), np.float32)
    picture[1, 1, 1] = 1 / 255
    validate(picture)
    picture[2, 2, 2] = np.inf
    with pytest.raises(WorkerError, match="NaN"):
        validate(picture)


def test_a_preview_is_small_and_large_enough_to_see() -> None:
    data = encode_preview(np.random.default_rng(0).random((8, 16, 3), dtype=np.float32))
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (128, 64)
    large = encode_preview(np.random.default_rng(0).random((512, 512, 3), dtype=np.float32))
    assert len(large) <= 64 << 10


def test_the_file_of_an_attempt_says_what_made_it(bench: Workbench, sd_folder: Path) -> None:
    plan = bench.plan(sd_folder, metadata={"note": "hers"}, seeds=(5, 6))
    artifacts = bench.submit(plan).succeeded().artifacts
    with Image.open(plan.staging_dir / artifacts[1].file_name) as image:
        told = json.loads(image.info["safelight"])
        assert image.info["note"] == "hers"
    assert (told["model"], told["seed"], told["num_inference_steps"]) == ("sd", 6, 4)
    assert told["weights_sha256"] == bench.load(sd_folder).model.weights_sha256

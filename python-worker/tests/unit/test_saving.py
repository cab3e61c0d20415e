"""A file is whole, says what made it, and is what its hash says - or it is not there."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from safelight_worker.engine.events import Artifact
from safelight_worker.engine.saving import encode, encode_preview, save, validate
from safelight_worker.runners.outputs import Output, Video
from safelight_worker.types import FailureKind, OutputFormat, WorkerError
from tests.support.engines import Workbench

PICTURE = np.random.default_rng(0).random((16, 24, 3), dtype=np.float32)
METADATA = {"prompt": "ein roter Kreis – ünïcode ✓", "job": "1"}


def save_all(output: Output, folder: Path, output_format: OutputFormat, quality: int = 0) -> tuple[Artifact, ...]:
    return save(output, index=3, seed=9, folder=folder, output_format=output_format, quality=quality, metadata=METADATA)


def saved(folder: Path, output_format: OutputFormat) -> Artifact:
    (artifact,) = save_all(PICTURE, folder, output_format)
    return artifact


def video(frames: int = 6, height: int = 32, width: int = 48, fps: int = 16) -> Video:
    """A bright square that moves over dark ground: what codecs are made for."""
    values = np.full((frames, height, width, 3), 0.1, np.float32)
    for number in range(frames):
        values[number, 8:24, 4 * number : 4 * number + 16] = (0.9, 0.5, 0.2)
    return Video(values, fps)


def decoded(path: Path) -> tuple[Any, list[Any]]:
    """The stream, and its frames as (height, width, 3) uint8."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        facts = (stream.codec_context.name, stream.codec_context.pix_fmt, float(stream.average_rate or 0))
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return (*facts, dict(container.metadata)), pictures


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


def test_a_video_is_one_file_that_decodes_to_its_frames(tmp_path: Path) -> None:
    (artifact,) = save_all(video(), tmp_path, OutputFormat.MP4, quality=100)
    path = tmp_path / artifact.file_name
    data = path.read_bytes()
    assert (artifact.file_name, artifact.media_type) == ("3.mp4", "video/mp4")
    assert (artifact.index, artifact.seed, artifact.width, artifact.height) == (3, 9, 48, 32)
    assert (artifact.size_bytes, artifact.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert [file.name for file in tmp_path.iterdir()] == [artifact.file_name]
    (codec, pixels, rate, metadata), pictures = decoded(path)
    assert (codec, pixels, rate) == ("h264", "yuv420p", 16)
    assert json.loads(metadata["comment"]) == METADATA
    assert [picture.shape for picture in pictures] == [(32, 48, 3)] * 6
    # Colour is stored at half the resolution, so edges blur; areas keep their colour.
    apart = [np.abs(one - (other * 255)) for one, other in zip(pictures, video().frames, strict=True)]
    assert np.median(apart) <= 3
    assert max(float(each.mean()) for each in apart) < 8
    # Players on the web begin before they have it all.
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(("height", "width"), [(31, 47), (32, 47), (9, 8), (1, 1)])
def test_sizes_that_the_format_does_not_know_are_completed(tmp_path: Path, height: int, width: int) -> None:
    frames = np.random.default_rng(0).random((2, height, width, 3), dtype=np.float32)
    (artifact,) = save_all(Video(frames, 8), tmp_path, OutputFormat.MP4)
    _, pictures = decoded(tmp_path / artifact.file_name)
    even = (height + height % 2, width + width % 2)
    assert (artifact.height, artifact.width) == even
    assert [picture.shape[:2] for picture in pictures] == [even] * 2


def test_quality_of_a_video_is_obeyed(tmp_path: Path) -> None:
    noise = Video(np.random.default_rng(0).random((3, 64, 64, 3), dtype=np.float32), 8)
    sizes = [save_all(noise, tmp_path, OutputFormat.MP4, quality)[0].size_bytes for quality in (1, 50, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] * 2 < sizes[2]


@pytest.mark.parametrize(("output_format", "suffix"), [(OutputFormat.PNG, "png"), (OutputFormat.WEBP, "webp")])
def test_a_video_is_a_picture_for_each_frame_on_request(
    tmp_path: Path, output_format: OutputFormat, suffix: str
) -> None:
    artifacts = save_all(video(frames=11), tmp_path, output_format)
    names = [artifact.file_name for artifact in artifacts]
    assert names == [f"3.{frame:05d}.{suffix}" for frame in range(11)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names == sorted(names)
    assert {(each.seed, each.width, each.height) for each in artifacts} == {(9, 48, 32)}
    for artifact in artifacts:
        data = (tmp_path / artifact.file_name).read_bytes()
        assert artifact.sha256 == hashlib.sha256(data).hexdigest()
    with Image.open(tmp_path / names[4]) as image:
        if output_format is OutputFormat.PNG:
            assert np.array_equal(np.asarray(image), (video(11).frames[4] * 255).round().astype(np.uint8))


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(WorkerError) as caught:
        save_all(PICTURE, tmp_path, OutputFormat.MP4)
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "output_format")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output_format", [OutputFormat.MP4, OutputFormat.PNG])
def test_no_part_of_a_video_is_left_by_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output_format: OutputFormat
) -> None:
    synced = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 3 or output_format is OutputFormat.MP4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("safelight_worker.engine.saving.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_all(video(), tmp_path, output_format)
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_shows_nothing_is_rejected() -> None:
    validate(video())
    # One frame may be black, as at a fade.
    dark = video()
    dark.frames[2] = 0.0
    validate(dark)
    for values in (np.full((3, 8, 8, 3), 0.5, np.float32), np.full((3, 8, 8, 3), np.nan, np.float32)):
        with pytest.raises(WorkerError, match="video") as caught:
            validate(Video(values, 8))
        assert caught.value.kind is FailureKind.REJECTED_OUTPUT
    dark.frames[2, 1, 1, 1] = np.inf
    with pytest.raises(WorkerError, match="NaN"):
        validate(dark)


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

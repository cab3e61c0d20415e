"""Whatever a picture does to its decoder, it does to a process that has nothing else, within bounds the system holds it to."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safelight_worker.engine.input_process import InputProcess
from safelight_worker.pipelines.input_images import open_mask, open_rgb
from safelight_worker.types import FailureKind, Pixels, WorkerError
from tests.support.calling import gradient
from tests.support.pictures import scan_bomb


@pytest.fixture
def process() -> Iterator[InputProcess]:
    with_bounds = InputProcess(cpu_seconds=2)
    yield with_bounds
    with_bounds.stop()


def refused(process: InputProcess, path: Path) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        process.decode(path, "controls[0].image", 8, 8)
    assert caught.value.field == "controls[0].image"
    return caught.value


def child(process: InputProcess) -> int:
    """Its process id; it is started with the first picture."""
    assert process._process is not None
    return process._process.pid


def test_what_it_gives_is_what_opening_the_file_would(process: InputProcess, tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    Image.open(gradient(tmp_path / "source.png", 31, 17)).convert("RGBA").save(path, lossless=True)
    rgb = process.decode(path, "init_image", 24, 40)
    assert (rgb.mode, rgb.width, rgb.height) == ("RGB", 24, 40)
    assert open_rgb(rgb, "init_image", 24, 40).tobytes() == open_rgb(path, "init_image", 24, 40).tobytes()
    mask = process.decode(path, "mask_image", 24, 40, mask="kept")
    assert open_mask(mask, "mask_image", 24, 40).tobytes() == open_mask(path, "mask_image", 24, 40).tobytes()
    hole = tmp_path / "hole.png"
    Image.new("RGBA", (8, 8), (255, 255, 255, 64)).save(hole)
    assert set(process.decode(hole, "mask_image", 8, 8, mask="kept").data) == {64}
    painted = process.decode(hole, "mask_image", 8, 8, mask="painted")
    assert set(painted.data) == {191}
    # What is decoded has no transparency, and means what it says.
    assert open_mask(painted, "mask_image", 8, 8, transparency_painted=True).tobytes() == painted.data
    own = process.decode(path, "ip_adapter.image", 0, 0)
    assert (own.width, own.height) == (31, 17)


def test_a_picture_in_its_own_size_has_sides_that_an_encoder_can_be_given(
    process: InputProcess, tmp_path: Path
) -> None:
    Image.new("L", (5000, 2500), 77).save(tmp_path / "a.png")
    own = process.decode(tmp_path / "a.png", "ip_adapter.image", 0, 0)
    assert (own.width, own.height) == (2048, 1024)
    assert set(own.data) == {77}


def test_it_says_what_is_wrong_and_goes_on(process: InputProcess, tmp_path: Path) -> None:
    good = gradient(tmp_path / "good.png", 8, 8)
    process.decode(good, "init_image", 8, 8)
    first = child(process)
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:60])
    assert refused(process, bad).kind is FailureKind.INVALID_REQUEST
    Image.new("1", (8001, 8000)).save(bad)
    assert "64000000" in refused(process, bad).message
    assert refused(process, tmp_path / "none.png").kind is FailureKind.INTERNAL
    assert isinstance(process.decode(good, "init_image", 8, 8), Pixels)
    assert child(process) == first


def test_a_picture_that_asks_for_hours_is_given_seconds(process: InputProcess, tmp_path: Path) -> None:
    assert process.decode(scan_bomb(tmp_path / "one.jpg", scans=1), "init_image", 8, 8).width == 8
    bomb = scan_bomb(tmp_path / "bomb.jpg")
    assert bomb.stat().st_size < 20 << 20
    error = refused(process, bomb)
    assert error.kind is FailureKind.INVALID_REQUEST
    assert "too long" in error.message
    # Each picture has seconds of its own.
    for _ in range(3):
        process.decode(gradient(tmp_path / "good.png", 2000, 2000), "init_image", 1000, 1000)


def test_a_picture_that_asks_for_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    tight = InputProcess(memory_bytes=400 << 20)
    try:
        noise = np.zeros((8000, 8000, 4), np.uint8)
        Image.fromarray(noise).save(tmp_path / "a.png")
        error = refused(tight, tmp_path / "a.png")
        assert error.kind is FailureKind.INVALID_REQUEST
        assert "too much memory" in error.message
        tight.decode(gradient(tmp_path / "good.png", 8, 8), "init_image", 8, 8)
    finally:
        tight.stop()


@pytest.mark.slow
def test_the_largest_pictures_there_may_be_are_within_the_bounds(tmp_path: Path) -> None:
    # Such pictures take gigabytes and seconds without them.
    process = InputProcess()
    try:
        for mode, suffix in (("RGBA", "webp"), ("I;16", "png")):
            path = tmp_path / f"a.{suffix}"
            exif = Image.Exif()
            exif[0x0112] = 6
            Image.new(mode, (8000, 8000)).save(path, exif=exif, lossless=True, method=0)
            assert process.decode(path, "init_image", 64, 64).width == 64
    finally:
        process.stop()


@pytest.mark.parametrize(
    ("sent", "kind"),
    [(signal.SIGKILL, FailureKind.INTERNAL), (signal.SIGSEGV, FailureKind.INVALID_REQUEST)],
)
def test_a_process_that_ended_is_told_and_replaced(
    process: InputProcess, tmp_path: Path, sent: signal.Signals, kind: FailureKind
) -> None:
    good = gradient(tmp_path / "good.png", 8, 8)
    process.decode(good, "init_image", 8, 8)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    caught: list[WorkerError] = []
    waiting = threading.Thread(target=lambda: caught.append(refused(process, pipe)))
    waiting.start()
    # Returns once it opens the file to read it.
    with pipe.open("wb"):
        os.kill(child(process), sent)
        waiting.join(60)
    assert [error.kind for error in caught] == [kind]
    assert isinstance(process.decode(good, "init_image", 8, 8), Pixels)


def test_one_that_ended_between_two_pictures_costs_nobody_anything(process: InputProcess, tmp_path: Path) -> None:
    good = gradient(tmp_path / "good.png", 8, 8)
    process.decode(good, "init_image", 8, 8)
    assert process._process is not None
    process._process.kill()
    process._process.wait(60)
    assert isinstance(process.decode(good, "init_image", 8, 8), Pixels)


def test_a_stop_ends_a_picture_that_is_being_decoded(process: InputProcess, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    caught: list[WorkerError] = []

    def decode() -> None:
        with pytest.raises(WorkerError) as error:
            process.decode(pipe, "init_image", 8, 8)
        caught.append(error.value)

    waiting = threading.Thread(target=decode)
    waiting.start()
    with pipe.open("wb"):
        pid = child(process)
        process.stop()
        waiting.join(60)
    assert [error.kind for error in caught] == [FailureKind.WORKER_STOPPING]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(WorkerError, match="stops"):
        process.decode(pipe, "init_image", 8, 8)


def test_it_is_told_no_secret_and_can_write_no_file(
    process: InputProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    process.decode(gradient(tmp_path / "good.png", 8, 8), "init_image", 8, 8)
    proc = Path(f"/proc/{child(process)}")
    if not proc.exists():
        pytest.skip("no /proc")
    assert b"secret" not in (proc / "environ").read_bytes()
    limits = resource.prlimit(child(process), resource.RLIMIT_FSIZE)
    assert limits == (0, 0)

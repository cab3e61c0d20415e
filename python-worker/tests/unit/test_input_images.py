"""Whatever picture a request brings, a pipeline gets a plain one of the size it asked for, or the request is told why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safelight_worker.pipelines.input_images import open_mask, open_rgb
from safelight_worker.types import FailureKind, WorkerError
from tests.support.calling import gradient


def refused(path: Path) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        open_rgb(path, "init_image", 8, 8)
    assert caught.value.field == "init_image"
    return caught.value


def test_a_picture_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    path = gradient(tmp_path / "a.png", 12, 10)
    with Image.open(path) as original:
        assert open_rgb(path, "init_image", 12, 10).tobytes() == original.tobytes()
        assert open_rgb(path, "init_image", 0, 0).tobytes() == original.tobytes()


#: What Pillow writes of each format.
MODES = {
    "png": ["RGB", "L", "RGBA", "P", "1", "LA"],
    "jpg": ["RGB", "L", "1", "CMYK"],
    "webp": ["RGB", "L", "RGBA", "P", "1", "LA", "CMYK"],
}


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix, modes in MODES.items() for mode in modes])
def test_every_mode_becomes_rgb_of_the_size_asked_for(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.open(gradient(tmp_path / "source.png", 31, 17)).convert(mode).save(path)
    picture = open_rgb(path, "init_image", 24, 40)
    assert (picture.mode, picture.size) == ("RGB", (24, 40))
    assert open_mask(path, "mask_image", 24, 40).mode == "L"


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.open(gradient(tmp_path / "source.png", 20, 10))
    lying.save(tmp_path / "a.png", exif=exif)
    upright = open_rgb(tmp_path / "a.png", "init_image", 0, 0)
    assert upright.size == (10, 20)
    assert upright.tobytes() == lying.transpose(Image.Transpose.ROTATE_270).tobytes()


def test_what_is_transparent_lies_on_white_and_is_black_in_a_mask(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert open_rgb(tmp_path / "a.png", "init_image", 4, 4).getpixel((1, 1)) == (255, 255, 255)
    assert open_mask(tmp_path / "a.png", "mask_image", 4, 4).getpixel((1, 1)) == 0
    Image.new("RGBA", (4, 4), (255, 255, 255, 255)).save(tmp_path / "b.png")
    assert open_mask(tmp_path / "b.png", "mask_image", 4, 4).getpixel((1, 1)) == 255


def test_a_mask_may_tell_by_its_transparency(tmp_path: Path) -> None:
    def painted(path: Path) -> object:
        return open_mask(path, "mask_image", 0, 0, transparency_painted=True).getpixel((1, 1))

    for name, colour, value in (("a", (255, 0, 0, 0), 255), ("b", (255, 255, 255, 255), 0), ("c", (0, 0, 0, 55), 200)):
        Image.new("RGBA", (4, 4), colour).save(tmp_path / f"{name}.png")
        assert painted(tmp_path / f"{name}.png") == value
    # One without any is read as always.
    Image.new("RGB", (4, 4), "white").save(tmp_path / "d.png")
    assert painted(tmp_path / "d.png") == 255


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.asarray(open_rgb(tmp_path / "a.png", "init_image", 0, 0))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_damaged_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refused(path).kind is FailureKind.INVALID_REQUEST
    assert "damaged" in refused(path).message or "no picture" in refused(path).message


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert "PNG, JPEG, WEBP" in refused(tmp_path / "a.png").message


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (30_000, 30_000)])
def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header(tmp_path: Path, width: int, height: int) -> None:
    Image.new("1", (width, height)).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 1 << 20
    error = refused(tmp_path / "a.png")
    assert error.kind is FailureKind.INVALID_REQUEST
    assert "64000000" in error.message


def test_a_file_that_is_gone_is_not_the_requests_fault(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.png").kind is FailureKind.INTERNAL

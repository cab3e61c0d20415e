"""A picture to start from, a mask, a picture to follow: given to the class of the family that takes them, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    DiffusionPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
from PIL import Image

from safelight_worker.types import ControlInput, FailureKind, Inputs, WorkerError
from tests.support import tiny, tiny_other
from tests.support.calling import Calling, gradient, left_half

CLASSES = {
    "sd": (StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline),
    "sdxl": (StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline),
}


@pytest.fixture(scope="module")
def made() -> dict[str, DiffusionPipeline]:
    return {"sd": tiny.sd(), "sdxl": tiny.sdxl(), "pixart": tiny_other.pixart()}


def refused(calling: Calling, inputs: Inputs) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        calling.runner.check(calling.plan(inputs=inputs))
    assert caught.value.kind is FailureKind.INVALID_REQUEST
    return caught.value


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_picture_is_started_from_as_the_class_for_that_does(
    made: Any, tmp_path: Path, name: str, strength: float
) -> None:
    calling, told = Calling(made[name], tmp_path), []
    image = gradient(tmp_path / "image.png")
    plan = calling.plan(inputs=Inputs(image, strength=strength), num_inference_steps=4)
    picture = calling.run(plan, lambda *at: told.append(at))
    expected = calling.reference(plan, CLASSES[name][0], image=Image.open(image), strength=strength)
    assert np.array_equal(picture, expected.images[0])
    steps = int(4 * strength)
    assert told == [(step, steps) for step in range(1, steps + 1)]


@pytest.mark.parametrize("name", CLASSES)
def test_what_a_mask_shows_white_is_painted_anew_as_the_class_for_that_does(
    made: Any, tmp_path: Path, name: str
) -> None:
    calling = Calling(made[name], tmp_path)
    image, mask = gradient(tmp_path / "image.png"), left_half(tmp_path / "mask.png")
    plan = calling.plan(inputs=Inputs(image, mask, 0.8))
    opened = {"image": Image.open(image), "mask_image": Image.open(mask)}
    expected = calling.reference(plan, CLASSES[name][1], strength=0.8, **opened)
    assert np.array_equal(calling.run(plan), expected.images[0])


def test_a_picture_of_another_size_is_fitted_to_the_one_asked_for(made: Any, tmp_path: Path) -> None:
    calling = Calling(made["sd"], tmp_path)
    plan = calling.plan(inputs=Inputs(gradient(tmp_path / "image.png", 31, 90), strength=0.5), width=72, height=40)
    assert calling.run(plan).shape == (40, 72, 3)


def test_text_alone_goes_to_the_class_for_that_when_the_model_is_of_another(made: Any, tmp_path: Path) -> None:
    calling = Calling(StableDiffusionInpaintPipeline(**made["sd"].components), tmp_path)
    plan = calling.plan()
    expected = calling.reference(plan, StableDiffusionPipeline)
    assert np.array_equal(calling.run(plan), expected.images[0])


def test_a_family_without_a_class_for_pictures_says_so(made: Any, tmp_path: Path) -> None:
    calling = Calling(made["pixart"], tmp_path)
    image = gradient(tmp_path / "image.png")
    assert refused(calling, Inputs(image)).field == "init_image"
    assert "PixArtAlphaPipeline" in refused(calling, Inputs(image)).message
    assert refused(calling, Inputs(image, image)).field == "init_image"


def test_a_damaged_picture_is_named(made: Any, tmp_path: Path) -> None:
    calling = Calling(made["sd"], tmp_path)
    image = gradient(tmp_path / "image.png")
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    with pytest.raises(WorkerError) as caught:
        calling.run(calling.plan(inputs=Inputs(image)))
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "init_image")


def _controlled(base: Any) -> StableDiffusionControlNetPipeline:
    torch.manual_seed(3)
    net = ControlNetModel.from_unet(base.unet, conditioning_embedding_out_channels=(8, 8, 8))
    for layer in net.controlnet_down_blocks:
        # Zero in a new one, which would follow nothing.
        torch.nn.init.normal_(layer.weight, std=0.5)
    parts = {name: part for name, part in base.components.items() if name != "image_encoder"}
    return StableDiffusionControlNetPipeline(**parts, controlnet=net.eval(), requires_safety_checker=False)


def test_a_model_that_came_with_a_controlnet_follows_a_picture(made: Any, tmp_path: Path) -> None:
    calling = Calling(_controlled(made["sd"]), tmp_path)
    image = gradient(tmp_path / "image.png")
    control = ControlInput("own", tmp_path, image, scale=0.7, start=0.0, end=0.5)
    plan = calling.plan(inputs=Inputs(controls=(control,)))
    given = {"controlnet_conditioning_scale": 0.7, "control_guidance_end": 0.5}
    expected = calling.reference(plan, image=Image.open(image), **given).images[0]
    assert np.array_equal(calling.run(plan), expected)
    weak = calling.plan(inputs=Inputs(controls=(ControlInput("own", tmp_path, image, scale=0.0),)))
    assert not np.array_equal(calling.run(weak), expected)
    assert refused(calling, Inputs(controls=(control, control))).field == "controls"
    foreign = ControlInput("foreign", tmp_path / "foreign", image)
    assert refused(calling, Inputs(controls=(foreign,))).field == "controls"
    calling.runner.check(calling.plan(inputs=Inputs(controls=(ControlInput("own", tmp_path / "controlnet", image),))))


def test_a_class_that_follows_no_picture_refuses_controls(made: Any, tmp_path: Path) -> None:
    control = ControlInput("own", tmp_path, gradient(tmp_path / "image.png"))
    assert refused(Calling(made["pixart"], tmp_path), Inputs(controls=(control,))).field == "controls"

"""An IP-Adapter lends a picture's likeness to one request and leaves no trace on the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionImg2ImgPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from safelight_worker.types import FailureKind, Inputs, IpAdapterInput, Plan, WorkerError
from tests.support import tiny, tiny_other
from tests.support.calling import Calling, gradient
from tests.support.gates import replaced


@pytest.fixture(scope="module")
def made() -> dict[str, DiffusionPipeline]:
    return {"sd": tiny.sd(), "sdxl": tiny.sdxl(), "pixart": tiny_other.pixart()}


@pytest.fixture(params=["sd", "sdxl"])
def calling(request: pytest.FixtureRequest, made: dict[str, DiffusionPipeline], tmp_path: Path) -> Calling:
    return Calling(made[request.param], tmp_path)


def portrait(unet: Any) -> dict[str, Any]:
    return {
        "processors": {name: id(each) for name, each in unet.attn_processors.items()},
        "projection": unet.encoder_hid_proj,
        "config": (unet.config.encoder_hid_dim_type, unet.config["encoder_hid_dim_type"]),
        "weights": {name: float(each.double().sum()) for name, each in unet.state_dict().items()},
        "parts": [name for name, _ in unet.named_modules()],
        "dtypes": {str(each.dtype) for each in unet.parameters()},
    }


def use(calling: Calling, source: Path, scale: float = 1.0) -> Plan:
    image = gradient(calling.folder / "likeness.png", 40, 40)
    return calling.plan(inputs=Inputs(ip_adapter=IpAdapterInput("ip", source, image, scale)))


def reference(calling: Calling, plan: Plan, **arguments: Any) -> Any:
    """``pipe()`` after ``load_ip_adapter``; afterwards the UNet is as it was, by diffusers' own means."""
    adapter = plan.inputs.ip_adapter
    assert adapter is not None
    pipe: Any = calling.pipe
    pipe.load_ip_adapter(
        str(adapter.source.parent), subfolder="", weight_name=adapter.source.name, local_files_only=True
    )
    pipe.set_ip_adapter_scale(adapter.scale)
    try:
        return calling.reference(plan, ip_adapter_image=Image.open(adapter.image), **arguments).images[0]
    finally:
        pipe.unload_ip_adapter()
        pipe.feature_extractor = None


def test_a_request_with_one_is_what_the_pipeline_draws(calling: Calling, tmp_path: Path) -> None:
    source = tiny_other.write_ip_adapter(calling.pipe.unet, tmp_path / "ip")
    plain = calling.run(calling.plan())
    for scale in (1.0, 0.4):
        plan = use(calling, source, scale)
        picture = calling.run(plan)
        assert np.array_equal(picture, reference(calling, plan))
        assert not np.array_equal(picture, plain)


def test_a_request_after_it_is_drawn_as_before_it(calling: Calling, tmp_path: Path) -> None:
    source = tiny_other.write_ip_adapter(calling.pipe.unet, tmp_path / "ip")
    unet: Any = calling.pipe.unet
    plain, before = calling.run(calling.plan()), portrait(unet)
    first = calling.run(use(calling, source))
    assert portrait(unet) == before
    assert calling.pipe.image_encoder is None
    assert calling.pipe.feature_extractor is None
    assert np.array_equal(calling.run(calling.plan()), plain)
    assert np.array_equal(calling.run(use(calling, source)), first)
    assert portrait(unet) == before


def test_it_is_loaded_once(calling: Calling, tmp_path: Path) -> None:
    source = tiny_other.write_ip_adapter(calling.pipe.unet, tmp_path / "ip")
    first = calling.run(use(calling, source))
    source.unlink()
    (tmp_path / "ip" / "image_encoder" / "model.safetensors").unlink()
    assert np.array_equal(calling.run(use(calling, source)), first)
    calling.runner.close()
    with pytest.raises(WorkerError) as caught:
        calling.run(use(calling, source))
    assert caught.value.kind is FailureKind.MODEL_UNAVAILABLE


def test_an_error_in_the_middle_leaves_the_model_as_it_was(calling: Calling, tmp_path: Path) -> None:
    source = tiny_other.write_ip_adapter(calling.pipe.unet, tmp_path / "ip")
    plain, before = calling.run(calling.plan()), portrait(calling.pipe.unet)

    def stop(_step: int, _steps: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        calling.run(use(calling, source), stop)
    assert portrait(calling.pipe.unet) == before
    assert np.array_equal(calling.run(calling.plan()), plain)


def test_it_goes_together_with_a_picture_to_start_from(made: Any, tmp_path: Path) -> None:
    calling = Calling(made["sd"], tmp_path)
    source = tiny_other.write_ip_adapter(calling.pipe.unet, tmp_path / "ip")
    likeness, init = gradient(tmp_path / "likeness.png", 40, 40), gradient(tmp_path / "init.png")
    plan = calling.plan(inputs=Inputs(init, strength=0.7, ip_adapter=IpAdapterInput("ip", source, likeness)))
    picture = calling.run(plan)
    expected = reference(calling, plan, cls=StableDiffusionImg2ImgPipeline, image=Image.open(init), strength=0.7)
    assert np.array_equal(picture, expected)


def test_an_image_encoder_is_taken_from_the_model_or_from_beside_the_weights(made: Any, tmp_path: Path) -> None:
    base = made["sd"]
    source = tiny_other.write_ip_adapter(base.unet, tmp_path / "ip", with_encoder=False)
    without = Calling(base, tmp_path)
    with pytest.raises(WorkerError, match="image_encoder") as caught:
        without.run(use(without, source))
    assert (caught.value.kind, caught.value.field) == (FailureKind.MODEL_UNAVAILABLE, "ip_adapter")
    parts = {**base.components, "image_encoder": tiny_other.image_encoder()}
    whole = Calling(type(base)(**parts, requires_safety_checker=False), tmp_path)
    picture = whole.run(use(whole, source))
    beside = tiny_other.write_ip_adapter(base.unet, tmp_path / "other")
    assert np.array_equal(picture, without.run(use(without, beside)))


def test_one_that_was_made_for_another_model_is_refused_and_leaves_no_trace(made: Any, tmp_path: Path) -> None:
    source = tiny_other.write_ip_adapter(made["sdxl"].unet, tmp_path / "ip")
    calling = Calling(made["sd"], tmp_path)
    before = portrait(calling.pipe.unet)
    with pytest.raises(WorkerError, match="not made for this model") as caught:
        calling.run(use(calling, source))
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "ip_adapter")
    assert portrait(calling.pipe.unet) == before


def test_a_file_that_is_none_is_named(made: Any, tmp_path: Path) -> None:
    calling = Calling(made["sd"], tmp_path)
    source = tiny_other.write_ip_adapter(calling.pipe.unet, tmp_path / "ip")
    weights = load_file(source)
    save_file({name: each for name, each in weights.items() if name.startswith("image_proj")}, source)
    with pytest.raises(WorkerError, match="holds no tensors") as caught:
        calling.run(use(calling, source))
    assert caught.value.kind is FailureKind.INVALID_REQUEST
    save_file({**weights, "ip_adapter.0.to_k_lora.down.weight": torch.zeros(1)}, source)
    with pytest.raises(WorkerError, match="FaceID"):
        calling.run(use(calling, source))
    source.write_bytes(b"no safetensors")
    with pytest.raises(WorkerError, match="cannot be read") as caught:
        calling.run(use(calling, source))
    assert caught.value.kind is FailureKind.MODEL_UNAVAILABLE


def test_a_class_that_takes_none_says_so(made: Any, tmp_path: Path) -> None:
    calling = Calling(made["pixart"], tmp_path)
    with pytest.raises(WorkerError) as caught:
        calling.runner.check(use(calling, tmp_path / "ip.safetensors"))
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "ip_adapter")


def test_loading_one_needs_no_network(calling: Calling, tmp_path: Path) -> None:
    source = tiny_other.write_ip_adapter(calling.pipe.unet, tmp_path / "ip")

    def refuse(_original: Any) -> Any:
        def connect(*_arguments: Any, **_named: Any) -> Any:
            raise AssertionError("the network was asked")

        return connect

    import socket

    with replaced(socket.socket, "connect", refuse):
        calling.run(use(calling, source))

"""However a call ends, the modules it shares with others are as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FirstBlockCacheConfig
from diffusers.models.attention_processor import AttnProcessor

from safelight_worker.runners.exclusive import ExclusiveRunner
from safelight_worker.runners.model_placement import ModelPlacement
from safelight_worker.runners.module_state import kept_module_state
from safelight_worker.types import MemoryPlan, Phase, Residency
from tests.support import tiny, tiny_other
from tests.support.calling import Calling, frames
from tests.support.engines import CPU
from tests.support.gates import replaced


class Broken(Exception):  # noqa: N818  what a test throws
    pass


def spoil_processors(pipe: Any) -> None:
    pipe.unet.set_attn_processor(AttnProcessor())


def spoil_dtype(pipe: Any) -> None:
    pipe.vae.to(torch.bfloat16)


def spoil_dtype_of_a_part(pipe: Any) -> None:
    pipe.unet.conv_in.to(torch.float64)


def spoil_vae_options(pipe: Any) -> None:
    pipe.vae.enable_tiling()
    pipe.vae.enable_slicing()
    pipe.vae.tile_sample_min_size = 8


def spoil_mode(pipe: Any) -> None:
    pipe.text_encoder.train()
    pipe.unet.mid_block.train()


def portrait(pipe: Any) -> Any:
    return {
        "processors": [id(each) for each in pipe.unet.attn_processors.values()],
        "dtypes": {str(p.dtype) for part in (pipe.unet, pipe.vae, pipe.text_encoder) for p in part.parameters()},
        "options": (pipe.vae.use_tiling, pipe.vae.use_slicing, pipe.vae.tile_sample_min_size),
        "modes": {part.training for whole in (pipe.unet, pipe.text_encoder) for part in whole.modules()},
    }


@pytest.mark.parametrize("spoil", [spoil_processors, spoil_dtype_of_a_part, spoil_vae_options, spoil_mode, spoil_dtype])
@pytest.mark.parametrize("fails", [False, True], ids=["success", "failure"])
def test_what_a_call_changes_is_put_back(spoil: Callable[[Any], None], fails: bool) -> None:
    pipe = tiny.sd()
    before = portrait(pipe)
    try:
        with kept_module_state(pipe.components.values()):
            spoil(pipe)
            assert portrait(pipe) != before
            if fails:
                raise Broken
    except Broken:
        pass
    assert portrait(pipe) == before


def test_a_cast_up_and_back_loses_no_bit() -> None:
    pipe = tiny.sd()
    pipe.vae.to(torch.float16)
    before = {name: each.clone() for name, each in pipe.vae.state_dict().items()}
    with kept_module_state([pipe.vae]):
        pipe.vae.to(torch.float32)
    after = pipe.vae.state_dict()
    assert all(each.dtype == torch.float16 and torch.equal(each, before[name]) for name, each in after.items())


def test_lora_scales_of_a_text_encoder_are_put_back() -> None:
    from diffusers.utils.peft_utils import scale_lora_layers
    from peft import LoraConfig

    encoder = tiny.sd().text_encoder
    encoder.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]), "one")
    scales = [dict(each.scaling) for each in encoder.modules() if hasattr(each, "scaling")]
    assert scales
    with kept_module_state([encoder]):
        scale_lora_layers(encoder, 0.25)
        assert scales != [dict(each.scaling) for each in encoder.modules() if hasattr(each, "scaling")]
    assert scales == [dict(each.scaling) for each in encoder.modules() if hasattr(each, "scaling")]


def test_a_feature_cache_holds_nothing_of_a_call_that_broke_off(tmp_path: Path) -> None:
    wan = Calling(tiny_other.wan(), tmp_path, width=32, height=32, num_frames=5, num_inference_steps=5)
    wan.pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.9))
    plan = wan.plan()
    expected = frames(wan.run(plan))

    def stop(step: int, _steps: int) -> None:
        if step == 3:
            raise Broken

    with pytest.raises(Broken):
        wan.run(wan.plan(prompt="blue", seeds=(9,)), stop)
    assert np.array_equal(frames(wan.run(plan)), expected)


def test_a_video_decoder_holds_no_frames_of_a_call_that_broke_off(tmp_path: Path) -> None:
    wan = Calling(tiny_other.wan(), tmp_path, width=32, height=32, num_frames=5)
    plan = wan.plan()
    expected = frames(wan.run(plan))
    vae: Any = wan.pipe.vae
    seen: list[Any] = []

    def breaking(original: Any) -> Any:
        def forward(*arguments: Any, **named: Any) -> Any:
            original(*arguments, **named)
            seen.append([each for each in vae._feat_map if each is not None])
            raise Broken

        return forward

    with replaced(vae.decoder, "forward", breaking), pytest.raises(Broken):
        wan.run(wan.plan(seeds=(9,)))
    assert seen
    assert seen[0]
    assert not [each for each in vae._feat_map if each is not None]
    assert np.array_equal(frames(wan.run(plan)), expected)


@pytest.mark.parametrize("component", ["text_encoder", "transformer", "vae"])
def test_a_failure_of_any_part_leaves_the_next_call_as_it_would_have_been(tmp_path: Path, component: str) -> None:
    pixart = Calling(tiny_other.pixart(), tmp_path, width=32, height=32)
    plan = pixart.plan()
    expected = pixart.run(plan)
    module, name = getattr(pixart.pipe, component), "decode" if component == "vae" else "forward"

    def breaking(_original: Any) -> Any:
        def broken(*_arguments: Any, **_named: Any) -> Any:
            raise Broken

        return broken

    with replaced(module, name, breaking), pytest.raises(Broken):
        pixart.run(plan)
    assert np.array_equal(pixart.run(plan), expected)


@pytest.mark.parametrize("residency", [Residency.PHASE, Residency.GROUP_OFFLOAD, Residency.RESIDENT])
def test_a_memory_plan_leaves_the_picture_as_it_is(tmp_path: Path, residency: Residency) -> None:
    bare = Calling(tiny.sdxl(), tmp_path)
    expected = bare.run(bare.plan())
    modules = {name: each for name, each in bare.pipe.components.items() if isinstance(each, torch.nn.Module)}
    phases = {Phase.DENOISE: frozenset({"unet"})}
    placement = ModelPlacement(modules, CPU, phases)
    runner = ExclusiveRunner(bare.model, placement=placement)
    memory = MemoryPlan(dict.fromkeys(modules, residency), vae_slicing=True)
    runner.place([memory])
    # Somebody else's step, after which all but the UNet is off the device where residency is by phase.
    placement.enter(Phase.DENOISE)
    bare.runner = runner
    assert np.array_equal(bare.run(bare.plan(memory=memory)), expected)
    assert not bare.pipe.vae.use_slicing
    placement.close()

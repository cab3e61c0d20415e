"""Stable Diffusion XL step by step: alone bit for bit what ``pipe()`` draws, from text, from a picture and into one."""

from __future__ import annotations

import gc
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from safelight_worker.pipelines.loading import load
from safelight_worker.pipelines.registry import adapter_for
from safelight_worker.pipelines.sdxl import SdxlAdapter
from safelight_worker.types import FailureKind, Inputs, LoraUse, Plan, WorkerError
from tests.support import tiny
from tests.support.engines import CPU, Workbench, make_plan, reference, same, spec
from tests.support.exactness import FOR_SD, TOLERANCE
from tests.support.siblings import drawn
from tests.support.stepping import advance, begin, draw, finish, view_of
from tests.support.tiny_controls import write_lora, write_mask, write_picture

#: One of each kind: first order, ancestral noise, history of predictions, two evaluations a step, Runge-Kutta.
SOME = (
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "HeunDiscreteScheduler",
    "PNDMScheduler",
)
TASKS = ("text", "image", "inpaint")


@pytest.fixture(scope="module")
def adapter(sdxl_folder: Path) -> SdxlAdapter:
    return SdxlAdapter(load(spec(sdxl_folder), CPU))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Inputs]:
    """What each task starts from."""
    folder = tmp_path_factory.mktemp("pictures")
    picture, mask = write_picture(folder / "picture.png"), write_mask(folder / "mask.png")
    return {
        "text": Inputs(),
        "image": Inputs(init_image=picture, strength=0.5),
        "inpaint": Inputs(init_image=picture, mask_image=mask, strength=0.5),
    }


def family(folder: Path, pipe: Any, dtype: str = "") -> SdxlAdapter:
    """An adapter for a pipeline written to a folder."""
    pipe.save_pretrained(folder)
    return SdxlAdapter(load(replace(spec(folder), dtype=dtype), CPU))


def parts(pipe: Any) -> dict[str, Any]:
    return dict(pipe.components)


# ------------------------------------------------------------------------------------------------ alone


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0], ids=["guided", "unguided"])
@pytest.mark.parametrize("scheduler", FOR_SD)
def test_one_image_alone_is_what_pipe_draws(
    adapter: SdxlAdapter, tmp_path: Path, scheduler: str, guidance_scale: float
) -> None:
    plan = make_plan(Path("sdxl"), tmp_path, scheduler=scheduler, guidance_scale=guidance_scale, num_inference_steps=5)
    assert same(draw(adapter, plan), reference(adapter.model.pipe, plan))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("width", "height"), [(64, 64), (32, 64), (72, 40), (8, 8)])
def test_any_size_is_what_pipe_draws(adapter: SdxlAdapter, tmp_path: Path, task: str, width: int, height: int) -> None:
    size = (width, height)
    picture, mask = write_picture(tmp_path / "picture.png", size), write_mask(tmp_path / "mask.png", size)
    given = {
        "text": Inputs(),
        "image": Inputs(picture, strength=0.6),
        "inpaint": Inputs(picture, mask, strength=0.6),
    }
    plan = make_plan(Path("sdxl"), tmp_path, width=width, height=height, inputs=given[task])
    drew = draw(adapter, plan)
    assert drew.shape == (height, width, 3)
    assert same(drew, drawn(adapter.model.pipe, plan))


def test_schedulers_are_told_where_to_begin_as_by_pipe(
    adapter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs]
) -> None:
    begins = {task: begin(adapter, make_plan(Path("sdxl"), tmp_path, inputs=inputs[task])) for task in TASKS}
    assert {task: state.scheduler.begin_index for task, state in begins.items()} == {
        "text": 0,
        "image": 2,
        "inpaint": 2,
    }
    assert {task: state.steps for task, state in begins.items()} == {"text": 4, "image": 2, "inpaint": 2}


def test_the_unet_is_told_the_size(adapter: SdxlAdapter, tmp_path: Path) -> None:
    plan = make_plan(Path("sdxl"), tmp_path, width=72, height=40)
    state = begin(adapter, plan)
    assert state.branches["positive"]["time_ids"].tolist() == [[40, 72, 0, 0, 40, 72]]
    lied_to = begin(adapter, plan)
    lied_to.branches = {
        name: {**rows, "time_ids": torch.tensor([[512.0, 512, 0, 0, 512, 512]])}
        for name, rows in lied_to.branches.items()
    }
    assert not same(finish(adapter, plan, lied_to), finish(adapter, plan, state))


@pytest.mark.parametrize("negative", ["", "blue", "a much longer thing that nobody wants to see"])
@pytest.mark.parametrize("zeros", [True, False], ids=["zeros", "empty prompt"])
def test_negative_prompts_are_what_pipe_makes_of_them(
    adapter: SdxlAdapter, tmp_path: Path, negative: str, zeros: bool
) -> None:
    pipe = adapter.model.pipe
    plan = make_plan(Path("sdxl"), tmp_path, negative_prompt=negative)
    before = pipe.config.force_zeros_for_empty_prompt
    pipe.register_to_config(force_zeros_for_empty_prompt=zeros)
    try:
        state = begin(adapter, plan)
        assert bool(state.branches["negative"]["text_embeds"].any()) is (bool(negative) or not zeros)
        assert same(finish(adapter, plan, state), reference(pipe, plan))
    finally:
        pipe.register_to_config(force_zeros_for_empty_prompt=before)


def test_conditions_serve_all_sizes_and_tasks(adapter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs]) -> None:
    first = make_plan(Path("sdxl"), tmp_path)
    second = replace(first, width=32, inputs=inputs["image"], num_inference_steps=9, seeds=(3,))
    assert adapter.text_key(first) == adapter.text_key(second)
    assert adapter.text_key(first) != adapter.text_key(replace(first, guidance_scale=1.0))
    with torch.inference_mode():
        one, other = (adapter.encode(view_of(adapter, plan), plan).branches for plan in (first, second))
    assert all(torch.equal(one[name][key], other[name][key]) for name in one for key in one[name])


# ------------------------------------------------------------------------------------------------ from pictures


@pytest.mark.parametrize(
    ("scheduler", "strength"), [*((name, 0.3) for name in FOR_SD), *((name, 1.0) for name in SOME)]
)
@pytest.mark.parametrize("task", ["image", "inpaint"])
def test_pictures_from_pictures_are_what_the_siblings_draw(
    adapter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs], scheduler: str, task: str, strength: float
) -> None:
    given = replace(inputs[task], strength=strength)
    plan = make_plan(Path("sdxl"), tmp_path, scheduler=scheduler, num_inference_steps=7, inputs=given)
    assert same(draw(adapter, plan), drawn(adapter.model.pipe, plan))


@pytest.mark.parametrize("task", ["image", "inpaint"])
def test_unguided_pictures_from_pictures_are_what_the_siblings_draw(
    adapter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs], task: str
) -> None:
    plan = make_plan(Path("sdxl"), tmp_path, guidance_scale=1.0, inputs=inputs[task])
    assert same(draw(adapter, plan), drawn(adapter.model.pipe, plan))


@pytest.mark.parametrize("task", ["image", "inpaint"])
def test_a_strength_that_leaves_no_step_is_refused(
    adapter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs], task: str
) -> None:
    plan = make_plan(Path("sdxl"), tmp_path, inputs=replace(inputs[task], strength=0.1))
    with pytest.raises(WorkerError) as refused:
        begin(adapter, plan)
    assert (refused.value.kind, refused.value.field) == (FailureKind.INVALID_REQUEST, "strength")


def test_the_black_half_of_a_mask_keeps_its_latents(
    adapter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs]
) -> None:
    plan = make_plan(Path("sdxl"), tmp_path, inputs=inputs["inpaint"])
    state = begin(adapter, plan)
    assert state.blend is not None
    kept = state.blend.image_latents
    finish(adapter, plan, state)
    half = kept.shape[-1] // 2
    assert torch.equal(state.latents[..., :half], kept[..., :half])
    assert not torch.equal(state.latents[..., half:], kept[..., half:])


# ------------------------------------------------------------------------------------------------ other models of the family


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> SdxlAdapter:
    """An inpainting model: its UNet is told mask and picture in five more channels."""
    pipe = tiny.sdxl()
    unet = UNet2DConditionModel.from_config(pipe.unet.config, in_channels=9).eval()
    painting = StableDiffusionXLInpaintPipeline(**{**parts(pipe), "unet": unet}, add_watermarker=False)
    return family(tmp_path_factory.mktemp("painter"), painting)


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("guidance_scale", [5.0, 1.0], ids=["guided", "unguided"])
def test_an_inpainting_model_draws_what_pipe_draws(
    painter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs], guidance_scale: float, strength: float
) -> None:
    given = replace(inputs["inpaint"], strength=strength)
    plan = make_plan(Path("painter"), tmp_path, guidance_scale=guidance_scale, inputs=given)
    state = begin(painter, plan)
    assert state.blend is None
    assert state.channels is not None
    assert state.channels.shape == (1, 5, 16, 16)
    assert same(finish(painter, plan, state), drawn(painter.model.pipe, plan))


def test_an_inpainting_model_makes_nothing_of_text_alone(painter: SdxlAdapter, tmp_path: Path) -> None:
    with pytest.raises(WorkerError) as refused:
        begin(painter, make_plan(Path("painter"), tmp_path))
    assert (refused.value.kind, refused.value.field) == (FailureKind.INVALID_REQUEST, "init_image")


@pytest.fixture(scope="module")
def refiner(tmp_path_factory: pytest.TempPathFactory) -> SdxlAdapter:
    """One text encoder, and a UNet that is told how much the picture should please."""
    pipe = tiny.sdxl()
    unet = UNet2DConditionModel.from_config(
        pipe.unet.config, cross_attention_dim=32, projection_class_embeddings_input_dim=5 * 8 + 16
    )
    given = {**parts(pipe), "unet": unet.eval(), "text_encoder": None, "tokenizer": None}
    refining = StableDiffusionXLImg2ImgPipeline(**given, requires_aesthetics_score=True, add_watermarker=False)
    return family(tmp_path_factory.mktemp("refiner"), refining)


@pytest.mark.parametrize("task", ["image", "inpaint"])
def test_a_refiner_draws_what_pipe_draws(
    refiner: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs], task: str
) -> None:
    plan = make_plan(Path("refiner"), tmp_path, inputs=inputs[task])
    state = begin(refiner, plan)
    assert state.branches["positive"]["time_ids"].tolist() == [[64, 64, 0, 0, 6]]
    assert state.branches["negative"]["time_ids"].tolist() == [[64, 64, 0, 0, 2.5]]
    assert same(finish(refiner, plan, state), drawn(refiner.model.pipe, plan))


def test_a_refiner_makes_nothing_of_text_alone(refiner: SdxlAdapter, tmp_path: Path) -> None:
    with pytest.raises(WorkerError) as refused:
        begin(refiner, make_plan(Path("refiner"), tmp_path))
    assert (refused.value.kind, refused.value.field) == (FailureKind.INVALID_REQUEST, "init_image")


def test_a_vae_with_means_is_decoded_as_pipe_decodes_it(tmp_path: Path, inputs: dict[str, Inputs]) -> None:
    plain = family(tmp_path / "plain", tiny.sdxl())
    pipe = tiny.sdxl()
    pipe.vae.register_to_config(latents_mean=[0.5, -1.0, 0.25, 2.0], latents_std=[2.0, 0.5, 1.5, 3.0])
    shifted = family(tmp_path / "shifted", pipe)
    for given in inputs.values():
        plan = make_plan(Path("shifted"), tmp_path, inputs=given)
        drew = draw(shifted, plan)
        assert same(drew, drawn(shifted.model.pipe, plan))
        assert not same(drew, draw(plain, plan))


def test_pictures_are_marked_where_pipe_marks_them(tmp_path: Path) -> None:
    class Watermark:
        """In the place of diffusers' own, whose package is not installed."""

        def apply_watermark(self, images: torch.Tensor) -> torch.Tensor:
            return images.flip(-1)

    marking = family(tmp_path / "sdxl", tiny.sdxl())
    plan = make_plan(Path("sdxl"), tmp_path)
    unmarked = draw(marking, plan)
    marking.model.pipe.watermark = Watermark()
    marked = draw(marking, plan)
    assert same(marked, reference(marking.model.pipe, plan))
    assert not same(marked, unmarked)


# ------------------------------------------------------------------------------------------------ half precision


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> SdxlAdapter:
    """In float16, with a VAE that overflows in it and says so, as the first one of the family does."""
    pipe = tiny.sdxl()
    pipe.vae.register_to_config(force_upcast=True)
    return family(tmp_path_factory.mktemp("half"), pipe, "float16")


@pytest.mark.parametrize("task", TASKS)
def test_a_vae_that_overflows_decodes_in_float32_as_in_pipe(
    half: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs], task: str
) -> None:
    plan = make_plan(Path("half"), tmp_path, inputs=inputs[task])
    drew = draw(half, plan)
    assert half.model.pipe.vae.dtype == torch.float16
    assert same(drew, drawn(half.model.pipe, plan))


def test_a_decode_that_fails_leaves_the_vae_in_float16(half: SdxlAdapter, tmp_path: Path) -> None:
    plan = make_plan(Path("half"), tmp_path)
    state = begin(half, plan)
    state.latents = state.latents[:, :3]
    with pytest.raises(RuntimeError):
        half.decode(view_of(half, plan), state)
    assert half.model.pipe.vae.dtype == torch.float16


def test_a_vae_cast_up_by_others_decodes_in_float32_and_stays(half: SdxlAdapter, tmp_path: Path) -> None:
    plan = make_plan(Path("half"), tmp_path)
    state = begin(half, plan)
    vae = half.model.pipe.vae
    vae.to(torch.float32)
    try:
        decoded = half.decode(view_of(half, plan), state)
        assert (decoded.dtype, vae.dtype) == (torch.float32, torch.float32)
    finally:
        vae.to(torch.float16)


# ------------------------------------------------------------------------------------------------ in company


def mixed(folder: Path, inputs: dict[str, Inputs], count: int) -> list[Plan]:
    """Plans that differ in everything images of one forward may differ in."""
    return [
        make_plan(
            Path("sdxl"),
            folder,
            prompt=("a red circle", "blue and red", "!")[number % 3],
            negative_prompt=("", "blue")[number % 2],
            num_inference_steps=4 + number % 4,
            guidance_scale=(1.0, 2.0, 7.5)[number % 3],
            scheduler=FOR_SD[(5 * number) % len(FOR_SD)],
            inputs=inputs[TASKS[(number // 2) % 3]],
            seeds=(number,),
        )
        for number in range(count)
    ]


def test_images_of_all_tasks_share_a_forward(adapter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs]) -> None:
    plans = mixed(tmp_path, inputs, 12)
    states = [begin(adapter, plan) for plan in plans]
    assert len({state.kind for state in states}) == 1
    while going := [state for state in states if state.step < state.steps]:
        advance(adapter, going)
    together = [finish(adapter, plan, state) for plan, state in zip(plans, states, strict=True)]
    apart = [
        float(np.abs(picture - drawn(adapter.model.pipe, plan)).max())
        for picture, plan in zip(together, plans, strict=True)
    ]
    assert max(apart) <= TOLERANCE


def test_images_of_other_sizes_and_models_do_not_share_a_forward(
    adapter: SdxlAdapter, painter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs]
) -> None:
    plan = make_plan(Path("sdxl"), tmp_path, inputs=inputs["inpaint"])
    kinds = {begin(adapter, plan).kind, begin(adapter, replace(plan, width=32)).kind, begin(painter, plan).kind}
    assert len(kinds) == 3


def test_in_forwards_of_one_length_company_changes_nothing(
    adapter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs]
) -> None:
    plan, *others = mixed(tmp_path, inputs, 4)
    alone, first, last = (begin(adapter, plan) for _ in range(3))
    company = [begin(adapter, other) for other in others]
    before = [begin(adapter, other, seed=99) for other in others[:2]]
    for _ in range(3):
        advance(adapter, [alone], pad_to=8)
        advance(adapter, [first, *company], pad_to=8)
        advance(adapter, [*before, last], pad_to=8)
        assert torch.equal(alone.latents, first.latents)
        assert torch.equal(alone.latents, last.latents)
    assert not torch.equal(alone.latents, begin(adapter, plan).latents)


# ------------------------------------------------------------------------------------------------ off the device and back


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("scheduler", SOME)
def test_a_state_goes_to_the_host_and_back_bit_for_bit(
    adapter: SdxlAdapter, tmp_path: Path, inputs: dict[str, Inputs], scheduler: str, task: str, where: str
) -> None:
    plan = make_plan(Path("sdxl"), tmp_path, scheduler=scheduler, num_inference_steps=8, inputs=inputs[task])
    state = begin(adapter, plan)
    for _ in range({"first": 1, "middle": state.steps // 2, "last": state.steps - 1}[where]):
        advance(adapter, [state])
    buffer = io.BytesIO()
    torch.save(adapter.to_host(state), buffer)
    step, kind = state.step, state.kind
    # The original goes on, which must not reach the record.
    finish(adapter, plan, state)
    buffer.seek(0)
    back = adapter.from_host(torch.load(buffer, weights_only=False))
    assert (back.step, back.kind) == (step, kind)
    picture = finish(adapter, plan, back)
    assert torch.equal(back.latents, state.latents)
    assert same(picture, drawn(adapter.model.pipe, plan))


# ------------------------------------------------------------------------------------------------ in the engine


def test_a_saved_model_of_the_family_is_given_its_adapter(
    adapter: SdxlAdapter, painter: SdxlAdapter, refiner: SdxlAdapter
) -> None:
    for each in (adapter, painter, refiner):
        assert isinstance(adapter_for(each.model), SdxlAdapter)
    assert type(adapter.model.pipe) is StableDiffusionXLPipeline


def test_the_engine_draws_overlapping_requests_as_each_alone(
    bench: Workbench, sdxl_folder: Path, inputs: dict[str, Inputs]
) -> None:
    plans = [
        replace(plan, attempt_id=f"mixed-{number}/1", model=spec(sdxl_folder))
        for number, plan in enumerate(mixed(bench.folder, inputs, 10))
    ]
    together = bench.run_together(plans)
    pipe = bench.load(sdxl_folder).model.pipe
    alone = [drawn(pipe, plan) for plan in plans]
    assert max(float(np.abs(one - other).max()) for one, other in zip(together, alone, strict=True)) <= TOLERANCE


@pytest.mark.parametrize("task", TASKS)
def test_the_engine_draws_one_alone_bit_for_bit(
    bench: Workbench, sdxl_folder: Path, inputs: dict[str, Inputs], task: str
) -> None:
    plan = bench.plan(sdxl_folder, scheduler="EulerAncestralDiscreteScheduler", inputs=inputs[task])
    (picture,) = bench.run(plan)
    assert same(picture, drawn(bench.load(sdxl_folder).model.pipe, plan))


def test_a_lora_draws_what_pipe_draws_with_it(bench: Workbench, sdxl_folder: Path, tmp_path: Path) -> None:
    parts = ("unet", "text_encoder", "text_encoder_2")
    lora = write_lora(tiny.sdxl(), tmp_path / "style.safetensors", parts=parts)
    plain = bench.plan(sdxl_folder, scheduler="EulerDiscreteScheduler")
    styled = replace(bench.plan(sdxl_folder, scheduler=plain.scheduler), loras=(LoraUse("style", lora, 0.7),))
    pipe = load(spec(sdxl_folder), CPU).pipe
    without = reference(pipe, plain)
    pipe.load_lora_weights(str(tmp_path), weight_name=lora.name, adapter_name="style")
    pipe.set_adapters(["style"], [0.7])
    with_it = reference(pipe, styled)
    assert not same(with_it, without)
    assert same(bench.run(styled)[0], with_it)
    assert same(bench.run(plain)[0], without)


def test_a_finished_adapter_keeps_no_image(adapter: SdxlAdapter, tmp_path: Path) -> None:
    plan = make_plan(Path("sdxl"), tmp_path)
    draw(adapter, plan)
    gc.collect()
    before = sum(isinstance(each, torch.Tensor) for each in gc.get_objects())
    for seed in range(3):
        draw(adapter, plan, seed)
    gc.collect()
    assert sum(isinstance(each, torch.Tensor) for each in gc.get_objects()) <= before


def test_the_engine_loads_and_draws_with_models_that_need_a_picture(
    bench: Workbench, painter: SdxlAdapter, refiner: SdxlAdapter, inputs: dict[str, Inputs]
) -> None:
    for model, task in ((painter, "inpaint"), (refiner, "image")):
        folder = Path(model.model.spec.source)
        plan = bench.plan(folder, inputs=inputs[task])
        (picture,) = bench.run(plan)
        assert same(picture, drawn(bench.load(folder).model.pipe, plan))
        failed = bench.submit(bench.plan(folder)).failed()
        assert (failed.kind, failed.field) == (FailureKind.INVALID_REQUEST, "init_image")

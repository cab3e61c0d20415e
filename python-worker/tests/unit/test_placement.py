"""Where the weights of real tiny pipelines lie, and that their pictures do not depend on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from peft import LoraConfig

from safelight_worker.placement.phase_loader import PhaseLoader
from safelight_worker.types import FailureKind, Phase, Residency, WorkerError
from tests.support import tiny

CPU = torch.device("cpu")
TEXT = {"sd": ("text_encoder",), "sdxl": ("text_encoder", "text_encoder_2")}


class Bench:
    """A pipeline, its loader, and a picture drawn phase by phase."""

    def __init__(self, family: str) -> None:
        self.pipe: Any = tiny.BUILDERS[family]()
        self.pipe.set_progress_bar_config(disable=True)
        self.text = TEXT[family]
        self.modules: dict[str, torch.nn.Module] = {
            name: each for name, each in self.pipe.components.items() if isinstance(each, torch.nn.Module)
        }
        self.phases = {
            Phase.ENCODE: frozenset(self.text),
            Phase.DENOISE: frozenset({"unet"}),
            Phase.DECODE: frozenset({"vae"}),
        }
        self.loader = PhaseLoader(self.modules, CPU, self.phases)

    def residency(self, each: Residency) -> Mapping[str, Residency]:
        return dict.fromkeys(self.modules, each)

    @torch.no_grad()
    def draw(self) -> torch.Tensor:
        """One picture, (1, 3, 64, 64) float32."""
        pipe = self.pipe
        self.loader.enter(Phase.ENCODE)
        made = pipe.encode_prompt("red circle", device=CPU, num_images_per_prompt=1, do_classifier_free_guidance=True)
        names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
        self.loader.enter(Phase.DENOISE)
        latents = pipe(
            **dict(zip(names, made, strict=False)),
            width=64,
            height=64,
            num_inference_steps=3,
            generator=torch.Generator().manual_seed(1),
            output_type="latent",
        ).images
        self.loader.enter(Phase.DECODE)
        picture: torch.Tensor = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        return picture


def own_bytes(*modules: torch.nn.Module) -> int:
    tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.fixture(params=["sd", "sdxl"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(request.param)
    yield bench
    bench.loader.close()


def test_the_picture_is_the_same_bits_under_every_residency_and_on_the_way_back(bench: Bench) -> None:
    resident = bench.draw()
    for each in (Residency.PHASE, Residency.GROUP_OFFLOAD, Residency.PHASE, Residency.RESIDENT):
        bench.loader.apply(bench.residency(each))
        assert torch.equal(bench.draw(), resident), each
        assert torch.equal(bench.draw(), resident), f"{each}, second time"


def test_leaving_group_offload_takes_every_hook_off(bench: Bench) -> None:
    bench.loader.apply({"unet": Residency.GROUP_OFFLOAD})
    hooked = [m for m in bench.pipe.unet.modules() if getattr(m, "_diffusers_hook", None) and m._diffusers_hook.hooks]
    assert hooked
    assert "unet" not in bench.loader.on_device()
    bench.loader.apply({})
    bench.loader.enter(Phase.DENOISE)
    assert not [m for m in bench.pipe.unet.modules() if getattr(m, "_diffusers_hook", None) and m._diffusers_hook.hooks]
    assert "unet" in bench.loader.on_device()


def test_never_are_two_phases_on_the_device_at_once(bench: Bench) -> None:
    bench.loader.apply(bench.residency(Residency.PHASE))
    for phase in (Phase.ENCODE, Phase.DENOISE, Phase.DECODE, Phase.DENOISE, Phase.ENCODE, Phase.SAVE):
        bench.loader.enter(phase)
        assert bench.loader.on_device() == bench.phases.get(phase, frozenset())


def test_the_bytes_on_the_device_are_those_of_the_phase(bench: Bench) -> None:
    total = own_bytes(*bench.modules.values())
    sizes = {name: own_bytes(module) for name, module in bench.modules.items()}
    assert bench.loader.bytes_on_device() == total
    bench.loader.apply({"unet": Residency.PHASE, "vae": Residency.PHASE})
    bench.loader.enter(Phase.DECODE)
    assert bench.loader.bytes_on_device() == total - sizes["unet"]
    bench.loader.enter(Phase.ENCODE)
    assert bench.loader.bytes_on_device() == total - sizes["unet"] - sizes["vae"]
    bench.loader.apply({})
    bench.loader.need(frozenset(bench.modules))
    assert bench.loader.bytes_on_device() == total


@torch.no_grad()
def test_a_component_used_outside_its_phase_gives_no_picture(bench: Bench) -> None:
    bench.loader.apply(bench.residency(Residency.PHASE))
    bench.loader.enter(Phase.ENCODE)
    assert bench.pipe.vae.decode(torch.zeros(1, 4, 16, 16)).sample.isnan().all()
    bench.loader.enter(Phase.DECODE)
    assert bench.pipe.vae.decode(torch.zeros(1, 4, 16, 16)).sample.isfinite().all()


def test_no_memory_while_loading_leaves_the_component_off_and_the_loader_usable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bench.draw()
    bench.loader.apply(bench.residency(Residency.PHASE))
    bench.loader.enter(Phase.ENCODE)
    moved = 0
    move = PhaseLoader._present

    def full(self: PhaseLoader, master: torch.Tensor) -> torch.Tensor:
        nonlocal moved
        moved += 1
        if moved == 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return move(self, master)

    with monkeypatch.context() as patch:
        patch.setattr(PhaseLoader, "_present", full)
        with pytest.raises(torch.OutOfMemoryError):
            bench.loader.enter(Phase.DENOISE)
    assert moved == 5
    assert bench.loader.on_device() == frozenset()
    assert bench.loader.bytes_on_device() == 0
    assert torch.equal(bench.draw(), expected)


def test_layers_of_a_lora_go_with_their_module(bench: Bench) -> None:
    plain = bench.draw()
    bench.loader.apply(bench.residency(Residency.PHASE))
    bench.loader.enter(Phase.DENOISE)
    torch.manual_seed(3)
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    bench.pipe.unet.add_adapter(config)
    bench.loader.refresh()
    with_lora = bench.draw()
    assert not torch.equal(with_lora, plain)
    assert torch.equal(bench.draw(), with_lora)
    bench.loader.apply({"unet": Residency.GROUP_OFFLOAD})
    assert torch.equal(bench.draw(), with_lora)
    bench.loader.apply({})
    assert torch.equal(bench.draw(), with_lora)
    assert bench.loader.bytes_on_device() == own_bytes(*bench.modules.values())


def test_layers_of_a_lora_added_off_the_device_come_along(bench: Bench) -> None:
    plain = bench.draw()
    bench.loader.apply(bench.residency(Residency.PHASE))
    bench.loader.enter(Phase.ENCODE)
    torch.manual_seed(3)
    bench.pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    bench.loader.refresh()
    made = bench.draw()
    assert not torch.equal(made, plain)
    bench.loader.apply({})
    assert torch.equal(bench.draw(), made)


class Tied(torch.nn.Module):
    """One parameter under two names, and a second tensor over its storage."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Linear(4, 4)
        self.same = torch.nn.Linear(4, 4)
        self.same.weight = self.one.weight
        self.view = torch.nn.Parameter(self.one.weight.data)


def test_tied_weights_stay_tied() -> None:
    module = Tied()
    before = module.one.weight.detach().clone()
    loader = PhaseLoader({"tied": module}, CPU, {Phase.ENCODE: frozenset({"tied"})})
    loader.apply({"tied": Residency.PHASE})
    loader.enter(Phase.DECODE)
    loader.enter(Phase.ENCODE)
    assert module.same.weight is module.one.weight
    assert module.view.data_ptr() == module.one.weight.data_ptr()
    assert torch.equal(module.view, before)


def test_a_component_the_model_has_not_is_refused() -> None:
    bench = Bench("sd")
    with pytest.raises(WorkerError, match="transformer") as caught:
        bench.loader.apply({"unet": Residency.PHASE, "transformer": Residency.PHASE})
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "memory.residency.transformer")
    assert bench.loader.on_device() == frozenset(bench.modules)


class Packed(torch.nn.Parameter):
    """As quantization backends derive theirs (bitsandbytes' Params4bit, GGUFParameter)."""


@pytest.mark.parametrize("residency", [Residency.PHASE, Residency.GROUP_OFFLOAD])
def test_quantized_weights_are_refused_before_anything_moves(residency: Residency) -> None:
    module = torch.nn.Linear(4, 4)
    module.weight = Packed(torch.zeros(4, 4), requires_grad=False)
    loader = PhaseLoader({"unet": module}, CPU, {})
    with pytest.raises(WorkerError) as caught:
        loader.apply({"unet": residency})
    assert (caught.value.kind, caught.value.field) == (FailureKind.INVALID_REQUEST, "memory.residency.unet")
    assert loader.on_device() == {"unet"}
    loader.apply({"unet": Residency.RESIDENT})


@pytest.mark.parametrize("before", [Residency.RESIDENT, Residency.PHASE])
def test_no_memory_for_groups_leaves_no_hook_and_the_loader_usable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, before: Residency
) -> None:
    expected = bench.draw()
    bench.loader.apply({"unet": before})
    bench.loader.enter(Phase.ENCODE)
    moved = [0]

    def full(*_: Any, **__: Any) -> None:
        moved[0] += 1
        raise torch.OutOfMemoryError("CUDA error: out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("diffusers.hooks.group_offloading._apply_lazy_group_offloading_hook", full)
        patch.setattr("diffusers.hooks.group_offloading._apply_group_offloading_hook", full)
        with pytest.raises(torch.OutOfMemoryError):
            bench.loader.apply({"unet": Residency.GROUP_OFFLOAD})
    assert moved == [1]
    assert bench.loader.residency["unet"] is Residency.RESIDENT
    assert not [m for m in bench.pipe.unet.modules() if getattr(m, "_diffusers_hook", None) and m._diffusers_hook.hooks]
    for each in (Residency.RESIDENT, Residency.GROUP_OFFLOAD, Residency.PHASE, Residency.RESIDENT):
        bench.loader.apply({"unet": each})
        assert torch.equal(bench.draw(), expected), each


def test_a_forward_that_breaks_off_in_a_group_leaves_the_picture_as_it_was(bench: Bench) -> None:
    expected = bench.draw()
    bench.loader.apply({"unet": Residency.GROUP_OFFLOAD})

    def broken(*_: Any) -> None:
        raise RuntimeError("boom")

    hook = bench.pipe.unet.mid_block.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="boom"):
        bench.draw()
    hook.remove()
    assert torch.equal(bench.draw(), expected)
    bench.loader.apply({"unet": Residency.PHASE})
    assert torch.equal(bench.draw(), expected)


def test_where_components_lie_is_told(bench: Bench) -> None:
    assert set(bench.loader.residency.values()) == {Residency.RESIDENT}
    bench.loader.apply({"vae": Residency.PHASE})
    assert bench.loader.residency["vae"] is Residency.PHASE
    assert bench.loader.residency["unet"] is Residency.RESIDENT


def test_a_module_cast_while_it_is_away_comes_back_in_that_dtype_and_its_master_stays(bench: Bench) -> None:
    before = bench.draw()
    bench.loader.apply(bench.residency(Residency.PHASE))
    bench.loader.enter(Phase.DENOISE)
    bench.modules["vae"].to(torch.float64)
    bench.loader.enter(Phase.DECODE)
    assert {tensor.dtype for tensor in bench.modules["vae"].parameters()} == {torch.float64}
    bench.modules["vae"].to(torch.float32)
    bench.loader.enter(Phase.DENOISE)
    assert torch.equal(bench.draw(), before)
